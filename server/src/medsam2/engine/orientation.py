"""Turning slices the way radiologists look at them, which is how models have seen them in training.

Axial slices have rows to posterior and columns to the patient's left; coronal ones rows to inferior
and columns to left; sagittal ones rows to inferior and columns to posterior. ``view`` names the frame
of a turned slice.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medsam2.core.geometry import LPS_FROM_RAS, FloatArray, SliceAxis

_DISPLAY_LPS = {0: ((0, 0, -1), (0, 1, 0)), 1: ((0, 0, -1), (1, 0, 0)), 2: ((0, 1, 0), (1, 0, 0))}
"""Directions of rows and columns on the screen by the slice normal's main LPS axis."""


@dataclasses.dataclass(frozen=True)
class Orientation:
    """How a slice ``rc`` becomes a view: transposed first, then flipped."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def shape(self, shape_rc: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the view of a slice of this shape."""
        return (shape_rc[1], shape_rc[0]) if self.transpose else shape_rc

    def apply(self, plane_rc: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the view ``[rows, columns, ...]`` of a slice, as an array of its own."""
        plane = plane_rc.swapaxes(0, 1) if self.transpose else plane_rc
        plane = plane[::-1] if self.flip_rows else plane
        plane = plane[:, ::-1] if self.flip_columns else plane
        return plane.copy()

    def undo(self, planes: torch.Tensor) -> torch.Tensor:
        """Returns views ``[..., rows, columns]`` as slices."""
        flips = [d for d, flip in ((-2, self.flip_rows), (-1, self.flip_columns)) if flip]
        planes = planes.flip(flips) if flips else planes
        return planes.transpose(-2, -1) if self.transpose else planes

    def points(self, points_rc: npt.ArrayLike, shape_rc: tuple[int, int]) -> FloatArray:
        """Maps points ``[..., 2]`` of a slice of this shape into its view."""
        points = np.array(points_rc, dtype=np.float64)
        if self.transpose:
            points = points[..., ::-1].copy()
        flips = (self.flip_rows, self.flip_columns)
        for place, (flip, count) in enumerate(zip(flips, self.shape(shape_rc), strict=True)):
            if flip:
                points[..., place] = count - 1 - points[..., place]
        return points


STORED = Orientation()
"""As the volume is stored."""


def display_orientation(affine_ijk_to_ras: FloatArray, axis: SliceAxis) -> Orientation:
    """Returns how slices across an index axis are turned to look as on a reading station."""
    directions = (LPS_FROM_RAS @ affine_ijk_to_ras)[:3, :3]
    directions = directions / np.linalg.norm(directions, axis=0)
    row, column = (directions[:, place] for place in axis.rc_positions_ijk)
    across = directions[:, axis.ijk_position]
    down, right = np.array(_DISPLAY_LPS[int(np.argmax(np.abs(across)))])
    transpose = abs(row @ down) + abs(column @ right) < abs(row @ right) + abs(column @ down)
    if transpose:
        row, column = column, row
    return Orientation(bool(transpose), bool(row @ down < 0), bool(column @ right < 0))
