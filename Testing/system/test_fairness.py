"""Queues are bounded and fair, and nothing that was taken in is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from ledger import Ledger
from load import SIDE, Visit, Visitor, together
from phantoms import moving_ball
from raw_http import Answer
from server_process import ServerProcess, running

from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.server.settings import Limits
from medsam2.wire import names, strict
from medsam2.wire.messages import Problem

TENANTS = 10
SLOWLY = {**os.environ, "SLICE_S": "0.005"}
_SEEDS = itertools.count(10_000)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(tenants=TENANTS, factory="factories:tiny") as server:
        yield server


@contextlib.contextmanager
def visits(server: ServerProcess, owners: Sequence[int], slices: int) -> Iterator[list[Visit]]:
    """A session for each of the owners (tenants' numbers), each on a new volume."""
    with contextlib.ExitStack() as stack:
        opened = []
        for owner in owners:
            visitor = stack.enter_context(Visitor(server.port, server.tokens[owner], 120.0))
            opened.append(visitor.open(moving_ball((slices, SIDE, SIDE), next(_SEEDS))[0]))
        yield opened
        for visit in opened:
            visit.close()


def follow(visit: Visit, slices: int) -> int:
    """Puts a box in the middle and propagates; returns how many slices are missing."""
    visit.put(ObjectPrompts((BoxPrompt(slices // 2, (20, 20, 44, 44)),)))
    return slices - len({result.index for result in visit.propagate()})


def test_a_full_queue_says_when_to_come_back_and_loses_no_job(ledger: Ledger, full: bool) -> None:
    tenants, each, slices = (10, 10, SIDE) if full else (4, 4, 16)
    limits = Limits(queue=2 * tenants, tenant_jobs=3)
    owners = [n % tenants for n in range(tenants * each)]
    turned_away: list[Answer] = []
    missing: list[int] = []
    faults: list[str] = []
    with (
        running(tenants=tenants, factory="factories:fake", limits=limits, env=SLOWLY) as server,
        visits(server, owners, slices) as opened,
    ):

        def one(place: int) -> None:
            if owners[place]:
                time.sleep(0.05)  # so that the first tenant meets its own limit first
            missing.append(insist(opened[place], slices, turned_away))

        together([lambda place=place: one(place) for place in range(len(owners))], faults)
    assert faults[:3] == []
    what = (
        f"{len(owners)} jobs for {limits.queue} places, {limits.tenant_jobs} for each tenant, "
        "thresholding backend"
    )
    ledger.none("P10", f"{what}: jobs or slices lost", sum(missing), len(owners))
    told = {(a.status, strict.from_json(Problem, a.body).code) for a in turned_away}
    assert told == {(429, "quota"), (503, "queue_full")}
    unsaid = sum(not a.headers.get("retry-after", "").isdigit() for a in turned_away)
    ledger.none("P10", f"{what}: refusals without Retry-After", unsaid, len(turned_away))


def insist(visit: Visit, slices: int, turned_away: list[Answer]) -> int:
    """Propagates, and comes back as told for as long as there is no room; as :func:`follow`."""
    visit.put(ObjectPrompts((BoxPrompt(slices // 2, (20, 20, 44, 44)),)))
    key = names.new_id()
    for _ in range(200):
        answer = visit.ask(key=key)
        if answer.status not in {429, 503}:
            return slices - len(visit.finished(answer, key))
        turned_away.append(answer)
        time.sleep(float(answer.headers.get("retry-after", "1")))
    return slices


def test_a_tenant_with_many_jobs_delays_no_other(
    server: ServerProcess, ledger: Ledger, full: bool
) -> None:
    greedy, slices = (40, SIDE) if full else (6, 16)
    owners = [0] * greedy + list(range(1, TENANTS))
    ended: dict[int, float] = {}
    faults: list[str] = []
    with visits(server, owners, slices) as opened:
        begun: dict[int, float] = {}

        def one(place: int) -> None:
            if place >= greedy:
                time.sleep(0.1)  # the other one was first
            begun[place] = time.monotonic()
            assert follow(opened[place], slices) == 0
            ended[place] = time.monotonic()

        together([lambda place=place: one(place) for place in range(len(owners))], faults)
    assert faults[:3] == []
    waits = [ended[place] - begun[place] for place in range(greedy, len(owners))]
    longest, median = max(waits), statistics.median(waits)
    what = f"one tenant with {greedy} propagations, {len(waits)} tenants with one each"
    ledger.at_most("P10", f"{what}: longest wait of these, over their median", 3, longest / median)
    hog = max(ended[place] - begun[place] for place in range(greedy))
    ledger.at_most("P10", f"{what}: longest wait of these, over the first one's", 1, longest / hog)


def test_many_sessions_at_once_get_as_much_done_as_one_after_the_other(
    server: ServerProcess, ledger: Ledger, full: bool
) -> None:
    count, slices = (100, 16) if full else (8, 12)
    owners = [n % TENANTS for n in range(count)]
    seconds = []
    for run in (_in_turn, together):
        with visits(server, owners, slices) as opened:
            time.sleep(0.2)
            faults: list[str] = []
            begun = time.monotonic()
            run([lambda v=visit: follow(v, slices) for visit in opened], faults)
            seconds.append(time.monotonic() - begun)
            assert faults[:3] == []
    share = seconds[0] / seconds[1]
    ledger.check(
        "P10", f"throughput of {count} sessions at once, against one after the other",
        ">= 90 %", f"{100 * share:.3g} % ({count / seconds[1]:.3g} jobs/s)",
        passed=share >= (0.9 if full else 0.5),
    )  # fmt: skip


def _in_turn(actions: Sequence[Callable[[], int]], faults: list[str]) -> None:
    for action in actions:
        together([action], faults)
