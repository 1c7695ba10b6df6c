"""A bad network between client and server: cut, slow or refused, but never another mask."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import count
from scenes import Scene, Work, clients, outcomes, trapped_server
from server_process import ServerProcess
from socket_proxy import Faults, SocketProxy, Way
from traps import Traps, untrapped

JOBS_DONE = 'medsam2_jobs_total{kind="propagate",state="done"}'
JOBS = "medsam2_jobs_total"
WAYS: tuple[Way, ...] = ("up", "down")


@pytest.fixture(scope="module")
def model(full: bool) -> str:
    return "tiny-random" if full else "fake"


@pytest.fixture(scope="module")
def server(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with trapped_server(Traps(tmp_path_factory.mktemp("traps")), model) as server:
        yield server


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[SocketProxy]:
    with SocketProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(slices=6)


@pytest.fixture(scope="module")
def undisturbed(model: str, scene: Scene) -> str:
    return scene.masks(untrapped(model))


def run(scene: Scene, server: ServerProcess, proxy: SocketProxy, faults: Faults) -> str:
    """The outcome of a scene, done by a client of its own behind a proxy with faults."""
    proxy.faults = faults
    with clients(f"http://127.0.0.1:{proxy.port}", server.tokens[:1]) as (client,):
        (found,) = outcomes([Work(scene, client)])
    return found


def places(highest: int, number: int) -> Iterator[int]:
    """Numbers from 1 to ``highest``, dense at the beginning."""
    ratio = highest ** (1 / (number - 1))
    return (max(n, round(ratio**n)) for n in itertools.chain([1], range(1, number)))
