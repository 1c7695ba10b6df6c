"""NIfTI volumes, with the geometry of their own header.

The sform counts when its code is set, then the qform, as in 3D Slicer; without either the voxels lie
as ITK puts them (axes towards left, posterior, superior, the first voxel at the origin). The header
is read raw, because libraries replace a zero spacing by 1 and drop a shear without a word.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import BadGeometryError, NotAnImageError, TruncatedFileError
from ..core.geometry import FloatArray, check_affine
from ..core.volume import Volume
from .files import reading
from .grids import (
    Array,
    default_affine,
    native,
    refuse_2d,
    refuse_components,
    refuse_more_axes,
    scaled,
)

_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}


def read_nifti(path: Path, *, allow_2d: bool) -> Volume:
    """Reads a ``.nii`` or ``.nii.gz`` volume; see :func:`~medsam2.io.volumes.read_volume`."""
    import nibabel

    with reading(path):
        header = _raw_header(path)
        try:
            image = nibabel.load(path)
        except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as e:
            msg = f"{path.name} is not a NIfTI image ({e}); check what it is."
            raise NotAnImageError(msg) from e
        _check_spacing(path, header)
        affine = check_affine(_affine(header))
        voxels_ijk = _voxels(path, image, header)
    voxels_kji = _arrange(path, voxels_ijk, allow_2d=allow_2d)
    return Volume(voxels_kji, affine, name=path.name, metadata={"format": "nifti"})


def _raw_header(path: Path) -> Any:
    """Returns the header as it stands in the file, without nibabel's repairs."""
    import nibabel

    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        size = {int.from_bytes(start, order) for order in ("little", "big")}
        kind = nibabel.Nifti2Header if 540 in size else nibabel.Nifti1Header
        if not size & {348, 540}:
            msg = f"{path.name} is not a NIfTI image; check what it is."
            raise NotAnImageError(msg)
        try:
            return kind.from_fileobj(file, check=False)
        except nibabel.wrapstruct.WrapStructError as error:
            msg = f"{path.name} ends within its header; copy or download it again."
            raise TruncatedFileError(msg) from error


def _check_spacing(path: Path, header: Any) -> None:
    dimensions = min(int(header["dim"][0]), 3)
    spacing = np.asarray(header["pixdim"][1 : 1 + dimensions], dtype=np.float64)
    if not np.isfinite(spacing).all() or (spacing == 0).any():
        msg = f"{path.name} has a spacing of {spacing.tolist()} mm in its header; set it first."
        raise BadGeometryError(msg)


def _affine(header: Any) -> FloatArray:
    if int(header["sform_code"]) > 0:
        affine = np.asarray(header.get_sform(), dtype=np.float64)
    elif int(header["qform_code"]) > 0:
        affine = np.asarray(header.get_qform(), dtype=np.float64)
    else:
        i, j, k = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)).tolist()
        affine = default_affine((i, j, k or 1.0))
    unit = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    return np.diag([unit, unit, unit, 1.0]) @ affine


def _voxels(path: Path, image: Any, header: Any) -> Array:
    try:
        voxels_ijk: Array = np.asanyarray(image.dataobj)
    except (OSError, ValueError) as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        msg = f"{path.name} ends before its {header.get_data_shape()} voxels do; copy it again."
        raise TruncatedFileError(msg) from error
    stored = header.get_data_dtype()
    return native(voxels_ijk) if voxels_ijk.dtype == stored else scaled(voxels_ijk)


def _arrange(path: Path, voxels_ijk: Array, *, allow_2d: bool) -> Array:
    """Returns ``[K, J, I]`` or ``[K, J, I, 3]`` from NIfTI's ``[I, J, K, time, component]``."""
    if voxels_ijk.dtype.names:
        if len(voxels_ijk.dtype.names) != 3:
            raise refuse_components(path.name, len(voxels_ijk.dtype.names))
        colours = [voxels_ijk[c] for c in voxels_ijk.dtype.names]
        voxels_ijk = np.stack(colours, axis=-1)[:, :, :, np.newaxis, :]
    shape = voxels_ijk.shape
    if len(shape) == 5 and shape[3] == 1 and shape[4] > 1:
        if shape[4] != 3 or voxels_ijk.dtype != np.uint8:
            raise refuse_components(path.name, shape[4])
        return np.ascontiguousarray(voxels_ijk[:, :, :, 0].transpose(2, 1, 0, 3))
    while voxels_ijk.ndim > 3 and voxels_ijk.shape[-1] == 1:
        voxels_ijk = voxels_ijk[..., 0]
    if voxels_ijk.ndim > 3:
        raise refuse_more_axes(path.name, shape, "its 4th axis (time or channel)")
    if voxels_ijk.ndim == 2:
        if not allow_2d:
            raise refuse_2d(path.name)
        voxels_ijk = voxels_ijk[:, :, np.newaxis]
    return np.ascontiguousarray(voxels_ijk.T)
