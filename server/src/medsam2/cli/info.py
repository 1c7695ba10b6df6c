"""``medsam2 info``: what is in an image file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from medsam2.core.geometry import FloatArray, SliceAxis, default_axis
from medsam2.core.intensity import resolve_window
from medsam2.core.volume import Volume

from .failures import debug_option, examples

_DIRECTIONS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Letters of the negative and positive directions of R, A and S."""


@click.command(
    short_help="Show what is in an image file or folder.",
    epilog=examples("Examples:", "  medsam2 info ct.nii.gz", "  medsam2 info dicom/"),
)
@click.argument("volume", type=click.Path(path_type=Path))
@click.option("--series", metavar="UID", help="Which series of a DICOM folder: its uid or its end.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@debug_option
def info(volume: Path, series: str | None, *, as_json: bool) -> None:
    """Show the size, spacing, orientation and intensities of VOLUME, and its DICOM series."""
    from medsam2.io.volumes import read_volume

    listed = _series(volume)
    found: dict[str, Any] = {"path": str(volume)}
    if listed:
        found["series"] = listed
    if len(listed) < 2 or series is not None:
        found.update(describe(read_volume(volume, series=series, allow_2d=True)))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in _lines(found):
        click.echo(line)


def describe(volume: Volume) -> dict[str, Any]:
    """Returns what one needs to know to prompt on a volume, as values that JSON can hold."""
    axis = default_axis(volume.affine_ijk_to_ras)
    window = resolve_window(volume)
    voxels = volume.voxels_kji
    return {
        "name": volume.name,
        "modality": volume.modality or None,
        "shape_ijk": list(volume.shape_kji[::-1]),
        "spacing_ijk_mm": [round(mm, 6) for mm in volume.spacing_ijk],
        "orientation": orientation_code(volume.affine_ijk_to_ras),
        "origin_ras_mm": [round(float(mm), 4) for mm in volume.affine_ijk_to_ras[:3, 3]],
        "voxel_type": f"{voxels.dtype}{' RGB' if volume.is_color else ''}",
        "lowest": float(voxels.min()),
        "highest": float(voxels.max()),
        "axis": axis.name.lower(),
        "slices": volume.count(axis),
        "window": {"name": window.name, "low": window.low, "high": window.high},
    }


def orientation_code(affine_ijk_to_ras: FloatArray) -> str:
    """Returns the patient's direction that i, j and k mostly point to, like ``LPS``."""
    directions = affine_ijk_to_ras[:3, :3] / np.linalg.norm(affine_ijk_to_ras[:3, :3], axis=0)
    letters = ["", "", ""]
    for _ in letters:  # the most certain one first, so that no direction is taken twice
        world, index = np.unravel_index(int(np.argmax(np.abs(directions))), (3, 3))
        letters[int(index)] = _DIRECTIONS[int(world)][int(directions[world, index] > 0)]
        directions[world, :] = 0
        directions[:, index] = 0
    return "".join(letters)


def _series(folder: Path) -> list[dict[str, Any]]:
    if not folder.is_dir():
        return []
    from medsam2.io.dicom_series import find_series

    return [
        {
            "uid": uid,
            "description": str(images[0][1].get("SeriesDescription", "")).strip(),
            "modality": str(images[0][1].get("Modality", "")),
            "files": len(images),
        }
        for uid, images in find_series(folder).items()
    ]


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield found["path"]
    for item in found.get("series", []):
        yield (
            f"  series       {item['uid']}  {item['modality']}  {item['files']} files  "
            f"{item['description']}".rstrip()
        )
    if "shape_ijk" not in found:
        yield "  Choose one of the series with --series UID (its end will do)."
        return
    axis, window = SliceAxis.parse(found["axis"]), found["window"]
    yield f"  name         {found['name']}"
    yield f"  modality     {found['modality'] or 'not stated'}"
    yield f"  shape        {' x '.join(str(n) for n in found['shape_ijk'])} voxels (i, j, k)"
    yield f"  spacing      {' x '.join(f'{mm:g}' for mm in found['spacing_ijk_mm'])} mm"
    yield f"  orientation  {found['orientation']} (where i, j and k point to)"
    yield f"  origin       {', '.join(f'{mm:g}' for mm in found['origin_ras_mm'])} mm (RAS)"
    yield f"  voxels       {found['voxel_type']}, {found['lowest']:g} to {found['highest']:g}"
    yield f"  slices       {found['slices']} across {axis.name.lower()}, by default"
    yield f"  window       {window['name']} ({window['low']:g} to {window['high']:g}), by default"
