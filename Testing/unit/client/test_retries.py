"""What is lost on the way is asked for again."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from fake_backend import FakeBackend

from medsam2.core.errors import (
    CancelledError,
    MessageTooLargeError,
    NoPromptError,
    ServerAnswerError,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
    WorkerLostError,
)
from medsam2.wire import records

from .losses import BOX, ROI, run
from .scripted import CUT, Reply, refusal

PASSING = [
    CUT,
    Reply(502, b"<h1>Bad gateway</h1>", "text/html"),
    refusal("internal"),
    refusal("timeout"),
    refusal("queue_full", Retry_After="0.1"),
    refusal("quota", Retry_After="0"),
    refusal("no_memory", Retry_After="soon"),
    Reply(503, b"", "text/plain", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
]


@pytest.mark.parametrize("reply", PASSING[:2])
@pytest.mark.parametrize(
    "where", ["info", "volumes/[^/]*$", "chunks", "sessions/[^/]*$", "objects"]
)
def test_what_fails_in_passing_is_sent_again(script, connect, volume, expected, reply, where):
    script.fail(f"(PUT|GET) .*{where}", reply)
    assert run(connect(), volume) == expected
    assert not script.faults


@pytest.mark.parametrize("reply", PASSING)
def test_a_job_that_fails_to_start_in_passing_is_one_job(backend, script, volume, expected, reply):
    script.fail("POST", reply, reply)
    assert run(backend, volume) == expected
    keys = {
        headers["Idempotency-Key"] for headers in script.headers if "Idempotency-Key" in headers
    }
    assert len(keys) == 1
    assert script.count("POST") == 3


@pytest.mark.parametrize("size", [0, 50, 400, 1000, 1600])
def test_a_stream_that_is_cut_anywhere_goes_on_where_it_was(
    backend, script, volume, expected, size
):
    script.cut_streams = [size, size, size]
    assert run(backend, volume) == expected
    assert script.cut_streams == []


def test_a_stream_cut_after_its_end_is_whole(backend, script, volume, expected):
    sizes: list[int] = []

    def weigh(record: bytes) -> bytes:
        sizes.append(len(record))
        return record

    script.tamper = weigh
    assert run(backend, volume) == expected
    script.cut_streams = [sum(sizes)]
    assert run(backend, volume) == expected
    assert script.cut_streams == []
    assert script.count("POST") == 2
    assert script.count("GET .*results") == 0


def test_streams_that_end_while_the_job_runs_are_asked_to_go_on(backend, script, volume, expected):
    script.slices_per_stream = 4
    assert run(backend, volume) == expected
    assert script.count("GET .*results.after=4&wait=20") == 1
    assert script.count("POST") == 1


def test_a_put_while_the_server_is_gone_changes_nothing(connect, script, volume):
    with connect(patience_s=0.2).open(volume) as session:
        session.put(1, ROI)
        script.fail_always("PUT", CUT)
        with pytest.raises(ServerUnreachableError, match="nothing is lost"):
            session.put(1, BOX)
        assert session.objects() == {1: ROI}
        script.always.clear()
        assert len(list(session.propagate())) == 9


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (CUT, ServerUnreachableError),
        (Reply(502, b"", "text/html"), ServerUnreachableError),
        (refusal("queue_full", Retry_After="0"), ServerBusyError),
        (refusal("quota"), ServerBusyError),
        (Reply(429), ServerBusyError),
        (refusal("no_memory"), ServerBusyError),
        (refusal("internal"), ServerError),
    ],
)
def test_patience_has_an_end(connect, script, volume, reply, error):
    with connect(patience_s=0.15).open(volume) as session:
        session.put(1, ROI)
        script.fail_always("POST", reply)
        begun = time.monotonic()
        with pytest.raises(error):
            session.predict(1, 4)
        assert time.monotonic() - begun < 2
        assert script.count("POST") > 2


def test_a_server_that_is_known_to_have_ended_is_not_waited_for(connect, script, volume):
    ended = threading.Event()
    backend = connect(patience_s=600, is_alive=lambda: not ended.is_set())
    with backend.open(volume) as session:
        session.put(1, ROI)
        script.fail_always("POST", CUT)
        ended.set()
        with pytest.raises(ServerUnreachableError, match="nothing is lost"):
            session.predict(1, 4)


def test_a_wait_that_the_server_asks_for_is_capped_by_patience(connect, script, volume):
    with connect(patience_s=0.3).open(volume) as session:
        session.put(1, ROI)
        script.fail_always("POST", refusal("quota", Retry_After="3600"))
        begun = time.monotonic()
        with pytest.raises(ServerBusyError):
            session.predict(1, 4)
        assert time.monotonic() - begun < 2


def test_streams_that_bring_nothing_use_up_patience(connect, script, volume):
    with connect(patience_s=0.3).open(volume) as session:
        session.put(1, ROI)
        script.cut_streams = [400] * 1000
        with pytest.raises(ServerUnreachableError):
            list(session.propagate())


def test_closing_and_removing_never_fail(connect, script, volume):
    session = connect(patience_s=30).open(volume)
    session.put(1, ROI)
    script.fail_always("DELETE", CUT)
    begun = time.monotonic()
    session.remove(1)
    session.close()
    session.close()
    assert time.monotonic() - begun < 2
    assert script.count("DELETE") == 4


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (records.End("failed", 0, "worker_lost", "The process was lost."), WorkerLostError),
        (records.End("failed", 0, "no_prompt", "Draw one."), NoPromptError),
        (records.End("failed", 0, "brand_new", "Something else."), ServerError),
        (records.End("failed", 0), ServerError),
        (records.End("cancelled", 0), CancelledError),
    ],
)
def test_a_job_that_fails_says_why(backend, script, volume, end, error):
    with backend.open(volume) as session:
        session.put(1, ROI)
        script.tamper = lambda record: b"" if b"slice" in record else replaced(record, end)
        with pytest.raises(error):
            list(session.propagate())
        assert session.results(1) == {}


def replaced(record: bytes, end: records.End) -> bytes:
    header, _ = next(records.RecordReader().feed(record))
    return records.pack(end) if isinstance(header, records.End) else record


def test_refusals_that_do_not_pass_are_raised_at_once(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        for reply, error in [
            (refusal("too_large"), MessageTooLargeError),
            (refusal("job_conflict"), ServerError),
            (Reply(404, b"nothing", "text/html"), ServerAnswerError),
            (refusal("out_of_memory", "The device has 1 MB."), Exception),
        ]:
            before = script.count("POST")
            script.fail("POST", reply)
            with pytest.raises(error):
                session.predict(1, 4)
            assert script.count("POST") == before + 1


def test_two_backends_share_a_volume(connect, script, volume):
    with connect().open(volume), connect().open(volume):
        assert script.count("PUT .*chunks") == 1
    assert np.array_equal(next(iter(script.volumes.values())).voxels, volume.voxels_kji)


def test_progress_renews_patience(connect, script, volume):
    script.backend = FakeBackend(on_slice=lambda index: time.sleep(0.06))
    with connect(patience_s=0.4).open(volume) as session:
        session.put(1, ROI)
        script.cut_streams = [650] * 9
        begun = time.monotonic()
        assert len(list(session.propagate())) == 9
        assert time.monotonic() - begun > 0.5
    assert len(script.cut_streams) < 5


def test_a_server_that_goes_down_for_ever_uses_up_patience(connect, script, volume):
    script.slices_per_stream = 2
    script.tamper = going_down
    with connect(patience_s=0.3).open(volume) as session:
        session.put(1, ROI)
        with pytest.raises(ServerUnreachableError, match="going down"):
            list(session.propagate())


def going_down(record: bytes) -> bytes:
    header, _ = next(records.RecordReader().feed(record))
    if isinstance(header, records.End):
        return records.pack(records.End("running", header.last, shutdown=True))
    return record
