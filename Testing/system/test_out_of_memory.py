"""The GPU's memory runs out: once more with less, else one clear error, and the next job succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import count
from scenes import Scene, Work, clients, outcomes, trapped_server
from server_process import ServerProcess
from traps import Traps, untrapped

RECOVERED, FAILED = 1, 2
"""Decodings in a row that fail: the engine tries each slice twice."""


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    return Traps(tmp_path)


@pytest.fixture(params=["tiny-random", "tiny-random-chain"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(model: str, traps: Traps) -> Iterator[ServerProcess]:
    with trapped_server(traps, model) as server:
        yield server


def test_a_lack_of_memory_is_mended_or_told_and_the_next_job_succeeds(
    model, traps, server, full, ledger
):
    times = 50 if full else 5
    scene = Scene(slices=6)
    expected = scene.masks(untrapped(model))
    found: dict[int, list[str]] = {RECOVERED: [], FAILED: []}
    after = []
    with clients(server.url, server.tokens[:1]) as (client,):
        for number in range(times):
            for failures in (RECOVERED, FAILED):
                traps.arm("oom_after", (4 * number + 8) % 9)
                traps.arm("oom", failures)
                found[failures] += outcomes([Work(scene, client)])
                assert not traps.armed("oom")
                after += outcomes([Work(scene, client)])
    mended = found[RECOVERED].count(expected)
    told = found[FAILED].count("out_of_memory")
    good = after.count(expected)
    for what, asked, measured in (
        ("lacks of memory mended with the same masks", times, mended),
        ("lasting lacks of memory told as out_of_memory", times, told),
        ("next jobs with the right masks", 2 * times, good),
    ):
        ledger.check("P13", f"{model}: {what}", str(asked), str(measured), passed=measured == asked)
    assert count(server, "medsam2_worker_restarts_total") == 0
