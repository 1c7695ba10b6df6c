"""The third part of ``make bench``: what the Slicer module costs on the main thread.

Measured on the stand-in, whose views are drawn by software; a figure that contains drawing says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import stage
import standin
from fake_backend import FakeBackend

from medsam2.bench.table import Row, measure

MODULE = stage.REPOSITORY / "MedSAM2Slicer"
sys.path.append(str(MODULE))

IMPORTING = """
import sys, time
sys.path.insert(0, {module!r})
import standin
standin.boot()
begun = time.perf_counter()
import MedSAM2Slicer
from MedSAM2SlicerLib import Panel
print(time.perf_counter() - begun, [n for n in ("torch", "requests", "medsam2") if n in sys.modules])
"""
SLICE_SECONDS = 0.02


def import_rows() -> list[Row]:
    """The module and everything its panel needs, in a fresh process that has loaded Slicer."""
    code = IMPORTING.format(module=str(MODULE))
    paths = {"PYTHONPATH": str(stage.REPOSITORY / "Testing" / "harness")}
    seconds, loaded = [], ""
    for _ in range(5):
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            check=True,
        )
        text, loaded = answer.stdout.strip().split(" ", 1)
        seconds.append(float(text))
    detail = f"of torch, requests and medsam2 loaded: {loaded}"
    return [
        Row("import of the module and its panel", 1000 * sorted(seconds)[2], "ms", 150.0,
            at_most=True, detail=detail),
    ]  # fmt: skip


def writing_rows() -> list[Row]:
    """A streamed slice into the scene, without views."""
    volume = standin.volumes.add_volume(
        standin.boot().scene, "axial", np.zeros((300, 512, 512), np.int16)
    )
    rows = [_writing(volume, name) for name in "KJI"]
    standin.boot().scene.Clear(0)
    return rows


def _writing(volume: Any, name: str) -> Row:
    from medsam2.core.geometry import SliceAxis
    from MedSAM2SlicerLib.SegmentationBridge import createEditorNode, createSegmentation
    from MedSAM2SlicerLib.Workspace import Workspace

    axis, scene = SliceAxis[name], volume.GetScene()
    workspace = Workspace(volume, createSegmentation(volume), createEditorNode(scene), axis)
    segment = workspace.addSegment("ball")
    rows, columns = workspace.shape_rc
    r, c = np.ogrid[:rows, :columns]
    middle, times = workspace.sliceCount // 2, []
    for index in [*range(middle, middle + 100), *range(middle - 1, middle - 101, -1)]:
        radius = 120 - abs(index - middle) / 2
        mask_rc = np.hypot(r - rows / 2, c - columns / 2) < radius
        begun = time.perf_counter()
        workspace.writeModelSlice(segment, index, mask_rc)
        times.append(1000 * (time.perf_counter() - begun))
    detail = f"200 slices of a ball outwards; the worst {max(times):.3g} ms, where room is made"
    return Row(f"writing a streamed slice of 512x512x300 across {name}, median",
               float(np.median(times)), "ms", 3.0, at_most=True, detail=detail)  # fmt: skip


def run_rows() -> list[Row]:
    """A hundred slices as the user sees them arrive."""
    user = stage.start(lambda: FakeBackend(on_slice=lambda _index: time.sleep(SLICE_SECONDS)))
    shape_kji = (120, 256, 256)
    noise = np.random.default_rng(0).normal(60, 8, shape_kji)
    noise[10:110, 60:200, 60:200] += 120
    user.choose(standin.volumes.add_volume(user.logic.scene, "axial", noise.astype(np.int16)))
    user.draw_box(60, (50, 50, 210, 210), (10, 109))
    user.press("segment")
    first, begun = _first_mask(user), time.perf_counter()
    with standin.block_meter() as meter:
        standin.pump(60, until=lambda: user.logic.run is None)
    user.settle()
    seconds = time.perf_counter() - begun
    with standin.block_meter() as undoing:
        user.press("undo")
        user.settle()
    standin.boot().unload_modules()
    extra = 1000 * (first - SLICE_SECONDS)
    detail = f"software drawing of the views included; {seconds:.3g} s for 100 slices of 20 ms"
    return [
        Row("longest block of the main thread in a run of 100 slices", 1000 * meter.longest_s,
            "ms", 50.0, at_most=True, detail=detail),
        Row("longest block of the main thread while that run is undone", 1000 * undoing.longest_s,
            "ms", 50.0, at_most=True),
        Row("first mask in the scene after Segment, beyond one slice's compute", extra, "ms", 100.0,
            at_most=True, detail="the session was open, as it is after the live preview"),
    ]  # fmt: skip


def _first_mask(user: Any) -> float:
    begun = time.perf_counter()
    written: list[float] = []
    user.logic.sliceWritten.connect(lambda *_: written.append(time.perf_counter()))
    standin.pump(30, until=lambda: written)
    return written[0] - begun


def main() -> None:
    """Runs all parts and writes ``bench-module.md`` and ``bench-module.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = stage.REPOSITORY / "Testing" / "results"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    parts = [import_rows, writing_rows, run_rows]
    measure(parts, "Benchmark of the Slicer module", options.output / "bench-module.md")


if __name__ == "__main__":
    main()
