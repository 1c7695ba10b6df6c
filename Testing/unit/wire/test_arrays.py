from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsam2.core.errors import WireError
from medsam2.wire import arrays

DTYPES = ["uint8", "int16", "uint16", "int32", "float32"]
HAS_ZSTD = "zstd" in arrays.codecs()
needs_zstd = pytest.mark.skipif(not HAS_ZSTD, reason="the package zstandard is not installed")
CODECS = ["raw", "zlib", pytest.param("zstd", marks=needs_zstd)]


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, count, dtype=np.uint8).view(dtype).reshape(shape)


def decoded(frame: bytes, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    out = np.empty(like.shape, like.dtype.newbyteorder("<"))
    arrays.decode_into(frame, out)
    return out


def frame_of(body: bytes, **changes: Any) -> bytes:
    """A frame for int16 ``[2, 3, 4]``, put together by hand."""
    fields = {"dtype": "int16", "shape": [2, 3, 4], "codec": "raw", "crc32": 0}
    text = json.dumps(fields | changes).encode()
    return b"MS2A" + struct.pack(">I", len(text)) + text + body


def refused(frame: bytes, match: str | None = None) -> None:
    with pytest.raises(WireError, match=match):
        arrays.decode_into(frame, np.empty((2, 3, 4), np.int16))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(DTYPES),
    st.lists(st.integers(1, 7), max_size=4).map(tuple),
    st.sampled_from(arrays.codecs()),
    st.integers(0, 2**32 - 1),
)
def test_arrays_survive_the_way_there_and_back(dtype, shape, codec, seed):
    array = noise(shape, dtype, seed)
    frame = arrays.encode(array, codec)
    assert decoded(frame, array).tobytes() == array.tobytes()
    header = arrays.header_of(frame)
    assert (header.dtype, header.shape, header.codec) == (dtype, shape, codec)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "view", [np.s_[::-1, :, ::2], np.s_[:, ::-1], np.s_[1:, 2:5, :3], np.s_[...]]
)
def test_byte_order_and_strides_do_not_reach_the_wire(codec, order, view):
    array = np.arange(5 * 6 * 7, dtype=f"{order}i4").reshape(5, 6, 7)[view]
    frame = arrays.encode(array, codec)
    assert frame == arrays.encode(np.ascontiguousarray(array, "<i4"), codec)
    assert np.array_equal(decoded(frame, array), array)


def test_a_frame_is_what_the_protocol_says():
    array = noise((2, 3, 4), "int16")
    frame = arrays.encode(array, "zlib")
    assert frame[:4] == b"MS2A"
    (size,) = struct.unpack(">I", frame[4:8])
    plain = array.tobytes()
    assert json.loads(frame[8 : 8 + size]) == {
        "dtype": "int16", "shape": [2, 3, 4], "codec": "zlib", "crc32": zlib.crc32(plain),
    }  # fmt: skip
    assert zlib.decompress(frame[8 + size :]) == plain[0::2] + plain[1::2]
    assert arrays.encode(array, "raw").endswith(plain)


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_cut_anywhere_is_refused(codec):
    frame = arrays.encode(np.arange(24, dtype=np.int16).reshape(2, 3, 4), codec)
    for size in range(len(frame)):
        refused(frame[:size])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [1, 3, 48])
def test_bytes_after_the_body_are_refused(codec, size):
    refused(arrays.encode(noise((2, 3, 4), "int16"), codec) + bytes(size))


@pytest.mark.parametrize("codec", CODECS)
def test_every_flipped_bit_of_the_body_is_noticed(codec):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    frame = bytearray(arrays.encode(array, codec))
    start = 8 + struct.unpack_from(">I", frame, 4)[0]
    for bit in range(8 * start, 8 * len(frame)):
        frame[bit // 8] ^= 1 << bit % 8
        out = np.zeros((2, 3, 4), np.int16)
        try:
            arrays.decode_into(frame, out)
        except WireError:
            out = array  # refused, as it should be
        # A few bits of a compressed body mean nothing: then the voxels are right all the same.
        assert np.array_equal(out, array)
        frame[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3, 4), np.uint16),
        np.zeros((2, 3, 4), np.float32),
        np.zeros((2, 3, 5), np.int16),
        np.zeros((2, 4, 3), np.int16),
        np.zeros((24,), np.int16),
        np.zeros((2, 3, 4, 1), np.int16),
    ],
)
def test_another_type_or_shape_than_was_expected_is_refused(wrong):
    refused(arrays.encode(wrong, "raw"), r"int16 \[2, 3, 4\] was expected")


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "int64"}, {"dtype": "object"}, {"dtype": "|O"}, {"dtype": None},
        {"shape": [0, 3, 4]}, {"shape": [-2, 3, 4]}, {"shape": [4097, 1, 1]}, {"shape": [True, 3, 4]},
        {"shape": [1] * 5}, {"shape": "234"}, {"shape": [2.0, 3, 4]}, {"shape": [10**400, 3, 4]},
        {"codec": "blosc"}, {"codec": "pickle"}, {"codec": 1},
        {"crc32": -1}, {"crc32": 2**32}, {"crc32": "0"}, {"crc32": 0.0}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_header_out_of_bounds_is_refused(changes):
    refused(frame_of(bytes(48), **changes))
    with pytest.raises(WireError):
        arrays.header_of(frame_of(bytes(48), **changes))


def test_a_wrong_checksum_is_refused():
    crc32 = zlib.crc32(bytes(48))
    arrays.decode_into(frame_of(bytes(48), crc32=crc32), np.empty((2, 3, 4), np.int16))
    refused(frame_of(bytes(48), crc32=crc32 ^ 1), "checksum")


@pytest.mark.parametrize("size", [0, 1, 47, 49, 96, 48_000])
def test_a_raw_body_of_another_size_is_refused(size):
    refused(frame_of(bytes(size), crc32=zlib.crc32(bytes(48))), f"has {size} bytes; 48 were")


@pytest.mark.parametrize(
    "start", [b"MS2B", b"\x93NUM", b"PK\x03\x04", b"\x80\x04\x95.", b"\0\0\0\0"]
)
def test_another_format_is_refused(start):
    refused(start + frame_of(bytes(48))[4:], "no array's frame")


@pytest.mark.parametrize("length", [1025, 2**31, 2**32 - 1])
def test_a_header_larger_than_any_is_refused(length):
    refused(b"MS2A" + struct.pack(">I", length) + bytes(4096), "no array's frame")


@pytest.mark.parametrize("length", [0, 1, 60, 1024])
def test_a_header_of_another_length_is_refused(length):
    refused(b"MS2A" + struct.pack(">I", length) + frame_of(bytes(48))[8:])


@pytest.mark.parametrize(
    "body",
    [
        zlib.compress(bytes(47)),
        zlib.compress(bytes(49)),
        zlib.compress(b""),
        zlib.compress(bytes(48)) + b"\0",
        zlib.compress(bytes(48)) * 2,
        zlib.compress(bytes(48))[:-1],
        zlib.compress(bytes(48), wbits=31),
        zlib.compress(bytes(48), wbits=-15),
        b"\x78\xbb" + bytes(20),
        b"",
    ],
)
def test_a_deflated_body_of_another_size_or_format_is_refused(body):
    refused(frame_of(body, codec="zlib", crc32=zlib.crc32(bytes(48))), "compressed bytes")


def peak_of_refusal(frame: bytes, out: np.ndarray[Any, Any]) -> int:
    tracemalloc.start()
    with pytest.raises(WireError):
        arrays.decode_into(frame, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("codec", [CODECS[1], CODECS[2]])
def test_a_bomb_costs_no_more_than_an_honest_frame(codec):
    out = np.empty((16, 64, 64), np.uint8)
    plain = np.zeros((1000, *out.shape[1:]), np.uint8)
    honest = arrays.encode(plain, codec)
    body = honest[8 + struct.unpack_from(">I", honest, 4)[0] :]
    frame = frame_of(body, dtype="uint8", shape=list(out.shape), codec=codec)
    assert peak_of_refusal(frame, out) < 4 * out.size + 2 * len(frame)


@needs_zstd
def test_a_zstd_bomb_that_hides_its_size_is_refused_without_being_read():
    import zstandard

    out = np.empty((16, 64, 64), np.uint8)
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000 * out.size))
    frame = frame_of(bomb, dtype="uint8", shape=list(out.shape), codec="zstd")
    assert peak_of_refusal(frame, out) < out.size


def zstd_frame(claims: int, makes: int, blocks: int = 1, window: int = 0) -> bytes:
    """A Zstandard frame of blocks of zeros, whose header claims another size and window (log 2)."""
    descriptor = bytes([0b11000000, (window - 10) << 3]) if window else bytes([0b11100000])
    made = [((makes << 3) | 0b10 | (n == blocks - 1)).to_bytes(3, "little") for n in range(blocks)]
    head = struct.pack("<I", 0xFD2FB528) + descriptor + struct.pack("<Q", claims)
    return head + b"".join(block + b"\0" for block in made)


@needs_zstd
def test_a_zstd_body_whose_size_is_a_lie_is_refused():
    honest = frame_of(zstd_frame(48, 48), codec="zstd", crc32=zlib.crc32(bytes(48)))
    arrays.decode_into(honest, np.empty((2, 3, 4), np.int16))
    for body in (
        zstd_frame(48, 47),
        zstd_frame(48, 49),
        zstd_frame(48, 131_072, blocks=1000),
        zstd_frame(47, 48),
        zstd_frame(2**62, 48),
        zstd_frame(2**64 - 2, 48),
        zstd_frame(0, 48),
        zstd_frame(2**40, 131_072, blocks=10, window=31),
    ):
        refused(frame_of(body, codec="zstd", crc32=zlib.crc32(bytes(48))), "compressed bytes")


@needs_zstd
def test_a_zstd_body_that_is_more_or_less_than_one_frame_is_refused():
    right = zstd_frame(48, 48)
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"abcd"
    for body in (
        b"",
        right[:-1],
        right[:5],
        right + b"\0",
        right * 2,
        skipped + right,
        right + skipped,
    ):
        refused(frame_of(body, codec="zstd", crc32=zlib.crc32(bytes(48))), "compressed bytes")


def test_without_zstandard_its_frames_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(arrays, "codecs", lambda: ("zlib", "raw"))
    refused(frame_of(bytes(9), codec="zstd"), "use zlib or raw")
    with pytest.raises(WireError, match="use zlib or raw"):
        arrays.encode(np.zeros((2, 3, 4), np.int16), "zstd")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.int64), np.zeros((2, 2), np.float64), np.zeros((2, 2), bool),
        np.zeros((2, 2), np.float16), np.zeros((2, 2), complex), np.zeros((2, 2), object),
        np.zeros((2, 2), "S3"), np.zeros((2, 2), [("a", "i2")]), np.zeros((2, 2), "M8[s]"),
        np.zeros((0, 2), np.int16), np.zeros((4097, 1), np.int16), np.zeros((1,) * 5, np.int16),
    ],
)  # fmt: skip
def test_what_the_wire_has_no_type_or_shape_for_is_not_sent(array):
    with pytest.raises(WireError):
        arrays.encode(array, "raw")


def test_an_unknown_codec_is_not_sent():
    with pytest.raises(WireError, match="one of raw, zlib, zstd"):
        arrays.encode(np.zeros((2, 2), np.int16), "blosc")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("codec", CODECS)
def test_any_buffer_is_read(wrap, codec):
    array = noise((3, 4, 5), "float32")
    assert decoded(wrap(arrays.encode(array, codec)), array).tobytes() == array.tobytes()


@settings(deadline=None)
@given(st.binary(max_size=100), st.sampled_from([1, 48, 5000]))
def test_inflating_makes_the_expected_bytes_or_refuses(plain, size):
    squeezed = zlib.compress(plain)
    if len(plain) == size:
        assert arrays.inflate(squeezed, size) == plain
    else:
        with pytest.raises(WireError):
            arrays.inflate(squeezed, size)


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_raise_anything_but_the_refusal(data):
    refused(data)
    refused(b"MS2A" + data)
    refused(frame_of(data, crc32=1, codec="zlib"))
    refused(frame_of(data, crc32=1, codec="zstd"))
