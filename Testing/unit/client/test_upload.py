from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from medsam2.client import upload
from medsam2.client.upload import IN_FLIGHT, narrowed
from medsam2.core.backend import SessionOptions
from medsam2.core.errors import MessageTooLargeError, ServerError, WireError
from medsam2.core.volume import Volume
from medsam2.wire import arrays
from medsam2.wire.volumes import UploadState

from .losses import ROI
from .scripted import CUT, message, refusal

OPTIONS = SessionOptions(window="0:200")


@pytest.fixture(scope="module")
def large() -> Volume:
    """17 MiB in three chunks."""
    voxels = np.random.default_rng(0).integers(0, 200, (17, 1024, 1024), np.uint8)
    return Volume(voxels, np.eye(4))


def uploaded(script) -> np.ndarray:
    (found,) = script.volumes.values()
    return found.voxels


def test_a_volume_is_named_by_its_hash_as_the_protocol_says():
    voxels = np.arange(-60, 60).reshape(4, 5, 6).astype(">i4")
    volume = narrowed(Volume(voxels, np.eye(4)))
    import hashlib

    text = b"<i2(4, 5, 6)" + voxels.astype("<i2").tobytes()
    assert volume.content_hash == hashlib.sha256(text).hexdigest()


def test_what_is_narrowed_is_kept_as_long_as_the_volume_lives(monkeypatch):
    volume = Volume(np.zeros((2, 3, 4), np.int64), np.eye(4))
    made = narrowed(volume)
    monkeypatch.delattr(upload, "wire_volume")
    assert narrowed(volume) is made
    gone = weakref.ref(made)
    del volume, made
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("chunks", [[1], [0, 2]])
def test_only_missing_chunks_are_sent(backend, script, large, chunks):
    with backend.open(large, OPTIONS):
        (found,) = script.volumes.values()
        found.missing.update(chunks)
    script.asked.clear()
    with backend.open(large, OPTIONS):
        sent = sorted(int(path.rpartition("/")[2]) for _, path in script.asked if "chunks" in path)
    assert sent == chunks
    np.testing.assert_array_equal(uploaded(script), large.voxels_kji)


def test_a_volume_that_the_server_has_takes_two_requests(backend, script, large):
    backend.open(large, OPTIONS).close()
    script.asked.clear()
    backend.open(large, OPTIONS)
    assert [method for method, _ in script.asked] == ["PUT", "PUT"]


def test_so_many_chunks_are_under_way_at_once_and_no_more(backend, script, large):
    at_once, most, lock = 0, 0, threading.Lock()
    answer = script.answer

    def watched(method, path, *rest):
        nonlocal at_once, most
        if "chunks" not in path:
            return answer(method, path, *rest)
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)
        with lock:
            at_once -= 1
        return answer(method, path, *rest)

    script.answer = watched
    backend.open(large, OPTIONS).close()
    assert most == IN_FLIGHT


@pytest.mark.parametrize(
    ("theirs", "codec"),
    [(("zlib", "raw", "zstd"), "raw"), (("zlib",), "zlib"), (("brand-new", "zstd"), "zstd")],
)
def test_the_codec_is_one_that_the_server_reads_and_raw_on_this_machine(
    script, connect, volume, theirs, codec
):
    if codec not in arrays.codecs():
        pytest.skip(f"{codec} is not installed")
    script.codecs = theirs
    seen = []
    answer = script.answer
    script.answer = lambda *args: (seen.append(args[3]), answer(*args))[1]
    connect().open(volume).close()
    frames = [body for body in seen if body.startswith(arrays.MAGIC)]
    assert [arrays.header_of(frame).codec for frame in frames] == [codec]


def test_a_volume_larger_than_the_server_takes_is_refused_before_it_is_sent(
    script, connect, volume
):
    script.most_bytes = 1000
    with pytest.raises(MessageTooLargeError, match="Crop"):
        connect().open(volume)
    assert script.count("volumes") == 0


def test_an_axis_that_the_wire_cannot_carry_is_an_error(backend, script):
    with pytest.raises(WireError):
        backend.open(Volume(np.zeros((1, 1, 4097), np.uint8), np.eye(4)))
    assert script.count("volumes") == 0


@pytest.mark.parametrize(
    "reply", [CUT, refusal("volume_hash"), refusal("unknown_volume"), refusal("queue_full")]
)
def test_chunks_that_fail_in_passing_are_sent_again(backend, script, large, reply):
    script.fail("chunks/1", reply)
    with backend.open(large, OPTIONS) as session:
        session.put(1, ROI)
        assert session.predict(1, 4).index == 4
    np.testing.assert_array_equal(uploaded(script), large.voxels_kji)


def test_a_volume_that_somebody_else_is_finishing_is_waited_for(backend, script, volume):
    checking = message(UploadState(complete=False, missing=()))
    script.fail(r"PUT .*volumes/\w+$", checking, checking)
    backend.open(volume).close()
    assert script.count(r"PUT .*volumes/\w+$") == 3


def test_a_server_that_never_has_enough_ends_in_an_error(backend, script, volume):
    missing = message(UploadState(complete=False, missing=(0,)))
    script.fail_always("volumes", missing)
    with pytest.raises(ServerError, match="goes on to miss"):
        backend.open(volume)


def test_a_server_that_always_finds_the_volume_damaged_ends_in_an_error(backend, script, volume):
    script.fail_always("chunks", refusal("volume_hash"))
    with pytest.raises(ServerError, match="volume_hash"):
        backend.open(volume)


def test_other_chunks_are_not_sent_after_one_was_refused(backend, script):
    volume = Volume(np.zeros((32, 2048, 2048), np.uint8), np.eye(4))
    script.fail_always("chunks", refusal("too_large"))
    with pytest.raises(MessageTooLargeError):
        backend.open(volume, OPTIONS)
    assert script.count("chunks") <= 3 * IN_FLIGHT
