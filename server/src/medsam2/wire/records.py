"""The stream of results: small binary records, each with a JSON header, a body and a checksum.

A record is its header's length and its body's length (big-endian, 32 bits each), the CRC-32 of both,
the header and the body. A stream is one ``head``, then ``slice`` records numbered from 1, then one
``end``; a stream without its ``end`` was cut, and is asked for again from the last number seen.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from medsam2.core.backend import Origin, SliceResult
from medsam2.core.errors import WireError
from medsam2.core.masks import PackedMask, bounding_box_rc

from . import strict
from .arrays import Axis, inflate
from .limits import LONGEST_AXIS
from .names import Id, Sha256

Index = Annotated[int, strict.Range(0, LONGEST_AXIS - 1)]
ObjectId = Annotated[int, strict.Range(0, 2**31 - 1)]
Number = Annotated[int, strict.Range(0, 2**31 - 1)]
State = Literal["running", "done", "failed", "cancelled"]

MOST_HEADER = 4096
MOST_BODY = LONGEST_AXIS * LONGEST_AXIS // 8 + 65536
_PREFIX = struct.Struct(">III")


@dataclasses.dataclass(frozen=True)
class Head:
    """Whose results these are; the client refuses all others.

    Args:
        request: the request's own identifier, echoed.
        job: the job's identifier.
        session: the session's fingerprint: volume, geometry, options, model.
        prompts: the digest of the prompts that the job works on.
        total: slices at most.
        after: the number after which the stream goes on.
    """

    request: Id
    job: Id
    session: Sha256
    prompts: Sha256
    total: Number
    after: Number
    kind: Literal["head"] = "head"


@dataclasses.dataclass(frozen=True)
class Slice:
    """One mask; the body holds the bits within the box, packed and deflated.

    Args:
        number: the record's place in the job, from 1.
        object_id: as put.
        index: the slice.
        score: confidence.
        origin: why the mask is what it is.
        shape_rc: of the whole slice.
        box_rc: inclusive box around the mask; none for an empty one.
    """

    number: Number
    object_id: ObjectId
    index: Index
    score: Annotated[float, strict.Range(0, 1)]
    origin: Literal["locked", "prompted", "tracked", "blended"]
    shape_rc: tuple[Axis, Axis]
    box_rc: tuple[Index, Index, Index, Index] | None
    kind: Literal["slice"] = "slice"


@dataclasses.dataclass(frozen=True)
class End:
    """How the stream ended.

    Args:
        state: of the job; ``running`` means: ask again after ``last``.
        last: number of the last slice made so far.
        code: of the error, for a job that failed.
        message: the error in one line.
        shutdown: the server is going down; ask again once it is back.
    """

    state: State
    last: Number
    code: Annotated[str, strict.Most(64)] = ""
    message: Annotated[str, strict.Most(1000)] = ""
    shutdown: bool = False
    kind: Literal["end"] = "end"


Record = Head | Slice | End
_KINDS: dict[str, type[Head | Slice | End]] = {"head": Head, "slice": Slice, "end": End}


def pack(record: Record, body: bytes = b"") -> bytes:
    """Returns a record as bytes."""
    header = strict.to_json(record)
    checksum = zlib.crc32(body, zlib.crc32(header))
    return b"".join((_PREFIX.pack(len(header), len(body), checksum), header, body))


def pack_slice(number: int, result: SliceResult) -> bytes:
    """Returns a result as a ``slice`` record."""
    mask_rc = result.mask_rc.unpack()
    box_rc = bounding_box_rc(mask_rc)
    body = b""
    if box_rc is not None:
        row0, col0, row1, col1 = box_rc
        body = zlib.compress(np.packbits(mask_rc[row0 : row1 + 1, col0 : col1 + 1]).data, 1)
    return pack(
        Slice(
            number,
            int(result.object_id),
            int(result.index),
            float(result.score),
            result.origin.value,
            result.mask_rc.shape_rc,
            box_rc,
        ),
        body,
    )


def result_of(header: Slice, body: bytes) -> SliceResult:
    """Reads a result from its record.

    Raises:
        WireError: the box does not lie in the slice, or the bits don't fill it.
    """
    rows, columns = header.shape_rc
    mask_rc = np.zeros((rows, columns), dtype=bool)
    if header.box_rc is not None:
        row0, col0, row1, col1 = header.box_rc
        if not (row0 <= row1 < rows and col0 <= col1 < columns):
            msg = "A mask's box does not lie in its slice."
            raise WireError(msg)
        height, width = row1 - row0 + 1, col1 - col0 + 1
        bits = np.frombuffer(inflate(body, (height * width + 7) // 8), np.uint8)
        inside = np.unpackbits(bits, count=height * width).reshape(height, width)
        mask_rc[row0 : row1 + 1, col0 : col1 + 1] = inside
    elif body:
        msg = "An empty mask has no bits."
        raise WireError(msg)
    return SliceResult(
        header.object_id,
        header.index,
        PackedMask.pack(mask_rc),
        header.score,
        Origin(header.origin),
    )


class RecordReader:
    """Cuts a stream into records, whatever pieces it comes in; holds one record at most.

    Use from one thread. After an error the reader must not be used again.
    """

    def __init__(self) -> None:
        self._kept = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a record that is not complete yet."""
        return len(self._kept)

    def feed(self, data: bytes) -> Iterator[tuple[Record, bytes]]:
        """Yields each record that ``data`` completes, with its body.

        Raises:
            WireError: a record is too large, damaged, or of no known kind.
        """
        self._kept += data
        while len(self._kept) >= _PREFIX.size:
            header_size, body_size, checksum = _PREFIX.unpack_from(self._kept)
            if header_size > MOST_HEADER or body_size > MOST_BODY:
                msg = "A record is larger than any can be."
                raise WireError(msg)
            middle, end = _PREFIX.size + header_size, _PREFIX.size + header_size + body_size
            if len(self._kept) < end:
                return
            whole = bytes(self._kept[_PREFIX.size : end])
            del self._kept[:end]
            if zlib.crc32(whole) != checksum:
                msg = "A record's checksum is wrong."
                raise WireError(msg)
            yield _record(whole[: middle - _PREFIX.size]), whole[header_size:]


def _record(text: bytes) -> Record:
    value = strict.parse(text)
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        msg = "A record is of no known kind."
        raise WireError(msg)
    return strict.build(_KINDS[kind], value)
