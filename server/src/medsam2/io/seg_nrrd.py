"""Segmentations as 3D Slicer saves them: ``.seg.nrrd``.

Segments that don't overlap share one layer, a 3D label image; overlapping ones go to further layers,
stored along a first ``list`` axis. The header is written here because pynrrd can't write names that
are not ASCII; it is read by pynrrd.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import NotAnImageError
from ..core.geometry import LPS_FROM_RAS
from ..core.volume import Volume
from . import nrrd_files
from .files import replacing
from .grids import Array, native
from .placement import place_labels
from .segments import (
    TISSUE,
    Code,
    Color,
    Segment,
    Segmentation,
    Terminology,
    check_masks,
    default_color,
)

_COMPRESSION = 4
_NO_EXTENT = "0 -1 0 -1 0 -1"
_TERMINOLOGY = "TerminologyEntry:"
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMY = "Anatomic codes - DICOM master list"


def write_seg_nrrd(path: Path, segments: Sequence[Segment], volume: Volume) -> None:
    """Writes segments on the volume's grid so that Slicer shows their names and colours.

    Raises:
        BadGeometryError: a mask isn't on the volume's grid.
        UnwritableOutputError, DiskFullError: nothing was written.
    """
    check_masks(segments, volume)
    layers, layer_of = _layers(segments, volume.shape_kji)
    header = _grid_fields(layers, volume) | _segment_fields(segments, layer_of)
    text = "NRRD0004\n" + "".join(f"{key}{value}\n" for key, value in header.items()) + "\n"
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(text.encode("utf-8"))
        compressor = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        for k in range(volume.shape_kji[0]):
            plane = np.stack([layer[k] for layer in layers], axis=-1)
            file.write(compressor.compress(plane.tobytes()))
        file.write(compressor.flush())


def is_seg_nrrd(path: Path) -> bool:
    """Whether an NRRD file's header describes segments."""
    return any(_SEGMENT_KEY.match(key) for key in nrrd_files.load_header(path))


def read_seg_nrrd(path: Path, *, onto: Volume | None = None) -> Segmentation:
    """Reads a segmentation, possibly cropped and of several layers, as Slicer saves it.

    Raises:
        NotAnImageError, TruncatedFileError: the file can't be read.
        BadGeometryError: its grid isn't the volume's up to whole voxels.
    """
    voxels, header = nrrd_files.load(path)
    spatial = nrrd_files.spatial_axes(header, voxels.ndim)
    if len(spatial) != 3 or voxels.ndim > 4 or voxels.dtype.kind not in "iu":
        msg = f"{path.name} is no segmentation of integer labels on a 3D grid; save it again."
        raise NotAnImageError(msg)
    affine = nrrd_files.affine_of(path, header)
    layers_lijk = voxels[np.newaxis] if voxels.ndim == 3 else voxels
    if voxels.ndim == 4 and 0 in spatial:
        layers_lijk = np.moveaxis(voxels, ({0, 1, 2, 3} - set(spatial)).pop(), 0)
    layers = [native(layer.T) for layer in layers_lijk]
    if onto is not None:
        layers = [place_labels(path.name, layer, affine, onto) for layer in layers]
        affine = onto.affine_ijk_to_ras
    segments = tuple(_segment(path, header, n, layers) for n in _segment_numbers(header))
    k, j, i = layers[0].shape
    return Segmentation(segments, affine, (k, j, i))


def _layers(
    segments: Sequence[Segment], shape_kji: tuple[int, int, int]
) -> tuple[list[Array], list[int]]:
    """Returns label images ``[K, J, I]`` and the layer that each segment is in."""
    dtype = np.uint8 if len(segments) < 256 else np.uint16
    layers: list[Array] = [np.zeros(shape_kji, dtype=dtype)]
    layer_of = []
    for value, segment in enumerate(segments, start=1):
        mask = segment.mask_kji
        free = (n for n, layer in enumerate(layers) if not layer[mask].any())
        number = next(free, len(layers))
        if number == len(layers):
            layers.append(np.zeros(shape_kji, dtype=dtype))
        layers[number][mask] = value
        layer_of.append(number)
    return layers, layer_of


def _grid_fields(layers: Sequence[Array], volume: Volume) -> dict[str, str]:
    affine_lps = LPS_FROM_RAS @ volume.affine_ijk_to_ras
    columns = [_vector(affine_lps[:3, axis]) for axis in range(3)]
    sizes, kinds = [str(n) for n in volume.shape_kji[::-1]], ["domain"] * 3
    if len(layers) > 1:
        columns, sizes, kinds = ["none", *columns], [str(len(layers)), *sizes], ["list", *kinds]
    return {
        "type: ": str(layers[0].dtype),
        "dimension: ": str(len(sizes)),
        "space: ": "left-posterior-superior",
        "sizes: ": " ".join(sizes),
        "space directions: ": " ".join(columns),
        "kinds: ": " ".join(kinds),
        "endian: ": "little",
        "encoding: ": "gzip",
        "space origin: ": _vector(affine_lps[:3, 3]),
    }


def _vector(numbers: Array) -> str:
    return "(" + ",".join(repr(float(n) + 0.0) for n in numbers) + ")"


def _segment_fields(segments: Sequence[Segment], layer_of: Sequence[int]) -> dict[str, str]:
    fields = {
        "Segmentation_ContainedRepresentationNames:=": "Binary labelmap|",
        "Segmentation_ConversionParameters:=": "",
        "Segmentation_MasterRepresentation:=": "Binary labelmap",
        "Segmentation_SourceRepresentation:=": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=": "0 0 0",
    }
    for n, (segment, layer) in enumerate(zip(segments, layer_of, strict=True)):
        color = segment.color or default_color(n)
        own = {
            "Color": " ".join(f"{c:.6g}" for c in color),
            "ColorAutoGenerated": "1" if segment.color is None else "0",
            "Extent": _extent(segment.mask_kji),
            "ID": f"Segment_{n + 1}",
            "LabelValue": str(n + 1),
            "Layer": str(layer),
            "Name": _one_line(segment.name),
            "NameAutoGenerated": "0",
            "Tags": f"Segmentation.Status:inprogress|{_TERMINOLOGY}{_entry(segment.terminology)}|",
        }
        fields |= {f"Segment{n}_{key}:=": value for key, value in own.items()}
    return fields


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\")


def _extent(mask_kji: Array) -> str:
    """Returns ``i0 i1 j0 j1 k0 k1``, the inclusive box around the mask."""
    words = []
    for axis in (2, 1, 0):
        others = tuple(a for a in range(3) if a != axis)
        where = np.flatnonzero(mask_kji.any(axis=others))
        if where.size == 0:
            return _NO_EXTENT
        words += [str(where[0]), str(where[-1])]
    return " ".join(words)


def _entry(terminology: Terminology) -> str:
    """Returns Slicer's form of a terminology entry."""
    category, kind = (f"{c.scheme}^{c.value}^{c.meaning}" for c in
                      (terminology.category, terminology.type))  # fmt: skip
    return f"{_CONTEXT}~{category}~{kind}~^^~{_ANATOMY}~^^~^^"


_SEGMENT_KEY = re.compile(r"Segment(\d+)_(?:ID|Name|LabelValue|Layer)$")


def _segment_numbers(header: dict[str, Any]) -> list[int]:
    return sorted({int(m.group(1)) for key in header if (m := _SEGMENT_KEY.match(key))})


def _segment(path: Path, header: dict[str, Any], number: int, layers: Sequence[Array]) -> Segment:
    def field(key: str, default: str) -> str:
        return str(header.get(f"Segment{number}_{key}", default)).strip()

    # Files from before Slicer 4.11 store one layer for each segment, without these two fields.
    old = f"Segment{number}_LabelValue" not in header
    try:
        layer = int(field("Layer", str(number) if old and len(layers) > 1 else "0"))
        value = int(field("LabelValue", "1"))
        mask_kji = layers[layer] == value
    except (ValueError, IndexError) as error:
        msg = f"{path.name} describes Segment{number} wrongly ({error}); save it again in Slicer."
        raise NotAnImageError(msg) from error
    return Segment(
        name=field("Name", f"Segment_{number + 1}").replace("\\\\", "\\"),
        mask_kji=mask_kji,
        color=_color(field("Color", "")),
        label_value=value,
        terminology=_terminology(field("Tags", "")),
    )


def _color(text: str) -> Color | None:
    try:
        red, green, blue = (min(max(float(word), 0.0), 1.0) for word in text.split())
    except ValueError:
        return None
    return red, green, blue


def _terminology(tags: str) -> Terminology:
    entry = next((t for t in tags.split("|") if t.startswith(_TERMINOLOGY)), "")
    parts = entry.removeprefix(_TERMINOLOGY).split("~")
    codes = [Code(*words) for p in parts[1:3] if len(words := p.split("^")) == 3 and words[1]]
    category, kind = codes if len(codes) == 2 else (TISSUE, TISSUE)
    return Terminology(category, kind)
