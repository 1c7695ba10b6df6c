"""The process that computes dies, in every way: no job is lost, and no mask is another one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import (
    count,
    family,
    few_open_files,
    kill,
    open_files,
    shared_blocks,
    until_ready,
    wait_until,
)
from scenes import Scene, Work, begin, clients, differing, outcomes, slack, trapped_server
from server_process import ServerProcess
from traps import CURSE, POISON, Traps, untrapped

from medsam2.client.backend import RemoteBackend

READY_S = 5.0
PACE_S = 0.02
RESTARTS = "medsam2_worker_restarts_total"


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    traps = Traps(tmp_path)
    traps.arm("pace", PACE_S)
    return traps


@pytest.fixture
def model(full: bool) -> str:
    """The fake starts at once: in CI most tests take it."""
    return "tiny-random" if full else "fake"


@pytest.fixture
def limits() -> dict[str, float]:
    return {}


@pytest.fixture
def server(model: str, traps: Traps, limits: dict[str, float]) -> Iterator[ServerProcess]:
    with trapped_server(traps, model, **limits) as server:
        yield server


@pytest.fixture
def tenants(server: ServerProcess) -> Iterator[list[RemoteBackend]]:
    with clients(server.url, server.tokens) as tenants:
        yield tenants


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [Scene(0), Scene(1)]


@pytest.fixture
def undisturbed(model: str, scenes: list[Scene]) -> list[str]:
    """What each scene gives in this process, where nothing fails."""
    with contextlib.closing(untrapped(model)) as backend:
        return [scene.masks(backend) for scene in scenes]


def footprint(server: ServerProcess) -> dict[str, int]:
    """What a server must not pile up."""
    return {
        "processes": len(family(server.pid)),
        "blocks in /dev/shm": len(shared_blocks(server.pid)),
        "open files": len(open_files(server.pid)),
    }


def replaced(server: ServerProcess, times: int) -> float:
    """Waits until the worker was replaced so often; returns the seconds that it took."""
    noticed = wait_until(lambda: count(server, RESTARTS) == times, 10)
    return noticed + until_ready(server)


@pytest.mark.parametrize("model", ["tiny-random"])
def test_a_killed_worker_costs_no_job_and_changes_no_mask(
    server, tenants, scenes, undisturbed, full, ledger
):
    times = 50 if full else 3
    bad = 0
    waits = []
    assert outcomes(begin(scenes, tenants)) == undisturbed
    before = footprint(server)
    for number in range(1, times + 1):
        works = begin(scenes, tenants)
        (worker,) = server.worker_pids()
        kill(worker)
        waits.append(replaced(server, number))
        bad += differing(outcomes(works), undisturbed)
    what = f"worker killed {times} times in mid-propagation: "
    ledger.none("P12", f"{what}jobs lost or with other masks", bad, 2 * times)
    ledger.at_most("P12", f"{what}until /ready, longest", READY_S * slack(full), max(waits), "s")
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: footprint(server) == before, 5)
    after = footprint(server)
    ledger.check("P12", f"{what}left over", f"{before}", f"{after}", passed=after == before)


@pytest.mark.parametrize("fault", ["segv", "cuda"])
def test_a_crash_in_native_code_costs_no_job(
    fault, traps, server, tenants, scenes, undisturbed, full, ledger
):
    works = begin(scenes, tenants)
    traps.arm(fault)
    took = replaced(server, 1)
    bad = differing(outcomes(works), undisturbed)
    assert not traps.armed(fault)
    what = {"segv": "SIGSEGV in a slice", "cuda": "simulated CUDA error"}[fault]
    ledger.none("P12", f"{what}: jobs lost or with other masks", bad, 2)
    ledger.at_most("P12", f"{what}: until /ready", READY_S * slack(full), took, "s")


def test_a_job_that_kills_every_worker_fails_alone(server, tenants, scenes, undisturbed, ledger):
    poison = Scene(2)
    poison.objects = {POISON: poison.objects[1]}
    (work,) = begin(scenes[:1], tenants[:1])
    (own,) = outcomes([Work(poison, tenants[1])])
    ledger.check(
        "P12", "a job that kills every worker", "worker_lost", own, passed=own == "worker_lost"
    )
    assert count(server, RESTARTS) == 2
    others = [*outcomes([work]), *outcomes([Work(scenes[1], tenants[1])])]
    bad = differing(others, undisturbed)
    ledger.none("P12", "jobs beside and after it lost or with other masks", bad, 2)


def test_prompts_that_kill_every_worker_cost_no_other_job(server, scenes, undisturbed, ledger):
    cursed = Scene(2)
    cursed.objects = {CURSE: cursed.objects[1]}
    with clients(server.url, server.tokens, patience_s=0.5) as tenants:
        (work,) = begin(scenes[:1], tenants[:1])
        (own,) = outcomes([Work(cursed, tenants[1])])
        bad = differing(outcomes([work]), undisturbed[:1])
    ledger.check(
        "P12", "prompts that kill every worker", "server_busy", own, passed=own == "server_busy"
    )
    assert count(server, RESTARTS) >= 2
    ledger.none("P12", "jobs beside them lost or with other masks", bad, 1)


@pytest.mark.parametrize("limits", [{"slice_s": 1.0}])
def test_a_worker_that_hangs_is_replaced_however_much_new_work_comes(
    limits, traps, server, tenants, scenes, undisturbed, full, ledger
):
    works = begin(scenes, tenants)
    traps.arm("hang")
    wait_until(lambda: not traps.armed("hang"), 5)

    def replaced_despite_new_work() -> bool:
        tenants[0].open(scenes[0].volume).close()
        return count(server, RESTARTS) == 1

    noticed = wait_until(replaced_despite_new_work, 20, step_s=0.2)
    bad = differing(outcomes(works), undisturbed)
    ledger.none("P12", "worker that hangs: jobs lost or with other masks", bad, 2)
    what = "worker that hangs: replaced after slice_s and"
    ledger.at_most("P12", what, 2 * slack(full), noticed - limits["slice_s"], "s")


def test_a_worker_that_can_not_be_started_is_started_later(
    traps, server, tenants, scenes, undisturbed, full, ledger
):
    works = begin(scenes, tenants)
    with few_open_files(server.pid):
        kill(*server.worker_pids())
        time.sleep(1.0)
    took = until_ready(server, 30)
    bad = differing(outcomes(works), undisturbed)
    what = "worker lost while no file can be opened"
    ledger.none("P12", f"{what}: jobs lost or with other masks", bad, 2)
    limit = READY_S * slack(full)
    ledger.at_most("P12", f"{what}: until /ready once files can be opened", limit, took, "s")
