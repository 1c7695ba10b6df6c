"""What came out of a job: for people, and as JSON for scripts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.volume import Volume
from medsam2.io.segments import Segment

from .job import Outcome


def summary(outcome: Outcome, volume: Volume, path: Path) -> dict[str, Any]:
    """Returns what a script wants to know, as values that JSON can hold."""
    window = outcome.window
    return {
        "output": str(path),
        "model": outcome.model.name,
        "device": outcome.model.device,
        "axis": outcome.axis.name.lower(),
        "window": {"name": window.name, "low": window.low, "high": window.high},
        "seconds": {
            "load": round(outcome.load_seconds, 3),
            "segment": round(outcome.seconds, 3),
        },
        "objects": [_object(segment, outcome, volume) for segment in outcome.segments],
    }


def summary_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yields :func:`summary` as lines to read."""
    yield f"Wrote {found['output']}"
    width = max(len(item["name"]) for item in found["objects"])
    for item in found["objects"]:
        slices = f"{item['slices']} slices"
        if item["slices"]:
            slices += f" ({item['first']} to {item['last']})"
        yield (
            f"  {item['name']:<{width}}  {item['voxels']:>9} voxels  "
            f"{item['volume_ml']:>9.2f} ml  {slices}"
        )
    window, seconds, axis = found["window"], found["seconds"], found["axis"]
    yield f"  window {window['name']} ({window['low']:g} to {window['high']:g}), axis {axis}"
    yield (
        f"  {seconds['segment']:.1f} s on {found['device']} with {found['model']}, "
        f"after {seconds['load']:.1f} s to load it"
    )


def warnings_of(found: dict[str, Any]) -> Iterator[str]:
    """Yields what the user should look at."""
    for item in found["objects"]:
        if not item["voxels"]:
            yield f"{item['name']} is empty: the model found nothing there; try another prompt."


def _object(segment: Segment, outcome: Outcome, volume: Volume) -> dict[str, Any]:
    across = tuple(n for n in range(3) if n != outcome.axis.value)
    touched = np.flatnonzero(segment.mask_kji.any(axis=across))
    voxels = int(np.count_nonzero(segment.mask_kji))
    return {
        "name": segment.name,
        "voxels": voxels,
        "volume_ml": round(voxels * math.prod(volume.spacing_ijk) / 1000, 4),
        "slices": len(touched),
        "first": int(touched[0]) if len(touched) else None,
        "last": int(touched[-1]) if len(touched) else None,
    }
