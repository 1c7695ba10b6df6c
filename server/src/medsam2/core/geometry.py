"""Where voxels lie in the patient: index axes, affines and boxes.

Frames, and the suffix that names each in every array's name:

* ``ijk``: continuous voxel indices (column, row, slice of the stored array); integers are voxel
  *centres*, so a voxel covers ``[n - 0.5, n + 0.5]``.
* ``kji``: the same indices in numpy's order; arrays of voxels are always ``kji``.
* ``rc``: (row, column) in a slice across one index axis, see :class:`SliceAxis`.
* ``ras`` and ``lps``: millimetres in the patient (right-anterior-superior, left-posterior-superior).

A box is **inclusive voxel indices** at every interface: ``(i0, j0, k0, i1, j1, k1)`` holds both its
corners' voxels and reaches half a voxel beyond their centres. It is half-open nowhere.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import BadGeometryError, EmptyRangeError, OutsideVolumeError, ShearedGeometryError

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoxIJK: TypeAlias = tuple[int, int, int, int, int, int]
BoxRC: TypeAlias = tuple[int, int, int, int]

LPS_FROM_RAS: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Turns a RAS homogeneous point or affine into LPS, and back (it is its own inverse)."""

SHEAR_TOLERANCE = 1e-3
"""Largest cosine between two index axes that still counts as a right angle (0.06 degrees)."""


class SliceAxis(enum.Enum):
    """The index axis that slices are taken across; the value is its place in a ``kji`` array.

    A slice keeps the order of the two other ``kji`` axes as its (row, column): across K it is
    (j, i), across J (k, i), across I (k, j).
    """

    K = 0
    J = 1
    I = 2  # noqa: E741 (the field's own name of the axis)

    @classmethod
    def parse(cls, name: str) -> SliceAxis:
        """Returns the axis named ``i``, ``j`` or ``k``.

        Raises:
            KeyError: the name is none of these.
        """
        return cls[name.upper()]

    @property
    def ijk_position(self) -> int:
        """Place of this axis in an ``ijk`` triple."""
        return 2 - self.value

    @property
    def rc_positions_ijk(self) -> tuple[int, int]:
        """Places of the slice's (row, column) axes in an ``ijk`` triple."""
        row, column = (a for a in (0, 1, 2) if a != self.value)
        return 2 - row, 2 - column

    def split_ijk(self, point_ijk: npt.ArrayLike) -> tuple[float, tuple[float, float]]:
        """Splits an ``ijk`` point into its slice index and its ``rc`` place in that slice."""
        point = np.asarray(point_ijk, dtype=np.float64)
        row, column = self.rc_positions_ijk
        return float(point[self.ijk_position]), (float(point[row]), float(point[column]))

    def join_ijk(self, index: float, point_rc: tuple[float, float]) -> tuple[float, float, float]:
        """Undoes :meth:`split_ijk`."""
        row, column = self.rc_positions_ijk
        point = [0.0, 0.0, 0.0]
        point[self.ijk_position] = index
        point[row], point[column] = point_rc
        return point[0], point[1], point[2]

    def split_box(self, box_ijk: BoxIJK) -> tuple[tuple[int, int], BoxRC]:
        """Splits an inclusive 3D box into its inclusive slice range and its 2D footprint."""
        first, (row0, col0) = self.split_ijk(box_ijk[:3])
        last, (row1, col1) = self.split_ijk(box_ijk[3:])
        return (int(first), int(last)), (int(row0), int(col0), int(row1), int(col1))


def spacing_ijk(affine_ijk_to_ras: FloatArray) -> tuple[float, float, float]:
    """Returns the voxel size in mm along i, j and k: the lengths of the affine's columns."""
    columns = np.asarray(affine_ijk_to_ras, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])


def check_affine(affine_ijk_to_ras: npt.ArrayLike) -> FloatArray:
    """Returns the affine as float64 ``[4, 4]`` if voxels on it are right-angled boxes.

    Left-handed and oblique axes are fine.

    Raises:
        BadGeometryError: the matrix isn't 4x4 and finite, or a spacing is zero.
        ShearedGeometryError: two index axes are not at right angles.
    """
    affine = np.array(affine_ijk_to_ras, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        msg = "The image's orientation is not a finite 4x4 matrix; repair its header first."
        raise BadGeometryError(msg)
    spacing = np.array(spacing_ijk(affine))
    if (spacing < 1e-6).any():
        msg = f"The image's spacing is zero along an axis ({spacing.tolist()} mm); set it first."
        raise BadGeometryError(msg)
    directions = affine[:3, :3] / spacing
    cosines = directions.T @ directions - np.eye(3)
    if np.abs(cosines).max() > SHEAR_TOLERANCE:
        degrees = float(np.degrees(np.arcsin(min(1.0, np.abs(cosines).max()))))
        msg = (
            f"The image's axes are sheared by {degrees:.1f} degrees (a gantry tilt?); resample it "
            "onto a right-angled grid first (in Slicer: Transforms, then Harden; or Resample)."
        )
        raise ShearedGeometryError(msg)
    return affine


def transform_points(matrix: FloatArray, points: npt.ArrayLike) -> FloatArray:
    """Applies a homogeneous 4x4 ``matrix`` to ``points`` ``[..., 3]``."""
    xyz = np.asarray(points, dtype=np.float64)
    return xyz @ matrix[:3, :3].T + matrix[:3, 3]


def ras_to_ijk(affine_ijk_to_ras: FloatArray, points_ras: npt.ArrayLike) -> FloatArray:
    """Returns the continuous ``ijk`` of points in RAS millimetres, shape kept ``[..., 3]``."""
    affine_ras_to_ijk = np.asarray(np.linalg.inv(affine_ijk_to_ras), dtype=np.float64)
    return transform_points(affine_ras_to_ijk, points_ras)


def flip_ras_lps(points: npt.ArrayLike) -> FloatArray:
    """Turns RAS points ``[..., 3]`` into LPS, and LPS into RAS."""
    return np.asarray(points, dtype=np.float64) * np.array([-1.0, -1.0, 1.0], dtype=np.float64)


def box_corners(lower: npt.ArrayLike, upper: npt.ArrayLike) -> FloatArray:
    """Returns the 8 corners ``[8, 3]`` of an axis-aligned box in whichever frame it is given."""
    bounds = np.stack([np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)])
    choice = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")).reshape(3, 8).T
    return np.asarray(bounds[choice, np.arange(3)], dtype=np.float64)


def box_from_corners_ras(
    corners_ras: npt.ArrayLike, affine_ijk_to_ras: FloatArray, shape_kji: tuple[int, int, int]
) -> BoxIJK:
    """Returns the inclusive voxel box around 8 corners, clipped to the volume.

    A voxel belongs to the box when its centre lies between the extreme corners; all 8 corners are
    needed because the box may be rotated against the index axes. A box thinner than a voxel holds
    the voxel that its middle lies in.

    Raises:
        OutsideVolumeError: no voxel of the volume is inside.
    """
    corners_ijk = ras_to_ijk(affine_ijk_to_ras, corners_ras).reshape(-1, 3)
    low, high = corners_ijk.min(axis=0), corners_ijk.max(axis=0)
    first, last = np.ceil(low - 1e-6), np.floor(high + 1e-6)
    middle = np.round((low + high) / 2)
    thin = first > last
    first, last = np.where(thin, middle, first), np.where(thin, middle, last)
    limit = np.array(shape_kji[::-1]) - 1
    if (last < 0).any() or (first > limit).any():
        msg = (
            f"The box reaches from voxel {first.astype(int).tolist()} to "
            f"{last.astype(int).tolist()}, outside the volume (0,0,0 to {limit.tolist()}); "
            "check its coordinate system."
        )
        raise OutsideVolumeError(msg)
    first, last = np.clip(first, 0, limit).astype(int), np.clip(last, 0, limit).astype(int)
    return (
        int(first[0]), int(first[1]), int(first[2]), int(last[0]), int(last[1]), int(last[2]),
    )  # fmt: skip


def check_box_ijk(box_ijk: BoxIJK, shape_kji: tuple[int, int, int]) -> BoxIJK:
    """Returns the box with its corners in order, clipped to the volume.

    Raises:
        OutsideVolumeError: no voxel of the volume is inside.
    """
    corners = np.array(box_ijk, dtype=np.int64).reshape(2, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    limit = np.array(shape_kji[::-1]) - 1
    if (high < 0).any() or (low > limit).any():
        msg = (
            f"The box {list(box_ijk)} lies outside the volume, whose voxels are "
            f"0,0,0 to {','.join(str(n) for n in limit)} (i,j,k, inclusive)."
        )
        raise OutsideVolumeError(msg)
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    return int(low[0]), int(low[1]), int(low[2]), int(high[0]), int(high[1]), int(high[2])


def check_range(first: int, last: int, count: int) -> tuple[int, int]:
    """Returns an inclusive range of slices, clipped to ``count`` slices.

    Raises:
        EmptyRangeError: the range is reversed.
        OutsideVolumeError: the range touches no slice.
    """
    if first > last:
        msg = f"The range {first}..{last} is empty: its first slice comes after its last."
        raise EmptyRangeError(msg)
    if last < 0 or first >= count:
        msg = f"The range {first}..{last} lies outside the volume's slices 0..{count - 1}."
        raise OutsideVolumeError(msg)
    return max(first, 0), min(last, count - 1)


def default_axis(affine_ijk_to_ras: FloatArray) -> SliceAxis:
    """Returns the axis a reader would scroll along: the coarsest one, or else the most axial one.

    The coarsest index axis is taken when it is at least 1.2 times coarser than the others (a stack
    of slices is tracked through its slices); an isotropic volume is scrolled head to foot.
    """
    sizes = np.array(spacing_ijk(affine_ijk_to_ras))
    coarsest = int(np.argmax(sizes))
    others = np.delete(sizes, coarsest)
    if sizes[coarsest] < 1.2 * float(others.max()):
        head_foot = np.abs(affine_ijk_to_ras[2, :3]) / sizes
        coarsest = int(np.argmax(head_foot))
    return SliceAxis(2 - coarsest)
