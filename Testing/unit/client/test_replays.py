"""What the server forgot, it is told again."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from fake_backend import FakeBackend

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import SliceResult
from medsam2.core.errors import (
    ServerAnswerError,
    ServerError,
)
from medsam2.wire import records
from medsam2.wire.messages import SessionState

from .losses import BOX, ROI, masks, run
from .scripted import CUT, TOKEN, Script, message, refusal, serving, wait_until

FORGOTTEN = ["unknown_session", "evicted", "expired", "restarted", "stale", "unknown_volume"]


@contextmanager
def half_way(
    script, session
) -> Iterator[tuple[Iterator[SliceResult], list[tuple[int, int, bytes]]]]:
    """A propagation whose first four slices have come, and which waits for the others."""
    script.slices_per_stream = 4
    script.fail_always("results", CUT)
    running = session.propagate()
    made = masks([next(running)])
    wait_until(lambda: script.count("results") > 0)
    yield running, made
    script.always.clear()


def test_a_server_that_goes_down_is_asked_again(backend, script, volume, expected):
    shut: list[int] = []

    def shut_once(record: bytes) -> bytes:
        header, _ = next(records.RecordReader().feed(record))
        if isinstance(header, records.End) and not shut:
            shut.append(1)
            script.restart()
            return records.pack(records.End("running", header.last, shutdown=True))
        return record

    script.slices_per_stream = 4
    script.tamper = shut_once
    assert run(backend, volume) == expected
    assert script.count("GET /v1/info") == 2


@pytest.mark.parametrize("code", FORGOTTEN)
@pytest.mark.parametrize(
    "where", ["PUT .*objects/2", "POST", "GET .*results", "PUT .*sessions/[^/]*$"]
)
def test_what_the_server_forgot_it_is_told_again(backend, script, volume, expected, code, where):
    script.slices_per_stream = 4
    script.fail(where, refusal(code))
    assert run(backend, volume) == expected
    assert not script.faults


@pytest.mark.parametrize("what", ["restart", "forget"])
@pytest.mark.parametrize("when", ["open", "put", "half-way", "predict"])
def test_a_server_that_started_anew_gives_the_same_masks(
    backend, script, volume, expected, what, when
):
    lose = getattr(script, what)
    if when == "open":
        lose()
    with backend.open(volume) as session:
        session.put(1, ROI)
        if when == "put":
            lose()
        session.put(2, BOX)
        if when == "predict":
            lose()
        assert session.predict(1, 4).index == 4
        with half_way(script, session) as (running, made):
            if when == "half-way":
                lose()
        assert made + masks(running) == expected
        keys = {h["Idempotency-Key"] for h in script.headers if "Idempotency-Key" in h}
        assert len(keys) == 2


def test_objects_that_were_removed_are_not_told_again(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        session.put(2, BOX)
        session.remove(2)
        script.restart()
        session.predict(1, 4)
        (opened,) = script.sessions.values()
        assert list(opened.digests) == ["1"]


def test_a_session_of_a_server_that_runs_another_model_says_so(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        script.weights = "1" * 64
        script.restart()
        with pytest.raises(ServerAnswerError, match="open the volume again"):
            session.predict(1, 4)
    with backend.open(volume) as session:
        assert backend.model.weights_sha256 == "1" * 64
        session.put(1, ROI)
        assert session.predict(1, 4).index == 4


def test_masks_that_differ_after_a_replay_are_refused(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        with half_way(script, session) as (running, _):
            script.backend = Inverted()
            script.restart()
        with pytest.raises(ServerAnswerError, match="another mask"):
            list(running)
        assert len(session.results(1)) == 4


class Inverted(FakeBackend):
    """Makes other masks than the fake."""

    def open(self, volume, options=None):
        session = super().open(volume, options)
        made = session._made

        def other(object_id, prompts, index):
            result = made(object_id, prompts, index)
            flipped = dataclasses.replace(result.mask_rc, bits=~result.mask_rc.bits)
            return dataclasses.replace(result, mask_rc=flipped)

        session._made = other
        return session


def test_a_server_that_always_forgets_ends_in_an_error(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        script.fail_always("POST", refusal("evicted"))
        with pytest.raises(ServerError, match="forgot the session"):
            session.predict(1, 4)
        assert script.count("POST") == 6


def test_a_propagation_survives_a_server_that_is_gone_for_a_while(volume, expected):
    script = Script()
    with serving(script):
        port = int(script.url.rpartition(":")[2])
        backend = RemoteBackend(script.url, TOKEN, patience_s=10)
        session = backend.open(volume)
        session.put(1, ROI)
        session.put(2, BOX)
        script.slices_per_stream = 4
        script.fail_always("results", CUT)
        running = session.propagate()
        made = masks([next(running)])
    script.always.clear()
    script.restart()
    time.sleep(0.2)
    with serving(script, port=port):
        assert made + masks(running) == expected
        session.close()
        backend.close()


def test_prompts_that_change_under_a_lost_job_end_it(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        with half_way(script, session) as (running, _):
            session.put(1, BOX)
            script.restart()
        with pytest.raises(ServerError, match="prompts changed"):
            list(running)


def test_a_server_that_forgets_again_and_again_is_told_as_long_as_there_is_progress(
    backend, script, volume, expected
):
    script.slices_per_stream = 3
    for after in range(3, 22, 3):
        script.fail(f"after={after}&", refusal("evicted"))
    assert run(backend, volume) == expected
    assert not script.faults
    assert script.count("POST") == 8


def test_a_job_that_ends_because_its_session_is_gone_is_started_again(
    backend, script, volume, expected
):
    ends = [records.pack(records.End("failed", 21, "evicted"))]

    def gone_once(record: bytes) -> bytes:
        return ends.pop() if ends and b'"kind":"end"' in record else record

    script.tamper = gone_once
    assert run(backend, volume) == expected
    assert script.count("POST") == 2


def test_a_session_that_was_opened_by_another_run_is_opened_again(backend, script, volume):
    state = SessionState("0" * 64, {}, "ab" * 16)
    script.fail("PUT .*sessions/[^/]*$", message(state))
    backend.open(volume).close()
    assert script.count("GET /v1/info") == 2


def test_two_threads_that_find_the_session_lost_open_it_once(backend, script, volume):
    both = threading.Barrier(2)
    answer = script.answer

    def together(method, *rest):
        if method == "POST":
            with suppress(threading.BrokenBarrierError):
                both.wait(2)
        return answer(method, *rest)

    with backend.open(volume) as session:
        session.put(1, ROI)
        script.restart()
        script.asked.clear()
        script.answer = together
        threads = [threading.Thread(target=session.predict, args=(1, n)) for n in (4, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert script.count("PUT .*sessions/[^/]*$") == 1
    assert script.count("POST") == 4
