from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsam2.core.errors import MessageTooLargeError, WireError
from medsam2.core.intensity import Window
from medsam2.core.volume import Volume
from medsam2.wire import strict
from medsam2.wire.limits import MOST_CHUNK_BYTES
from medsam2.wire.volumes import UploadState, VolumeHeader, header_of, wire_volume

AFFINE = np.diag([0.5, 0.7, 3.0, 1.0])
KINDS = ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
WIRE = {"uint8", "int16", "uint16", "int32", "float32"}
EDGES = [0, 1, -1, 127, 128, 255, 256, 2**15 - 1, 2**15, -(2**15), -(2**15) - 1, 2**16 - 1, 2**16,
         2**24 + 1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63),
         2**64 - 1]  # fmt: skip
VIEWS = [np.s_[...], np.s_[::-1], np.s_[:, ::-1, ::-1], np.s_[::2, 1:, ::-2], np.s_[:, :, 1:2]]


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    """Any type, byte order and memory layout, with values at the edges of the types."""
    kind = draw(st.sampled_from(KINDS))
    dtype = np.dtype(draw(st.sampled_from("<>")) + kind)
    if dtype.kind == "b":
        values: Any = st.booleans()
    elif dtype.kind == "f":
        values = st.floats(width=8 * dtype.itemsize, allow_nan=False, allow_infinity=False)
    else:
        limits = np.iinfo(dtype)
        low, high = int(limits.min), int(limits.max)
        few = draw(st.sampled_from([1, 200, 40_000, 10**20]))
        low, high = max(low, -few), min(high, few)
        inside = [edge for edge in EDGES if low <= edge <= high]
        values = st.integers(low, high) | st.sampled_from(inside)
    flat = draw(st.lists(values, min_size=4, max_size=8))
    voxels = np.resize(np.array(flat, dtype), (3, 4, 5))
    if draw(st.booleans()):
        voxels = np.asfortranarray(voxels)
    return Volume(voxels[draw(st.sampled_from(VIEWS))], AFFINE)


@settings(max_examples=300, deadline=None)
@given(volumes(), st.floats(-1e12, 1e12), st.floats(1e-3, 1e12))
def test_narrowing_does_not_change_what_the_model_sees(volume, low, width):
    window = Window(low, low + max(width, abs(low) * 1e-9))
    sent = wire_volume(volume)
    with np.errstate(over="ignore"):
        local, remote = window.apply(volume.voxels_kji), window.apply(sent.voxels_kji)
    assert remote.tobytes() == local.tobytes()


@settings(max_examples=200, deadline=None)
@given(volumes())
def test_what_is_sent_is_a_wire_type_little_endian_and_in_order(volume):
    sent = wire_volume(volume).voxels_kji
    assert sent.dtype.name in WIRE
    assert sent.dtype.byteorder in "<|="
    assert sent.flags.c_contiguous
    assert sent.shape == volume.voxels_kji.shape
    if sent.dtype.kind != "f":
        assert np.array_equal(sent, volume.voxels_kji)


@settings(max_examples=200, deadline=None)
@given(volumes())
def test_the_hash_is_that_of_the_protocol(volume):
    sent = wire_volume(volume)
    letters = {"uint8": "|u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "float32": "<f4"}
    k, j, i = sent.shape_kji
    text = f"{letters[sent.voxels_kji.dtype.name]}({k}, {j}, {i})"
    wanted = hashlib.sha256(text.encode("ascii") + sent.voxels_kji.tobytes()).hexdigest()
    assert sent.content_hash == wanted
    assert wire_volume(sent).content_hash == wanted


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        (0, 255, "uint8"),
        (0, 256, "int16"),
        (-1, 0, "int16"),
        (-(2**15), 2**15 - 1, "int16"),
        (0, 2**15, "uint16"),
        (0, 2**16 - 1, "uint16"),
        (-1, 2**15, "int32"),
        (0, 2**16, "int32"),
        (-(2**31), 2**31 - 1, "int32"),
        (0, 2**31, "float32"),
        (-(2**31) - 1, 0, "float32"),
        (-(2**63), 2**63 - 1, "float32"),
    ],
)
def test_integers_take_the_narrowest_type_that_holds_them(low, high, name):
    voxels = np.array([low, high], np.int64).reshape(1, 1, 2)
    assert wire_volume(Volume(voxels, AFFINE)).voxels_kji.dtype.name == name


def test_unsigned_integers_and_booleans_and_floats_have_a_type_too():
    def name(voxels: Any) -> str:
        return wire_volume(Volume(np.array(voxels).reshape(1, 1, 2), AFFINE)).voxels_kji.dtype.name

    assert name(np.array([0, 2**64 - 1], np.uint64)) == "float32"
    assert name(np.array([0, 7], np.uint64)) == "uint8"
    assert name([True, False]) == "uint8"
    assert [name(np.array([0, 1], kind)) for kind in ("f2", "f4", "f8")] == ["float32"] * 3


def test_values_beyond_single_precision_are_sent_as_its_largest():
    voxels = np.array([1e300, -1e300, 1.0, 3.4028235e38]).reshape(1, 2, 2)
    sent = wire_volume(Volume(voxels, AFFINE)).voxels_kji.ravel()
    most = np.finfo(np.float32).max
    assert sent.tolist() == [most, -most, 1.0, most]


def test_nothing_but_voxels_and_geometry_is_kept():
    volume = Volume(np.ones((2, 2, 2), np.int16), AFFINE, "CT", "DOE^JANE", {"PatientID": "4711"})
    sent = wire_volume(volume)
    assert (sent.modality, sent.name, dict(sent.metadata)) == ("", "volume", {})
    assert np.array_equal(sent.affine_ijk_to_ras, AFFINE)


def test_a_volume_that_is_of_a_wire_type_is_not_copied():
    for dtype in ("<i2", "u1", "<f4"):
        voxels = np.full((2, 3, 4), 300 if dtype == "<i2" else 1, dtype)
        assert np.shares_memory(wire_volume(Volume(voxels, AFFINE)).voxels_kji, voxels)


def test_the_users_voxels_stay_as_they_are():
    voxels = np.array([1e300, -1.0, 0.0, 2.0]).reshape(1, 2, 2)
    before = voxels.copy()
    wire_volume(Volume(voxels, AFFINE))
    assert np.array_equal(voxels, before)


def test_colour_keeps_its_channels():
    voxels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    sent = wire_volume(Volume(voxels[:, ::-1], AFFINE))
    assert np.array_equal(sent.voxels_kji, voxels[:, ::-1])
    assert header_of(sent) == VolumeHeader("uint8", (2, 3, 4, 3))


def test_a_volume_longer_than_the_wire_allows_is_refused():
    volume = Volume(np.zeros((1, 1, 4097), np.uint8), AFFINE)
    with pytest.raises(WireError, match="4096"):
        header_of(wire_volume(volume))


def test_a_volume_of_more_bytes_than_the_wire_allows_is_refused():
    fields = {"dtype": "float32", "shape": [2048, 1024, 1024]}
    assert strict.build(VolumeHeader, fields).size_bytes == 8 << 30
    for shape in ([2049, 1024, 1024], [4096, 4096, 4096]):
        with pytest.raises(MessageTooLargeError, match="8192 MiB"):
            strict.build(VolumeHeader, fields | {"shape": shape})


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("int16", []), ("int16", [4]), ("int16", [4, 4]), ("int16", [4, 4, 4, 3]),
        ("uint8", [4, 4, 4, 4]), ("uint8", [4, 4, 4, 1]), ("float32", [4, 4, 4, 3]),
        ("uint8", [4, 4, 4, 3, 3]), ("int16", [4, 0, 4]), ("int16", [4, -4, 4]), ("int64", [4, 4, 4]),
        ("bool", [4, 4, 4]), ("<i2", [4, 4, 4]), ("int16", [4, 4, 4097]), ("int16", [4, 4, True]),
    ],
)  # fmt: skip
def test_a_header_that_is_no_volume_is_refused(dtype, shape):
    with pytest.raises(WireError):
        strict.build(VolumeHeader, {"dtype": dtype, "shape": shape})


@settings(deadline=None)
@given(st.sampled_from(sorted(WIRE)), st.tuples(*[st.integers(1, 1200)] * 3))
def test_chunks_cover_the_volume_once_and_are_small(dtype, shape):
    header = strict.build(VolumeHeader, {"dtype": dtype, "shape": list(shape)})
    slices = [header.chunk(number) for number in range(header.chunk_count)]
    covered = [k for found in slices for k in range(found.start, found.stop)]
    assert covered == list(range(shape[0]))
    plane = header.size_bytes // shape[0]
    sizes = {(found.stop - found.start) * plane for found in slices}
    assert max(sizes) <= max(MOST_CHUNK_BYTES, plane)
    assert len({found.stop - found.start for found in slices[:-1]} | {header.planes_per_chunk}) == 1
    assert header.planes_per_chunk == shape[0] or max(sizes) + plane > MOST_CHUNK_BYTES


def test_a_slice_larger_than_a_chunk_is_a_chunk_of_its_own():
    header = VolumeHeader("float32", (3, 4096, 4096))
    assert (header.planes_per_chunk, header.chunk_count) == (1, 3)
    assert header.chunk(2) == slice(2, 3)


def test_what_is_missing_is_bounded():
    every = {"complete": False, "missing": list(range(4096))}
    assert len(strict.build(UploadState, every).missing) == 4096
    for missing in ([4096], [-1], [0] * 4097):
        with pytest.raises(WireError):
            strict.build(UploadState, {"complete": False, "missing": missing})
