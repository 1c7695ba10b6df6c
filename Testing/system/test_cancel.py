"""Cancelling takes effect within one slice, and harms nothing else."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator

import pytest
from ledger import Ledger
from load import NEVER_STOPS, SIDE, Visit, Visitor, scan_of
from probes import quantile
from server_process import ServerProcess, running

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import CancelToken, Session
from medsam2.core.errors import CancelledError
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.wire import names, strict
from medsam2.wire.messages import JobState

SLOWLY = {**os.environ, "SLICE_S": "0.02"}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(factory="factories:tiny") as server:
        yield server


def boxes(count: int, last: int) -> Iterator[tuple[int, ObjectPrompts]]:
    """After how many slices to cancel, and prompts that nothing was made from before."""
    draw = random.Random(0)
    for number in range(count):
        box_rc = (10 + number % 20, 10 + number // 20, 44, 44)
        yield draw.randint(1, last), ObjectPrompts((BoxPrompt(SIDE // 2, box_rc),))


def test_a_cancelled_propagation_ends_at_once_and_the_session_goes_on(
    server: ServerProcess, ledger: Ledger, full: bool
) -> None:
    times = 200 if full else 10
    taken, further, unusable = [], 0, 0
    with (
        contextlib.closing(RemoteBackend(server.url, server.token)) as backend,
        backend.open(scan_of(0), NEVER_STOPS) as session,
    ):
        for slices, given in boxes(times, SIDE - 4):
            session.put(1, given)
            seconds, more = cancel_after(session, slices)
            taken.append(seconds)
            further = max(further, more)
            unusable += session.predict(1, SIDE // 2).index != SIDE // 2
        made = sum(1 for _ in session.propagate())
    what = f"{times} propagations cancelled at a random slice: "
    ledger.at_most("P11", f"{what}slices that still came", 1, further)
    ledger.none("P11", f"{what}sessions unusable afterwards", unusable + (made != SIDE), times)
    slack = 1 if full else 4
    ledger.at_most(
        "P11", f"{what}from cancel() to CancelledError, 99th percentile", 250 * slack,
        1000 * quantile(taken, 0.99), "ms",
    )  # fmt: skip


def cancel_after(session: Session, slices: int) -> tuple[float, int]:
    """Propagates and has another thread cancel once so many slices are there.

    Returns:
        Seconds from the cancelling to the error, and the slices that came in between.
    """
    token, enough = CancelToken(), threading.Event()
    begun: list[float] = []

    def cancel() -> None:
        enough.wait(30)
        begun.append(time.perf_counter())
        token.cancel()

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    more = 0
    with pytest.raises(CancelledError):
        for number, _ in enumerate(session.propagate(cancel=token), start=1):
            more += token.cancelled
            if number == slices:
                enough.set()
    ended = time.perf_counter()
    canceller.join()
    return ended - begun[0], more


def test_the_server_makes_no_more_than_one_further_slice(ledger: Ledger, full: bool) -> None:
    times = 200 if full else 10
    with (
        running(factory="factories:fake", env=SLOWLY) as server,
        Visitor(server.port, server.token) as visitor,
    ):
        visit = visitor.open(scan_of(1))
        further = []
        for slices, given in boxes(times, 20 if full else 8):
            visit.put(given)
            further.append(made_after_delete(visit, slices))
    what = f"{times} jobs of 20 ms a slice deleted at a random one: slices made after the answer"
    ledger.at_most("P11", what, 1, max(further))


def made_after_delete(visit: Visit, slices: int) -> int:
    """Starts a job, cancels it once so many slices are there; returns how many came after that."""
    key = names.new_id()
    visit.ask(key=key, wait=False)
    path = f"{visit.path}/jobs/{key}"

    def state() -> JobState:
        return strict.from_json(JobState, visit.visitor.get("GET", path).body)

    while state().last < slices:
        time.sleep(0.002)
    visit.visitor.get("DELETE", path)
    at_once = state().last
    for _ in range(1000):
        now = state()
        if now.state != "running":
            assert now.state == "cancelled"
            return now.last - at_once
        time.sleep(0.005)
    msg = "the cancelled job did not end"
    raise AssertionError(msg)
