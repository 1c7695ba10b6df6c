"""Small right messages of every kind, each with the code that reads it, for tests that damage them."""

from __future__ import annotations

import dataclasses
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np

from medsam2.core.backend import ModelInfo, Origin, SessionOptions, SliceResult
from medsam2.core.errors import InputError, WireError
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.masks import PackedMask
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    ObjectPrompts,
    PointPrompt,
    RoiBox,
    mask_on_slice,
)
from medsam2.wire import arrays, messages, prompts, records, strict, volumes

DTYPES = ("uint8", "int16", "uint16", "int32", "float32")
MODEL = ModelInfo("fake", frozenset({"box", "point"}), "cpu", "0" * 64, "Apache-2.0")
HASHES = ("1" * 64, "2" * 64)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One message.

    Args:
        name: its kind.
        text: the JSON in it.
        body: the bytes after the JSON, if its kind has any.
        seal: joins text and body to a message, with right lengths and checksums.
        read: what the other side does with the message.
        refusals: what it may raise.
    """

    name: str
    text: bytes
    body: bytes
    seal: Callable[[bytes, bytes], bytes]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = (WireError,)

    @property
    def data(self) -> bytes:
        """The whole message."""
        return self.seal(self.text, self.body)


def samples(rng: random.Random) -> list[Sample]:
    """One message of every kind, with content of the generator's choice."""
    frames = [_frame(rng, codec) for codec in arrays.codecs()]
    return [*frames, *_json(rng), _objects(rng), _session(), *_stream(rng)]


def _frame(rng: random.Random, codec: arrays.Codec) -> Sample:
    shape = tuple(rng.randint(1, 12) for _ in range(3))
    dtype = rng.choice(DTYPES)
    voxels = np.frombuffer(rng.randbytes(4 * int(np.prod(shape))), np.uint8)
    array = voxels[: np.dtype(dtype).itemsize * int(np.prod(shape))].view(dtype).reshape(shape)
    frame = arrays.encode(array, codec)
    (length,) = struct.unpack_from(">I", frame, 4)

    def seal(text: bytes, body: bytes) -> bytes:
        return struct.pack(">4sI", b"MS2A", len(text)) + text + body

    def read(data: bytes) -> object:
        out = np.empty(shape, dtype)
        arrays.header_of(data)
        arrays.decode_into(data, out)
        return out

    return Sample(f"frame {codec}", frame[8 : 8 + length], frame[8 + length :], seal, read)


def _id(rng: random.Random) -> str:
    return f"{rng.getrandbits(128):032x}"


def _whole(text: bytes, body: bytes) -> bytes:
    return text + body


def _json(rng: random.Random) -> list[Sample]:
    objects = {str(rng.randint(0, 9)): rng.choice(HASHES) for _ in range(2)}
    found = [
        volumes.VolumeHeader("int16", (rng.randint(1, 300), 512, 512)),
        volumes.UploadState(complete=False, missing=tuple(range(rng.randint(0, 5)))),
        messages.ServerInfo("1.0", "0.1", _id(rng), messages.WireModel.of(MODEL), ("zlib",), 2**31),
        messages.SessionState(HASHES[0], objects, _id(rng)),
        messages.ObjectState(HASHES[1]),
        messages.JobState(_id(rng), "failed", 3, 9, "out_of_memory", "The memory did not suffice."),
        messages.Problem("stale", "Put the prompts again."),
        messages.JobRequest(HASHES[0], {"1": HASHES[1]}, "predict", index=rng.randint(0, 99)),
        messages.JobRequest(HASHES[0], objects, "propagate", "forward"),
    ]
    return [_message(made) for made in found]


def _message(made: object) -> Sample:
    kind = type(made)

    def read(data: bytes) -> object:
        got = strict.from_json(kind, data)
        strict.to_json(got)
        if isinstance(got, messages.JobRequest):
            got.ids()
            messages.prompts_digest(got)
        if isinstance(got, messages.ServerInfo):
            f"{got.model.info().name}, {got.model.license}".encode()
        if isinstance(got, messages.JobState | messages.Problem):
            got.message.encode()
        if isinstance(got, volumes.VolumeHeader):
            got.chunk(got.chunk_count - 1)
        return got

    return Sample(kind.__name__, strict.to_json(made), b"", _whole, read)


def _session() -> Sample:
    options = SessionOptions(SliceAxis.J, Window(-160, 240))
    affine = np.diag([0.7, 0.7, 3.0, 1.0])
    made = messages.SessionRequest.of(HASHES[0], affine, options, Window(-160, 240))

    def read(data: bytes) -> object:
        got = strict.from_json(messages.SessionRequest, data)
        messages.fingerprint(got, MODEL)
        return got.options(), got.affine()

    text = strict.to_json(made)
    return Sample("SessionRequest", text, b"", _whole, read, (InputError,))


def _objects(rng: random.Random) -> Sample:
    mask_rc = np.frombuffer(rng.randbytes(12 * 9), np.uint8).reshape(12, 9) > 128
    made = ObjectPrompts(
        (
            BoxPrompt(rng.randint(0, 9), (1, 2, 7, 8)),
            PointPrompt(3, (rng.random() * 9, 4.5), positive=rng.random() < 0.5),
            LinePrompt(4, ((1.0, 2.0), (rng.random() * 9, 6.5))),
            mask_on_slice(5, mask_rc),
        ),
        RoiBox(1, 7, (0, 0, 11, 8)),
        (2, 6),
    )

    def read(data: bytes) -> object:
        got = prompts.decode(data)
        prompts.encode(got)
        prompts.digest(got)
        return got

    return Sample("WireObject", prompts.encode(made), b"", _whole, read)


def _stream(rng: random.Random) -> list[Sample]:
    """A stream of results, once for each of its records: that one can be damaged and sealed again."""
    head = records.Head(_id(rng), _id(rng), HASHES[0], HASHES[1], total=9, after=0)
    packed = [records.pack(head)]
    for number, origin in enumerate(Origin, start=1):
        mask_rc = np.frombuffer(rng.randbytes(16 * 11), np.uint8).reshape(16, 11) > 190
        mask = PackedMask.pack(mask_rc if number > 1 else np.zeros_like(mask_rc))
        packed.append(records.pack_slice(number, SliceResult(1, number, mask, 0.5, origin)))
    packed.append(records.pack(records.End("done", len(packed) - 1)))
    place = rng.randrange(1, len(packed) - 1)
    return [_record(packed, chosen, rng.randint(1, 99)) for chosen in (0, place, len(packed) - 1)]


def _record(packed: list[bytes], place: int, piece: int) -> Sample:
    size, _, _ = struct.unpack_from(">III", packed[place])
    text, body = packed[place][12 : 12 + size], packed[place][12 + size :]
    before, after = b"".join(packed[:place]), b"".join(packed[place + 1 :])

    def seal(text: bytes, body: bytes) -> bytes:
        sealed = zlib.crc32(text + body)
        return before + struct.pack(">III", len(text), len(body), sealed) + text + body + after

    def read(data: bytes) -> object:
        reader = records.RecordReader()
        for start in range(0, len(data), piece):
            for header, bits in reader.feed(data[start : start + piece]):
                if isinstance(header, records.Slice):
                    records.result_of(header, bits)
                if isinstance(header, records.End):
                    header.message.encode()
        return reader.pending

    return Sample(f"stream, record {place}", text, body, seal, read)
