"""MetaImage volumes (``.mha``, ``.mhd``), read by ITK after their header was checked.

ITK can't tell a file that ends early from a missing one, and prints to the console when it meets
either, so sizes and spacing are compared with the header first.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from medsam2.core.errors import BadGeometryError, NotAnImageError, TruncatedFileError
from medsam2.core.volume import Volume

from . import itk
from .files import reading
from .grids import native, refuse_2d, refuse_components, refuse_more_axes

_HEADER_LIMIT = 65536
_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def read_metaimage(path: Path, *, allow_2d: bool) -> Volume:
    """Reads a MetaImage volume; see :func:`~medsam2.io.volumes.read_volume`."""
    import SimpleITK as sitk

    with reading(path):
        header, data_at = _header(path)
        axes = int(header.get("ndims", "0"))
        if axes > 3:
            shape = tuple(int(n) for n in header.get("dimsize", "").split())
            raise refuse_more_axes(path.name, shape, "its last axis")
        if axes == 2 and not allow_2d:
            raise refuse_2d(path.name)
        _check_spacing(path, header)
        _check_size(path, header, data_at)
    image = itk.read_image(path)
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    components = image.GetNumberOfComponentsPerPixel()
    voxels_kji = native(sitk.GetArrayFromImage(image))
    if components not in {1, 3} or (components == 3 and voxels_kji.dtype != np.uint8):
        raise refuse_components(path.name, components)
    modality = header.get("modality", "").removeprefix("MET_MOD_")
    return Volume(
        voxels_kji,
        itk.affine_of(image),
        modality="" if modality in {"UNKNOWN", "OTHER"} else modality,
        name=path.name,
        metadata={"format": "metaimage"},
    )


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Returns the header's fields, names in lower case, and where the voxels start."""
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
    fields: dict[str, str] = {}
    position = 0
    for line in start.splitlines(keepends=True):
        position += len(line)
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            return fields, position
    msg = f"{path.name} is not a MetaImage (its header has no ElementDataFile); check what it is."
    raise NotAnImageError(msg)


def _check_spacing(path: Path, header: dict[str, str]) -> None:
    text = header.get("elementspacing", header.get("elementsize", "1"))
    try:
        spacing = [float(word) for word in text.split()]
    except ValueError:
        spacing = [math.nan]
    if not all(math.isfinite(s) and s != 0 for s in spacing):
        msg = f"{path.name} has a spacing of {text} mm in its header; set it first."
        raise BadGeometryError(msg)


def _check_size(path: Path, header: dict[str, str], data_at: int) -> None:
    """Compares the bytes that are there with those that the header promises."""
    data_file = header["elementdatafile"]
    local = data_file.upper() == "LOCAL"
    if not local and (data_file.upper().startswith("LIST") or "%" in data_file):
        return
    file = path if local else path.parent / data_file
    available = file.stat().st_size - (data_at if local else 0)
    kind = header.get("elementtype", "").removeprefix("MET_").removesuffix("_ARRAY")
    size = _BYTES.get(kind.removeprefix("U"), 0) * int(header.get("elementnumberofchannels", "1"))
    needed = size * math.prod(int(n) for n in header.get("dimsize", "0").split())
    if header.get("compresseddata", "").lower() == "true":
        needed = int(header.get("compresseddatasize", "0"))
    if available < needed:
        msg = f"{path.name} ends early: {available} of {needed} bytes are there; copy it again."
        raise TruncatedFileError(msg)
