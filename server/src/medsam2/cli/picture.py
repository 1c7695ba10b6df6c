"""A picture of a result: slices with the box, the result and the reference."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import RoiBox
from medsam2.core.volume import Volume
from medsam2.io.files import replacing

BACKGROUND, INK = "#15181c", "#e8eaed"
BOX, RESULT, REFERENCE = "#ffd166", "#2ec4b6", "#ff5d8f"
_COLUMNS = 3
_CELL_INCHES = 3.6


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What is shown.

    Args:
        volume: the image.
        axis: slices are across it.
        window: maps its intensities to grey.
        roi: the box that was given.
        mask_kji: the result.
        reference_kji: the reference.
        title: above all slices.
    """

    volume: Volume
    axis: SliceAxis
    window: Window
    roi: RoiBox
    mask_kji: BoolArray
    reference_kji: BoolArray
    title: str


def write_picture(path: Path, picture: Picture, slices: int = 6) -> None:
    """Draws evenly spaced slices of the box into a PNG.

    Raises:
        UnwritableOutputError, DiskFullError: nothing was written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = np.linspace(picture.roi.first, picture.roi.last, slices + 2).round().astype(int)[1:-1]
    rows = -(-slices // _COLUMNS)
    width, height = _cell_inches(picture)
    figure = Figure(figsize=(width * _COLUMNS, height * rows + 1.2), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    for axes, index in zip(figure.subplots(rows, _COLUMNS).flat, shown, strict=False):
        _draw_slice(axes, picture, int(index))
    figure.suptitle(picture.title, color=INK, fontsize=14)
    _draw_legend(figure)
    margin = 0.6 / figure.get_size_inches()[1]
    figure.subplots_adjust(0.01, margin, 0.99, 1 - margin, wspace=0.03, hspace=0.03)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, facecolor=BACKGROUND)


def _cell_inches(picture: Picture) -> tuple[float, float]:
    """Returns the room for one slice, of its physical shape within reason."""
    rows, columns = picture.volume.shape_rc(picture.axis)
    row_mm, column_mm = picture.volume.spacing_rc(picture.axis)
    shape = np.clip(rows * row_mm / (columns * column_mm), 0.4, 1.6)
    return _CELL_INCHES, _CELL_INCHES * float(shape)


def _draw_slice(axes: Any, picture: Picture, index: int) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    volume, axis = picture.volume, picture.axis
    row_mm, column_mm = volume.spacing_rc(axis)
    aspect = row_mm / column_mm
    mask_rc = np.moveaxis(picture.mask_kji, axis.value, 0)[index]
    reference_rc = np.moveaxis(picture.reference_kji, axis.value, 0)[index]
    grey_rc = picture.window.apply(volume.slice_rc(axis, index))
    axes.imshow(grey_rc, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="bilinear")
    filled = np.zeros((*mask_rc.shape, 4))
    filled[mask_rc] = (*to_rgb(RESULT), 0.28)
    axes.imshow(filled, aspect=aspect, interpolation="nearest")
    for outline_rc, colour, style in ((reference_rc, REFERENCE, "--"), (mask_rc, RESULT, "-")):
        if outline_rc.any():
            axes.contour(outline_rc, [0.5], colors=colour, linewidths=1.6, linestyles=style)
    row0, column0, row1, column1 = picture.roi.box_rc
    size = column1 - column0 + 1, row1 - row0 + 1
    corner = column0 - 0.5, row0 - 0.5
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=BOX, linewidth=1.2))
    _turn_upright(axes, volume, axis)
    axes.set_axis_off()
    axes.text(
        0.02, 0.97, f"{axis.name.lower()} = {index}", color=INK, fontsize=10, va="top",
        transform=axes.transAxes,
    )  # fmt: skip


def _turn_upright(axes: Any, volume: Volume, axis: SliceAxis) -> None:
    """Shows a slice as radiologists do: front or head up, the patient's right on the left."""
    row, column = axis.rc_positions_ijk
    down_ras = volume.affine_ijk_to_ras[:3, row]
    right_ras = volume.affine_ijk_to_ras[:3, column]
    vertical = int(np.argmax(np.abs(down_ras)))
    if down_ras[vertical] > 0 and vertical > 0:
        axes.invert_yaxis()
    horizontal = int(np.argmax(np.abs(right_ras)))
    if right_ras[horizontal] > 0:
        axes.invert_xaxis()


def _draw_legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=BOX, label="ROI box"),
        Line2D([], [], color=RESULT, linewidth=2, label="result"),
        Line2D([], [], color=REFERENCE, linestyle="--", label="reference"),
    ]
    figure.legend(
        handles=lines, loc="lower center", ncols=3, frameon=False, labelcolor=INK, fontsize=12
    )
