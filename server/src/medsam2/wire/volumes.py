"""A volume on the wire: the narrowest type that keeps what the model sees, in chunks of slices.

No name, no identifier and no metadata crosses the wire, only voxels. The voxels' SHA-256, with their
type and shape, is the volume's name: a volume is sent once, and nothing else can take its place.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from medsam2.core.errors import MessageTooLargeError, WireError
from medsam2.core.volume import Volume

from . import strict
from .arrays import DtypeName, Shape
from .limits import LONGEST_AXIS, MOST_CHUNK_BYTES, MOST_VOLUME_BYTES


@dataclasses.dataclass(frozen=True)
class VolumeHeader:
    """What is uploaded: ``[K, J, I]``, or ``[K, J, I, 3]`` of uint8 for colour."""

    dtype: DtypeName
    shape: Shape

    def __post_init__(self) -> None:
        colour = len(self.shape) == 4 and self.shape[3] == 3 and self.dtype == "uint8"
        if len(self.shape) != 3 and not colour:
            msg = "A volume has three axes, or four with 8-bit red, green, blue last."
            raise WireError(msg)
        if self.size_bytes > MOST_VOLUME_BYTES:
            msg = f"A volume may have {MOST_VOLUME_BYTES >> 20} MiB at most."
            raise MessageTooLargeError(msg)

    @property
    def size_bytes(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def planes_per_chunk(self) -> int:
        """Slices across K in every chunk but the last."""
        plane = self.size_bytes // self.shape[0]
        return max(1, min(self.shape[0], MOST_CHUNK_BYTES // plane))

    @property
    def chunk_count(self) -> int:
        """Number of chunks."""
        return math.ceil(self.shape[0] / self.planes_per_chunk)

    def chunk(self, number: int) -> slice:
        """The slices across K that a chunk holds."""
        first = number * self.planes_per_chunk
        return slice(first, min(self.shape[0], first + self.planes_per_chunk))


@dataclasses.dataclass(frozen=True)
class UploadState:
    """What a server has of a volume."""

    complete: bool
    missing: Annotated[
        tuple[Annotated[int, strict.Range(0, LONGEST_AXIS - 1)], ...], strict.Most(LONGEST_AXIS)
    ]


def wire_volume(volume: Volume) -> Volume:
    """Returns a volume of the same geometry with voxels of a wire type.

    Integers and booleans take the narrowest type that holds them all; wider integers and other
    floats become float32, which is what the engine makes of them too: masks don't change.
    """
    voxels = volume.voxels_kji
    dtype = _wire_dtype(voxels)
    narrowed = voxels if voxels.dtype == dtype else _cast(voxels, dtype)
    little = np.ascontiguousarray(narrowed, np.dtype(dtype).newbyteorder("<"))
    return Volume(little, volume.affine_ijk_to_ras)


def header_of(volume: Volume) -> VolumeHeader:
    """The header of a volume that :func:`wire_volume` made.

    Raises:
        WireError: an axis is too long.
        MessageTooLargeError: there are too many voxels.
    """
    voxels = volume.voxels_kji
    fields = {"dtype": voxels.dtype.name, "shape": list(voxels.shape)}
    return strict.build(VolumeHeader, fields)


def _cast(voxels: npt.NDArray[Any], dtype: DtypeName) -> npt.NDArray[Any]:
    """Values beyond float32 become its largest ones; no window tells them from infinity."""
    with np.errstate(over="ignore"):
        cast = voxels.astype(dtype)
    if voxels.dtype.kind == "f" and voxels.dtype.itemsize > 4:
        limits = np.finfo(np.float32)
        np.clip(cast, limits.min, limits.max, out=cast)
    return cast


def _wire_dtype(voxels: npt.NDArray[Any]) -> DtypeName:
    if voxels.dtype.kind == "f":
        return "float32"
    if voxels.dtype.name in {"bool", "uint8"}:
        return "uint8"
    low, high = int(voxels.min()), int(voxels.max())
    names: tuple[DtypeName, ...] = ("uint8", "int16", "uint16", "int32")
    for name in names:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return name
    return "float32"
