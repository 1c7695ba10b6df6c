"""Writing labels as NRRD.

The header is written here because pynrrd can't write names that are not ASCII.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medsam2.core.geometry import LPS_FROM_RAS, FloatArray

from .grids import Array

_COMPRESSION = 4


def write_layers(
    path: Path, layers: Sequence[Array], affine_ijk_to_ras: FloatArray, fields: Mapping[str, str]
) -> None:
    """Writes label images ``[K, J, I]`` of one type, gzipped, in LPS.

    Several layers are stored along a first axis of kind ``list``, a single one as a 3D image.
    ``fields`` become key/value pairs of the header.
    """
    header = [f"{key}: {value}" for key, value in _grid(layers, affine_ijk_to_ras).items()]
    header += [f"{key}:={_escaped(value)}" for key, value in fields.items()]
    with path.open("wb") as file:
        file.write("\n".join(["NRRD0004", *header, "", ""]).encode("utf-8"))
        compressor = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        for planes in zip(*layers, strict=True):
            little = np.stack(planes, axis=-1).astype(layers[0].dtype.newbyteorder("<"))
            file.write(compressor.compress(little.tobytes()))
        file.write(compressor.flush())


def _grid(layers: Sequence[Array], affine_ijk_to_ras: FloatArray) -> dict[str, str]:
    affine_lps = LPS_FROM_RAS @ affine_ijk_to_ras
    columns = [_vector(affine_lps[:3, axis]) for axis in range(3)]
    sizes, kinds = [str(n) for n in layers[0].shape[::-1]], ["domain"] * 3
    if len(layers) > 1:
        columns, sizes, kinds = ["none", *columns], [str(len(layers)), *sizes], ["list", *kinds]
    return {
        "type": str(layers[0].dtype),
        "dimension": str(len(sizes)),
        "space": "left-posterior-superior",
        "sizes": " ".join(sizes),
        "space directions": " ".join(columns),
        "kinds": " ".join(kinds),
        "endian": "little",
        "encoding": "gzip",
        "space origin": _vector(affine_lps[:3, 3]),
    }


def _vector(numbers: Array) -> str:
    return "(" + ",".join(repr(float(n) + 0.0) for n in numbers) + ")"  # + 0.0 turns -0.0 to 0.0


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
