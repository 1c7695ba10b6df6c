"""A scanned volume: voxels and where they lie."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import NonFiniteVoxelsError, NotAVolumeError
from .geometry import FloatArray, SliceAxis, check_affine, spacing_ijk


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with their place in the patient; never changed by the engine.

    Args:
        voxels_kji: grey ``[K, J, I]`` of any integer or float type, or colour ``[K, J, I, 3]`` uint8.
        affine_ijk_to_ras: voxel centres to RAS millimetres ``[4, 4]``.
        modality: DICOM's term (``CT``, ``MR``, ``PT``, ``US`` ...), or empty when unknown.
        name: what to call it in messages.
        metadata: facts its format carried, for writers (never sent over the wire).

    Raises:
        NotAVolumeError: the array is neither shape, or an axis is empty.
        NonFiniteVoxelsError: a voxel is NaN or infinite.
        BadGeometryError, ShearedGeometryError: see :func:`~medsam2.core.geometry.check_affine`.
    """

    voxels_kji: npt.NDArray[Any]
    affine_ijk_to_ras: FloatArray
    modality: str = ""
    name: str = "volume"
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        voxels = self.voxels_kji
        colour = voxels.ndim == 4 and voxels.shape[3] == 3 and voxels.dtype == np.uint8
        if not (voxels.ndim == 3 or colour) or 0 in voxels.shape:
            msg = (
                f"{self.name} has shape {voxels.shape}; a volume needs three axes of voxels "
                "(or four with 8-bit red, green, blue last)."
            )
            raise NotAVolumeError(msg)
        if voxels.dtype.kind == "f":
            bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in voxels)
            if bad:
                msg = f"{self.name} holds {bad} NaN or infinite voxels; replace them first."
                raise NonFiniteVoxelsError(msg)
        elif voxels.dtype.kind not in "iub":
            msg = f"{self.name} has voxels of type {voxels.dtype}; integers or floats are needed."
            raise NotAVolumeError(msg)
        object.__setattr__(self, "affine_ijk_to_ras", check_affine(self.affine_ijk_to_ras))

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Number of voxels along k, j and i."""
        k, j, i = self.voxels_kji.shape[:3]
        return int(k), int(j), int(i)

    @property
    def is_color(self) -> bool:
        """Whether voxels are red, green, blue."""
        return self.voxels_kji.ndim == 4

    @functools.cached_property
    def spacing_ijk(self) -> tuple[float, float, float]:
        """Voxel size in mm along i, j and k."""
        return spacing_ijk(self.affine_ijk_to_ras)

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 of voxels, their type and shape: equal for equal images, whatever their name."""
        digest = hashlib.sha256(f"{self.voxels_kji.dtype.str}{self.voxels_kji.shape}".encode())
        for plane in self.voxels_kji:
            digest.update(np.ascontiguousarray(plane).data)
        return digest.hexdigest()

    def count(self, axis: SliceAxis) -> int:
        """Number of slices across ``axis``."""
        return self.shape_kji[axis.value]

    def shape_rc(self, axis: SliceAxis) -> tuple[int, int]:
        """Rows and columns of a slice across ``axis``."""
        rows, columns = (n for a, n in enumerate(self.shape_kji) if a != axis.value)
        return rows, columns

    def spacing_rc(self, axis: SliceAxis) -> tuple[float, float]:
        """Distance in mm between rows and between columns of a slice across ``axis``."""
        row, column = axis.rc_positions_ijk
        return self.spacing_ijk[row], self.spacing_ijk[column]

    def spacing_across(self, axis: SliceAxis) -> float:
        """Distance in mm between neighbouring slices across ``axis``."""
        return self.spacing_ijk[axis.ijk_position]

    def slice_rc(self, axis: SliceAxis, index: int) -> npt.NDArray[Any]:
        """A view of one slice, ``[rows, columns]`` or ``[rows, columns, 3]``."""
        view: npt.NDArray[Any] = np.moveaxis(self.voxels_kji, axis.value, 0)[index]
        return view
