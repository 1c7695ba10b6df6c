"""Volume and longest diameter of a segment, from its slices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def millilitres(voxelCount: int, spacing_mm: Iterable[float]) -> float:
    """The volume of so many voxels in ml."""
    return voxelCount * float(np.prod(list(spacing_mm))) / 1000


def longestDiameter(mask_rc: np.ndarray, spacing_rc: tuple[float, float]) -> float:
    """The longest distance in mm between two pixels of a mask, edge to edge along the line.

    The largest diameter in a slice, as RECIST 1.1 measures it. Only the outermost pixels of each row
    can be ends of it, so a few hundred points are compared.
    """
    rows = np.flatnonzero(mask_rc.any(axis=1))
    if rows.size == 0:
        return 0.0
    first = mask_rc[rows].argmax(axis=1)
    last = mask_rc.shape[1] - 1 - mask_rc[rows][:, ::-1].argmax(axis=1)
    ends_rc = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])
    points_mm = ends_rc * np.array(spacing_rc)
    steps_mm = points_mm[:, None, :] - points_mm[None, :, :]
    centres = float(np.sqrt((steps_mm**2).sum(axis=2)).max())
    return centres + float(np.mean(spacing_rc))
