"""Putting labels onto a volume's grid, voxel for voxel."""

from __future__ import annotations

import numpy as np

from medsam2.core.errors import BadGeometryError
from medsam2.core.geometry import FloatArray, box_corners, transform_points
from medsam2.core.volume import Volume

from .grids import Array

TOLERANCE_VOXELS = 0.02
"""How far a label voxel's centre may lie from a volume voxel's, for header rounding alone."""


def place_labels(
    name: str, labels_kji: Array, affine_ijk_to_ras: FloatArray, volume: Volume
) -> Array:
    """Returns the labels on the volume's grid ``[K, J, I]``; voxels outside of it are dropped.

    The grids may differ by a whole number of voxels and by the order and direction of their axes,
    never by spacing or rotation: nothing is resampled.

    Raises:
        BadGeometryError: the grids differ in any other way, or the labels lie wholly outside.
    """
    to_volume = np.linalg.inv(volume.affine_ijk_to_ras) @ affine_ijk_to_ras
    turn = np.rint(to_volume[:3, :3]).astype(int)
    last_ijk = np.array(labels_kji.shape[::-1]) - 1
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn, np.rint(to_volume[:3, 3])
    corners = box_corners(np.zeros(3), last_ijk)
    drift = np.abs(transform_points(to_volume, corners) - transform_points(whole, corners)).max()
    if not _is_signed_permutation(turn) or drift > TOLERANCE_VOXELS:
        msg = (
            f"{name} lies on another grid than {volume.name} (voxels don't coincide); resample it "
            "onto the volume first (nearest neighbour)."
        )
        raise BadGeometryError(msg)
    offset = whole[:3, 3].astype(int)
    turned_kji, offset = _turned(labels_kji, turn, offset)
    return _cropped(name, turned_kji, offset, volume)


def _is_signed_permutation(turn: Array) -> bool:
    size = np.abs(turn)
    return bool((size.sum(axis=0) == 1).all() and (size.sum(axis=1) == 1).all())


def _turned(labels_kji: Array, turn: Array, offset_ijk: Array) -> tuple[Array, Array]:
    """Returns the labels with the volume's axes, and where their first voxel then lies."""
    labels_ijk = labels_kji.T
    order = [int(np.flatnonzero(row)[0]) for row in turn]
    labels_ijk = labels_ijk.transpose(order)
    offset = offset_ijk.copy()
    for axis, source in enumerate(order):
        if turn[axis, source] < 0:
            labels_ijk = np.flip(labels_ijk, axis)
            offset[axis] -= labels_ijk.shape[axis] - 1
    return labels_ijk.T, offset


def _cropped(name: str, labels_kji: Array, offset_ijk: Array, volume: Volume) -> Array:
    placed = np.zeros(volume.shape_kji, dtype=labels_kji.dtype)
    offset = offset_ijk[::-1]
    first = np.maximum(offset, 0)
    last = np.minimum(offset + labels_kji.shape, volume.shape_kji)
    if (last <= first).any():
        msg = f"{name} lies wholly outside {volume.name}; check that they belong together."
        raise BadGeometryError(msg)
    inside = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    taken = tuple(slice(a, b) for a, b in zip(first - offset, last - offset, strict=True))
    placed[inside] = labels_kji[taken]
    return placed
