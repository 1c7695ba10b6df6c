"""Volume and longest diameter of segments, worked out in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from .SliceMemory import thaw

if TYPE_CHECKING:
    from .Chores import Chore, Chores
    from .Workspace import Workspace

Measured = tuple[float | None, float]
"""Volume in ml, None for masks through time, and longest diameter in mm."""


class Measures:
    """Measures segments again whenever their slices have changed.

    Args:
        chores: where it measures, slice by slice.
        onMeasured: called when a figure is new.

    Threading: main thread only.
    """

    def __init__(self, chores: Chores, onMeasured: Callable[[], None]) -> None:
        self._chores, self._onMeasured = chores, onMeasured
        self._known: dict[str, tuple[int, Measured | None]] = {}

    def clear(self) -> None:
        """Forgets all figures; for another segmentation."""
        self._known.clear()

    def of(self, workspace: Workspace, segmentId: str) -> Measured | None:
        """The segment's figures; None while they are being worked out."""
        version = workspace.memory.version(segmentId)
        known = self._known.get(segmentId)
        if known is None or known[0] != version:
            self._known[segmentId] = (version, None)
            self._chores.add(self._measuring(workspace, segmentId, version))
        return self._known[segmentId][1]

    def _measuring(self, workspace: Workspace, segmentId: str, version: int) -> Chore:
        voxels, diameter = 0, 0.0
        for index in workspace.memory.occupied(segmentId):
            if not workspace.intact:
                return
            mask_rc = thaw(workspace.memory.known(segmentId, index), workspace.shape_rc)
            voxels += int(mask_rc.sum())
            diameter = max(diameter, longestDiameter(mask_rc, workspace.spacing_rc))
            yield
        ml = millilitres(voxels, workspace.spacing_ijk) if workspace.volume.isSpatial else None
        self._known[segmentId] = (version, (ml, diameter))
        self._onMeasured()


def millilitres(voxelCount: int, spacing_mm: Iterable[float]) -> float:
    """The volume of so many voxels in ml."""
    return voxelCount * float(np.prod(list(spacing_mm))) / 1000


def longestDiameter(mask_rc: np.ndarray, spacing_rc: tuple[float, float]) -> float:
    """The longest distance in mm between two pixels of a mask, from edge to edge.

    The longest diameter in a slice, as RECIST 1.1 measures it. Only the first and the last pixel of
    a row can be ends of it, so a few hundred points are compared.
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
