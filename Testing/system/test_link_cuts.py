"""A bad network between client and server: cut, slow or refused, but never another mask."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator

import pytest
from faults import count
from ledger import Ledger
from scenes import Scene, Work, clients, outcomes, trapped_server
from server_process import ServerProcess
from socket_proxy import Faults, SocketProxy, Way
from traps import Traps, untrapped

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import Backend
from medsam2.core.errors import MedSAM2Error

ALL_BYTES = {"up": 29_000, "down": 5_200}
"""What a run sends each way, roughly."""

ENOUGH_BYTES = 6_000
"""What a connection must carry at least, so that any request and some masks get through."""


@pytest.fixture(scope="module")
def model(full: bool) -> str:
    return "tiny-random" if full else "fake"


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Traps:
    return Traps(tmp_path_factory.mktemp("traps"))


@pytest.fixture(scope="module")
def server(model: str, traps: Traps) -> Iterator[ServerProcess]:
    with trapped_server(traps, model) as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(model: str) -> Iterator[Backend]:
    with contextlib.closing(untrapped(model)) as backend:
        yield backend


class Rig:
    """New clients of a server, one after another, behind a proxy with faults.

    Args:
        server: whose jobs are counted, too.
        undisturbed: where nothing fails.
    """

    def __init__(self, server: ServerProcess, undisturbed: Backend) -> None:
        self._server = server
        self._undisturbed = undisturbed
        self._jobs = self._jobs_over()
        self.proxy = SocketProxy(server.port)
        self.scene = Scene(slices=6)
        self.runs = 0
        self.bad: list[tuple[Faults, str]] = []

    def run(self, faults: Faults) -> None:
        """Does the scene with these faults, by a new client."""
        told = dataclasses.replace(faults)
        self.proxy.faults = faults
        try:
            with self.client() as client:
                self.judge(Work(self.scene, client), told)
        except MedSAM2Error as error:
            self.bad.append((told, str(error)))

    @contextlib.contextmanager
    def client(self) -> Iterator[RemoteBackend]:
        """A client of the proxy."""
        self.runs += 1
        url = f"http://127.0.0.1:{self.proxy.port}"
        with clients(url, self._server.tokens[:1], patience_s=20) as (client,):
            yield client

    def judge(self, work: Work, told: Faults) -> None:
        """Waits for a work's end and checks what came out."""
        (found,) = outcomes([work])
        if found != self.scene.masks(self._undisturbed):
            self.bad.append((told, found))

    def take_another_volume(self) -> None:
        """Makes the next run upload its volume."""
        self.scene = Scene(self.runs + 1, slices=6)

    def report(self, ledger: Ledger, what: str) -> None:
        """Writes down what went wrong."""
        assert self.runs > 0
        bad, twice = len(self.bad), self._jobs_over() - self._jobs - self.runs
        ledger.none("P14", f"{what}: other masks or an error", bad, self.runs)
        ledger.none("P14", f"{what}: jobs made twice", twice, self.runs)

    def _jobs_over(self) -> int:
        return int(count(self._server, 'medsam2_jobs_total{kind="propagate"'))


@pytest.fixture
def rig(server: ServerProcess, undisturbed: Backend, traps: Traps) -> Iterator[Rig]:
    traps.arm("pace", 0)
    rig = Rig(server, undisturbed)
    with rig.proxy:
        yield rig


def steps(first: int, last: int, number: int) -> list[int]:
    """About so many whole numbers, close together at the beginning."""
    ratio = (last / first) ** (1 / (number - 1))
    return sorted({round(first * ratio**n) for n in range(number)})


@pytest.mark.parametrize("way", ["up", "down"])
def test_connections_cut_after_any_byte_change_no_mask(way: Way, rig, full, ledger):
    for k in steps(1, ALL_BYTES[way], 300 if full else 8):
        rig.take_another_volume()
        rig.run(Faults(cut_bytes={way: k}, cuts=3))
    what = {"up": "requests", "down": "answers"}[way]
    rig.report(ledger, f"first 3 connections cut after k bytes of {what}, k to {ALL_BYTES[way]}")


@pytest.mark.parametrize("way", ["up", "down"])
def test_connections_that_all_are_cut_change_no_mask(way: Way, rig, full, ledger):
    rig.scene = Scene(slices=32)
    rig.run(Faults())
    for k in steps(ENOUGH_BYTES, 20_000, 60 if full else 3):
        rig.run(Faults(cut_bytes={way: k}))
    what = {"up": "requests", "down": "answers"}[way]
    rig.report(ledger, f"every connection cut after k bytes of {what}, k from {ENOUGH_BYTES}")


@pytest.mark.parametrize("way", ["up", "down"])
def test_connections_cut_after_any_message_change_no_mask(way: Way, rig, full, ledger):
    for k in range(1, 21) if full else (2, 7):
        for cuts in (1, 3, 6):
            rig.run(Faults(cut_pieces={way: k}, cuts=cuts))
    what = {"up": "requests", "down": "answers"}[way]
    rig.report(ledger, f"connections cut after every kth piece of {what}")


def test_a_slow_link_with_cuts_changes_no_mask(rig, full, ledger):
    for k in range(1, 13) if full else (5,):
        rig.take_another_volume()
        rig.run(Faults(cut_pieces={"down": k, "up": 2 * k}, cuts=3, jitter_s=0.3))
    rig.report(ledger, "jitter up to 300 ms, and cuts")


def test_refused_connections_change_no_mask(rig, traps, full, ledger):
    traps.arm("pace", 0.02)
    for pause_s in (0.1, 0.5, 1.0, 2.0, 4.0) if full else (0.5,):
        with rig.client() as client:
            work = Work(rig.scene, client)
            work.wait(3)
            rig.proxy.faults.refuse = True
            assert rig.proxy.cut_now()
            time.sleep(pause_s)
            rig.proxy.faults.refuse = False
            rig.judge(work, Faults(refuse=True))
    assert rig.proxy.counts["refused"]
    rig.report(ledger, "connections cut in mid-propagation and refused for up to 4 s")
