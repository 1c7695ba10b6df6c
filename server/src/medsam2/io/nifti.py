"""NIfTI volumes, with the geometry of their own header.

The sform counts when its code is set, then the qform; without either the voxels lie as ITK puts
them (axes towards left, posterior, superior, the first voxel at the origin). The header is read
raw, because libraries replace a zero spacing by 1 and drop a shear without a word.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import BadGeometryError, NotAnImageError, TruncatedFileError
from medsam2.core.geometry import FloatArray, check_affine
from medsam2.core.volume import Volume

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
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with reading(path), opener(path, "rb") as file:
        content = file.read()  # to its end, so that a gzip checksum is compared
    image_class, header = _raw_header(path, content)
    _check_spacing(path, header)
    affine = check_affine(_affine(header))
    voxels_kji = _arrange(path, _voxels(path, image_class, content), allow_2d=allow_2d)
    return Volume(voxels_kji, affine, name=path.name, metadata={"format": "nifti"})


def _raw_header(path: Path, content: bytes) -> tuple[Any, Any]:
    """Returns nibabel's image class and the header as it stands, without nibabel's repairs."""
    import nibabel
    from nibabel.wrapstruct import WrapStructError

    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    image_class = nibabel.Nifti2Image if 540 in sizes else nibabel.Nifti1Image
    if not sizes & {348, 540}:
        msg = f"{path.name} is not a NIfTI image; check what it is."
        raise NotAnImageError(msg)
    try:
        header = image_class.header_class.from_fileobj(io.BytesIO(content), check=False)
    except WrapStructError as error:
        msg = f"{path.name} ends within its header; copy or download it again."
        raise TruncatedFileError(msg) from error
    return image_class, header


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


def _voxels(path: Path, image_class: Any, content: bytes) -> Array:
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = image_class.from_bytes(content)
    except (ImageFileError, HeaderDataError) as error:
        msg = f"{path.name} is not a NIfTI image ({error}); check what it is."
        raise NotAnImageError(msg) from error
    try:
        voxels_ijk: Array = np.asanyarray(image.dataobj)
    except (OSError, ValueError) as error:
        msg = f"{path.name} ends before its {image.shape} voxels do; copy or download it again."
        raise TruncatedFileError(msg) from error
    stored = image.get_data_dtype()
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
