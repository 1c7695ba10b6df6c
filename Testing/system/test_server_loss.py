"""The whole server is killed and started again: the client goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import count, kill, until_ready
from scenes import Scene, Work, begin, clients, differing, outcomes, slack, trapped_server
from server_process import ServerProcess
from traps import Traps, untrapped

from medsam2.client.backend import RemoteBackend

RECONNECT_S = 3.0
PROPAGATIONS = 'medsam2_jobs_total{kind="propagate"'
PUT = '"PUT", "route": "/v1/sessions/{session}/objects/{object_id}", "status": 200'


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    return Traps(tmp_path)


@pytest.fixture
def model(full: bool) -> str:
    """The fake starts at once: in CI most tests take it."""
    return "tiny-random" if full else "fake"


@pytest.fixture
def server(model: str, traps: Traps) -> Iterator[ServerProcess]:
    with trapped_server(traps, model) as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[RemoteBackend]:
    with clients(server.url, server.tokens[:1]) as (client,):
        yield client


def expected(model: str, scene: Scene) -> str:
    with contextlib.closing(untrapped(model)) as backend:
        return scene.masks(backend)


def restart(server: ServerProcess) -> None:
    """As after a power cut: the port and the tokens are the same, all else is gone."""
    server.kill()
    server.restart()


def test_a_propagation_outlives_the_server(model, traps, server, client, full, ledger):
    times = 20 if full else 2
    traps.arm("pace", 0.03)
    bad = jobs = puts = 0
    waits = []
    for number in range(times):
        scene = Scene(number)
        (work,) = begin([scene], [client])
        restart(server)
        written = len(server.logs())
        until_ready(server)
        back = time.monotonic()
        work.wait(work.slices + 1)
        waits.append(time.monotonic() - back)
        bad += differing(outcomes([work]), [expected(model, scene)])
        jobs += int(count(server, PROPAGATIONS))
        puts += server.logs()[written:].count(PUT)
    what = f"server killed {times} times in mid-propagation"
    ledger.none("P14", f"{what}: other masks or an error", bad, times)
    ledger.check(
        "P14", f"{what}: jobs of the new server", str(times), str(jobs), passed=jobs == times
    )
    asked = len(scene.objects) * times
    ledger.check("P14", f"{what}: prompts put again", str(asked), str(puts), passed=puts == asked)
    limit = RECONNECT_S * slack(full)
    ledger.at_most("P14", f"{what}: from /ready to the next mask, longest", limit, max(waits), "s")


def test_the_server_may_be_killed_at_any_moment(model, server, client, full, ledger):
    times = 20 if full else 2
    chance = random.Random(0)
    bad = 0
    for number in range(times):
        scene = Scene(100 + number)
        work = Work(scene, client)
        time.sleep(chance.uniform(0, 0.3))
        restart(server)
        bad += differing(outcomes([work]), [expected(model, scene)])
    what = f"server killed {times} times between opening and the last mask"
    ledger.none("P14", f"{what}: other masks or an error", bad, times)


@pytest.mark.parametrize("model", ["tiny-random", "tiny-random-chain"])
def test_masks_are_the_same_bits_everywhere(model, traps, server, full, ledger):
    scenes = [Scene(seed) for seed in range(8 if full else 4)]
    with contextlib.closing(untrapped(model)) as backend:
        alone = [scene.masks(backend) for scene in scenes]
    found = {}
    tokens = [server.tokens[n % 2] for n in range(len(scenes))]
    with clients(server.url, tokens) as backends:
        found["a server"] = outcomes([Work(scenes[0], backends[0])])
        found[f"{len(scenes)} sessions at once"] = outcomes(
            [Work(scene, backend) for scene, backend in zip(scenes, backends, strict=True)]
        )
        if full:
            traps.arm("pace", 0.02)
            works = begin(scenes[:2], backends[:2])
            kill(*server.worker_pids())
            found["a worker after a crash"] = outcomes(works)
            works = begin(scenes[:2], backends[:2])
            restart(server)
            found["a server after a crash"] = outcomes(works)
    for where, digests in found.items():
        bad = differing(digests, alone[: len(digests)])
        ledger.none("P22", f"{model}: masks of {where} unlike those in process", bad, len(digests))
