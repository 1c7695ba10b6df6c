from __future__ import annotations

import contextlib
import itertools
import json
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsam2.core.backend import Origin, SliceResult
from medsam2.core.errors import WireError
from medsam2.core.masks import PackedMask
from medsam2.wire import records
from medsam2.wire.limits import LONGEST_AXIS
from medsam2.wire.records import End, Head, RecordReader, Slice

HEAD = Head("1" * 32, "2" * 32, "3" * 64, "4" * 64, total=7, after=0)
END = End("done", 3)


def result(mask_rc: Any, index: int = 4, origin: Origin = Origin.TRACKED) -> SliceResult:
    return SliceResult(1, index, PackedMask.pack(mask_rc), 0.25, origin)


def disc(rows: int = 30, columns: int = 40) -> Any:
    row, column = np.ogrid[:rows, :columns]
    return np.hypot(row - rows / 2, column - columns / 3) < 6


def read(data: bytes, size: int = 10**9) -> list[tuple[records.Record, bytes]]:
    reader = RecordReader()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    found = [record for piece in pieces for record in reader.feed(piece)]
    assert reader.pending == 0
    return found


MASKS = st.builds(
    lambda shape, seed, share: np.random.default_rng(seed).random(shape) < share,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)


@settings(max_examples=200, deadline=None)
@given(
    MASKS,
    st.integers(0, 2**31 - 1),
    st.integers(0, LONGEST_AXIS - 1),
    st.floats(0, 1),
    st.sampled_from(Origin),
)
def test_a_result_survives_the_way_there_and_back(mask_rc, object_id, index, score, origin):
    sent = SliceResult(object_id, index, PackedMask.pack(mask_rc), score, origin)
    ((header, body),) = read(records.pack_slice(5, sent))
    assert isinstance(header, Slice)
    assert header.number == 5
    got = records.result_of(header, body)
    assert (got.object_id, got.index, got.score, got.origin) == (object_id, index, score, origin)
    assert got.mask_rc.shape_rc == mask_rc.shape
    assert got.mask_rc.bits.tobytes() == sent.mask_rc.bits.tobytes()


STREAM = b"".join(
    (
        records.pack(HEAD),
        records.pack_slice(1, result(disc())),
        records.pack_slice(2, result(np.zeros((30, 40)))),
        records.pack_slice(3, result(np.ones((30, 40)), origin=Origin.LOCKED)),
        records.pack(END),
    )
)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_a_stream_is_the_same_in_any_pieces(places):
    reader, whole = RecordReader(), read(STREAM)
    edges = [0, *places, len(STREAM)]
    found = [
        record
        for first, last in itertools.pairwise(edges)
        for record in reader.feed(STREAM[first:last])
    ]
    assert found == whole
    assert [type(record) for record, _ in found] == [Head, Slice, Slice, Slice, End]
    assert (found[0][0], found[-1][0]) == (HEAD, END)


def test_a_stream_byte_by_byte_is_the_same_too():
    assert read(STREAM, 1) == read(STREAM)


def test_a_record_is_what_the_protocol_says():
    mask_rc = disc()
    packed = records.pack_slice(1, result(mask_rc))
    header_size, body_size, checksum = struct.unpack(">III", packed[:12])
    text, body = packed[12 : 12 + header_size], packed[12 + header_size :]
    assert len(body) == body_size
    assert checksum == zlib.crc32(text + body)
    fields = json.loads(text)
    row0, col0, row1, col1 = fields.pop("box_rc")
    assert fields == {
        "kind": "slice", "number": 1, "object_id": 1, "index": 4, "score": 0.25, "origin": "tracked",
        "shape_rc": [30, 40],
    }  # fmt: skip
    inside = mask_rc[row0 : row1 + 1, col0 : col1 + 1]
    assert inside.sum() == mask_rc.sum()
    assert inside[0].any()
    assert inside[:, -1].any()
    assert zlib.decompress(body) == np.packbits(inside.ravel()).tobytes()


def test_an_empty_mask_has_neither_box_nor_body():
    ((header, body),) = read(records.pack_slice(1, result(np.zeros((30, 40)))))
    assert (header.box_rc, body) == (None, b"")  # type: ignore[union-attr]


def test_a_stream_cut_anywhere_brings_its_whole_records_and_nothing_else():
    ends = [0]
    for record, body in read(STREAM):
        ends.append(ends[-1] + len(records.pack(record, body)))
    for size in range(len(STREAM)):
        reader = RecordReader()
        found = list(reader.feed(STREAM[:size]))
        whole = max(end for end in ends if end <= size)
        assert len(found) == ends.index(whole)
        assert reader.pending == size - whole


def test_every_flipped_bit_is_noticed():
    packed = bytearray(records.pack_slice(1, result(disc())))
    for bit in range(8 * len(packed)):
        packed[bit // 8] ^= 1 << bit % 8
        reader = RecordReader()
        try:
            found = list(reader.feed(bytes(packed)))
        except WireError:
            found = []
        assert found == []  # refused, or waiting for more bytes than there are
        packed[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(
    "sizes",
    [
        (records.MOST_HEADER + 1, 0),
        (0, records.MOST_BODY + 1),
        (2**32 - 1, 2**32 - 1),
        (100, 2**31),
        (2**31, 0),
    ],
)
def test_a_record_larger_than_allowed_is_refused_on_its_first_bytes(sizes):
    reader = RecordReader()
    assert list(reader.feed(struct.pack(">III", *sizes, 0)[:11])) == []
    with pytest.raises(WireError, match="larger than any"):
        list(reader.feed(b"\0"))


def test_the_largest_and_noisiest_mask_fits_into_a_record():
    noisy = np.random.default_rng(0).random((LONGEST_AXIS, LONGEST_AXIS), np.float32) < 0.5
    packed = records.pack_slice(1, result(noisy))
    ((header, body),) = read(packed)
    assert len(body) > LONGEST_AXIS**2 // 8
    got = records.result_of(header, body)  # type: ignore[arg-type]
    assert got.mask_rc.bits.tobytes() == PackedMask.pack(noisy).bits.tobytes()


def sealed(text: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">III", len(text), len(body), zlib.crc32(text + body)) + text + body


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{}", b"[]", b"null", b'"head"', b"{", b'{"kind":null}', b'{"kind":["head"]}',
        b'{"kind":{"head":1}}', b'{"kind":"tail"}', b'{"kind":"__class__"}', b'{"kind":"end"}',
        b'{"kind":"end","state":"done","last":1,"kind":"end"}',
        b'{"kind":"end","state":"done","last":1,"more":1}', b'{"kind":"end","state":"done","last":-1}',
        b'{"kind":"end","state":"lost","last":1}', b'{"kind":"end","state":"done","last":1e0}',
        b'{"kind":"end","state":"done","last":1,"message":"\\ud800"}', b"[" * 4096, b"\xff" * 9,
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_refused(text):
    with pytest.raises(WireError):
        read(sealed(text))


@pytest.mark.parametrize(
    "changes",
    [
        {"score": 1.5}, {"score": -0.1}, {"score": float("nan")}, {"score": True}, {"index": 4096},
        {"index": -1}, {"object_id": 2**31}, {"object_id": -1}, {"number": -1}, {"number": 2**31},
        {"origin": "guessed"}, {"shape_rc": [0, 4]}, {"shape_rc": [4097, 4]}, {"shape_rc": [4]},
        {"box_rc": [0, 0, 3]}, {"box_rc": [-1, 0, 3, 3]}, {"box_rc": [0, 0, 3, 4096]},
        {"box_rc": [0, 0, 1.5, 3]}, {"kind": "head"},
    ],
)  # fmt: skip
def test_a_slice_out_of_bounds_is_refused(changes):
    packed = records.pack_slice(1, result(disc()))
    size = struct.unpack_from(">I", packed)[0]
    fields = json.loads(packed[12 : 12 + size])
    assert len(read(sealed(json.dumps(fields).encode(), packed[12 + size :]))) == 1
    with pytest.raises(WireError):
        read(sealed(json.dumps(fields | changes).encode(), packed[12 + size :]))


def header(**changes: Any) -> Slice:
    fields = {"box_rc": (2, 3, 5, 9), "shape_rc": (30, 40)} | changes
    return Slice(1, 1, 4, 0.5, "tracked", **fields)


BODY = zlib.compress(np.packbits(np.ones((4, 7), bool)).tobytes())


@pytest.mark.parametrize(
    "box_rc",
    [(26, 3, 30, 9), (2, 34, 5, 40), (5, 3, 2, 9), (2, 9, 5, 3), (4095, 4095, 4095, 4095)],
)
def test_a_box_outside_its_slice_is_refused(box_rc):
    assert records.result_of(header(), BODY).mask_rc.unpack().sum() == 28
    with pytest.raises(WireError, match="does not lie in its slice"):
        records.result_of(header(box_rc=box_rc), BODY)


@pytest.mark.parametrize(
    "body",
    [
        b"", BODY[:-1], BODY + b"\0", BODY * 2, zlib.compress(bytes(3)), zlib.compress(bytes(5)),
        b"\xff" * 20, zlib.compress(bytes(4_000_000), 9),
    ],
)  # fmt: skip
def test_bits_that_do_not_fill_the_box_are_refused(body):
    with pytest.raises(WireError, match="compressed bytes"):
        records.result_of(header(), body)


def test_an_empty_mask_with_bits_is_refused():
    with pytest.raises(WireError, match="no bits"):
        records.result_of(header(box_rc=None), BODY)


def test_a_bomb_in_a_record_costs_no_more_than_its_box():
    bomb = zlib.compress(bytes(64_000_000), 9)
    tracemalloc.start()
    with pytest.raises(WireError):
        records.result_of(header(box_rc=(0, 0, 29, 39)), bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(bomb) < 64_000_000 / 100


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_the_refusal(data):
    with contextlib.suppress(WireError):
        list(RecordReader().feed(data))
    with pytest.raises(WireError):
        list(RecordReader().feed(sealed(data)))
