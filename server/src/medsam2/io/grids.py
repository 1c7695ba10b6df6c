"""Small steps that every reader shares: axes, colours and default geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medsam2.core.errors import NotAVolumeError
from medsam2.core.geometry import LPS_FROM_RAS, FloatArray

Array = npt.NDArray[Any]


def affine_from_lps(
    direction_lps: npt.ArrayLike, spacing_ijk: npt.ArrayLike, origin_lps: npt.ArrayLike
) -> FloatArray:
    """Returns the ``ijk`` to RAS affine of a grid that is given in LPS, as ITK and DICOM do.

    Args:
        direction_lps: ``[3, 3]``, whose columns are the unit vectors of i, j and k.
        spacing_ijk: mm along i, j and k.
        origin_lps: centre of voxel (0, 0, 0).
    """
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = np.asarray(direction_lps, dtype=np.float64).reshape(3, 3) * np.asarray(
        spacing_ijk, dtype=np.float64
    )
    affine_lps[:3, 3] = np.asarray(origin_lps, dtype=np.float64)
    return np.asarray(LPS_FROM_RAS @ affine_lps, dtype=np.float64)


def default_affine(spacing_ijk: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> FloatArray:
    """Returns the affine that 3D Slicer gives an image without geometry: LPS axes, origin 0."""
    return affine_from_lps(np.eye(3), spacing_ijk, np.zeros(3))


def refuse_2d(name: str) -> NotAVolumeError:
    """Returns the error for a 2D image where a volume is needed."""
    return NotAVolumeError(
        f"{name} is a single 2D image and a volume is needed; give a stack of slices (a volume "
        "file, a DICOM folder, a multi-page TIFF or a folder of frames)."
    )


def refuse_more_axes(name: str, shape: tuple[int, ...], axis: str) -> NotAVolumeError:
    """Returns the error for an image with more than three axes; ``axis`` says which to split."""
    return NotAVolumeError(
        f"{name} has {len(shape)} axes {shape}; split it along {axis} and give one volume."
    )


def refuse_components(name: str, count: int) -> NotAVolumeError:
    """Returns the error for voxels that are neither one number nor 8-bit RGB."""
    return NotAVolumeError(
        f"{name} has {count} numbers in each voxel; grey (one) or 8-bit RGB (three) is needed: "
        "extract a component first."
    )


def native(voxels: Array) -> Array:
    """Returns the voxels in this machine's byte order, of the type they had."""
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def scaled(voxels: Array) -> Array:
    """Returns voxels that a slope made float64 as float32, and all others as they are."""
    return voxels.astype(np.float32) if voxels.dtype == np.float64 else voxels
