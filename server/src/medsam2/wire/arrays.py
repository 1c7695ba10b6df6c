"""The array codec: a JSON header and a body, with every size checked before anything is allocated.

A frame is ``b"MS2A"``, the header's length as a big-endian unsigned 32-bit integer, the header and the
body. The header names the type (little-endian), the shape, the codec and the CRC-32 of the voxels'
bytes. Codecs: ``raw``; ``zlib``, the bytes of all voxels shuffled (all first bytes, then all second
ones) and deflated; ``zstd``, the same with Zstandard where its package is installed.

The reader says beforehand which type and shape it expects, so a header can't make it allocate
anything else, and decompression stops at the expected size: a bomb costs as much as an honest frame.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import struct
import zlib
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medsam2.core.errors import WireError

from . import strict
from .limits import LONGEST_AXIS

Codec = Literal["raw", "zlib", "zstd"]
DtypeName = Literal["uint8", "int16", "uint16", "int32", "float32"]
Axis = Annotated[int, strict.Range(1, LONGEST_AXIS)]
Shape = Annotated[tuple[Axis, ...], strict.Most(4)]

MAGIC = b"MS2A"
MOST_HEADER = 1024
_PREFIX = struct.Struct(">4sI")
_LEVEL = 1


@dataclasses.dataclass(frozen=True)
class ArrayHeader:
    """What a frame says of its array."""

    dtype: DtypeName
    shape: Shape
    codec: Codec
    crc32: Annotated[int, strict.Range(0, 0xFFFFFFFF)]


@functools.cache
def codecs() -> tuple[Codec, ...]:
    """The codecs that this process has, the best one for a slow network first."""
    has_zstd = importlib.util.find_spec("zstandard") is not None
    return ("zstd", "zlib", "raw") if has_zstd else ("zlib", "raw")


def encode(array: npt.NDArray[Any], codec: Codec) -> bytes:
    """Returns an array of a wire type as a frame.

    Raises:
        WireError: the type is none of the wire's, an axis is empty or too long, or the codec isn't
            installed.
    """
    if array.dtype.name not in get_args(DtypeName):
        msg = f"Arrays of {array.dtype} can't be sent; {', '.join(get_args(DtypeName))} can."
        raise WireError(msg)
    dtype = np.dtype(array.dtype).newbyteorder("<")
    plain = np.ascontiguousarray(array, dtype)
    flat = plain.reshape(-1).view(np.uint8)
    header = strict.build(
        ArrayHeader,
        {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "codec": codec,
            "crc32": zlib.crc32(flat.data),
        },
    )
    text = strict.to_json(header)
    body = flat.data if codec == "raw" else _compress(_shuffled(flat, dtype.itemsize), codec)
    return b"".join((_PREFIX.pack(MAGIC, len(text)), text, body))


def decode_into(frame: bytes | bytearray | memoryview, out: npt.NDArray[Any]) -> None:
    """Reads a frame into a C-contiguous array, which says what type and shape is expected.

    ``out`` is written only once the body's size is known to fit; after an error its content is
    undefined, and the caller must not use it.

    Raises:
        WireError: the frame is damaged, or holds another type or shape.
    """
    header, body = _split(memoryview(frame))
    if header.dtype != out.dtype.name or header.shape != out.shape:
        wanted = f"{out.dtype.name} {list(out.shape)}"
        msg = f"The array is {header.dtype} {list(header.shape)}; {wanted} was expected."
        raise WireError(msg)
    flat = out.reshape(-1).view(np.uint8)
    if header.codec == "raw":
        if len(body) != flat.size:
            msg = f"The array's body has {len(body)} bytes; {flat.size} were expected."
            raise WireError(msg)
        flat[:] = np.frombuffer(body, np.uint8)
    else:
        plain = _decompress(body, header.codec, flat.size)
        planes = np.frombuffer(plain, np.uint8).reshape(out.itemsize, -1)
        for place, plane in enumerate(planes):
            flat[place :: out.itemsize] = plane  # six times as fast as the transpose
    if zlib.crc32(flat.data) != header.crc32:
        msg = "The array's checksum is wrong; send it again."
        raise WireError(msg)


def header_of(frame: bytes | bytearray | memoryview) -> ArrayHeader:
    """Reads a frame's header alone.

    Raises:
        WireError: it is damaged.
    """
    return _split(memoryview(frame))[0]


def inflate(body: bytes | memoryview, size: int) -> bytes:
    """Undoes zlib for a body whose size is known; never makes more than ``size`` + 1 bytes.

    Raises:
        WireError: the body is damaged, or of another size.
    """
    machine = zlib.decompressobj()
    try:
        plain = machine.decompress(body, size + 1)
    except zlib.error:
        msg = "The compressed bytes are damaged."
        raise WireError(msg) from None
    if len(plain) != size or not machine.eof or machine.unused_data:
        msg = f"The compressed bytes do not hold the expected {size} bytes."
        raise WireError(msg)
    return plain


def _split(frame: memoryview) -> tuple[ArrayHeader, memoryview]:
    if len(frame) < _PREFIX.size:
        msg = "The array's frame is cut off."
        raise WireError(msg)
    magic, length = _PREFIX.unpack(frame[: _PREFIX.size])
    if magic != MAGIC or length > MOST_HEADER:
        msg = "The bytes are no array's frame."
        raise WireError(msg)
    end = _PREFIX.size + length
    if len(frame) < end:
        msg = "The array's frame is cut off."
        raise WireError(msg)
    return strict.from_json(ArrayHeader, frame[_PREFIX.size : end]), frame[end:]


def _shuffled(flat: npt.NDArray[np.uint8], itemsize: int) -> bytes:
    return flat.reshape(-1, itemsize).T.tobytes()


def _zstandard() -> Any:
    if "zstd" not in codecs():
        msg = "The codec zstd is not installed here; use zlib or raw."
        raise WireError(msg)
    return importlib.import_module("zstandard")


def _compress(plain: bytes, codec: Codec) -> bytes:
    if codec == "zlib":
        return zlib.compress(plain, _LEVEL)
    return bytes(_zstandard().ZstdCompressor(level=_LEVEL).compress(plain))


def _decompress(body: memoryview, codec: Codec, size: int) -> bytes:
    if codec == "zlib":
        return inflate(body, size)
    zstandard = _zstandard()
    try:
        claimed = zstandard.frame_content_size(bytes(body[:18]))
        if claimed == size:
            plain = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(
                body, max_output_size=size, allow_extra_data=False
            )
            if len(plain) == size:
                return bytes(plain)
    except zstandard.ZstdError:
        msg = "The compressed bytes are damaged."
        raise WireError(msg) from None
    msg = f"The compressed bytes do not hold the expected {size} bytes."
    raise WireError(msg)
