"""The end of a server: told to stop it ends what it can, killed it leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import SOURCE, alive, ask, family, kill, shared_blocks, wait_until
from load import Visit, Visitor, stream_of
from scenes import Scene, Work, clients, outcomes, slack, trapped_server
from server_process import ServerProcess
from traps import Traps

from medsam2.wire import strict
from medsam2.wire.messages import Problem
from medsam2.wire.records import End

DRAIN_S, GONE_S = 10.0, 2.0
SCENE = Scene()
TOKEN = "t" * 43


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    return Traps(tmp_path)


@pytest.fixture
def model(full: bool) -> str:
    """The fake starts at once: in CI most tests take it."""
    return "tiny-random" if full else "fake"


@pytest.fixture
def limits(full: bool) -> dict[str, float]:
    return {} if full else {"drain_s": 1.0}


@pytest.fixture
def server(model: str, traps: Traps, limits: dict[str, float]) -> Iterator[ServerProcess]:
    with trapped_server(traps, model, **limits) as server:
        yield server
        assert "Traceback" not in server.logs()


@pytest.fixture
def visit(server: ServerProcess) -> Iterator[Visit]:
    """A session with one object."""
    with Visitor(server.port, server.token) as visitor:
        visit = visitor.open(SCENE.volume)
        visit.put(SCENE.objects[1])
        yield visit


class Stream(threading.Thread):
    """The results of a propagation, read in a thread until the server ends them."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(daemon=True)
        self._visit = visit
        self._slices = 0
        self._end: End | None = None
        self.start()

    def run(self) -> None:
        """Reads."""
        results, self._end = stream_of(self._visit.ask().body)
        self._slices = len(results)

    def end(self) -> tuple[int, End | None]:
        """Waits for the end; returns the number of slices, and the last record."""
        self.join(30)
        return self._slices, self._end


class Remains:
    """What a server has now, to see what is left of it later."""

    def __init__(self, server: int) -> None:
        self._processes = [child.pid for child in family(server)]
        self.blocks = shared_blocks(server)
        assert len(self._processes) == 2, "a worker and Python's resource tracker"

    def left(self) -> int:
        """Processes that still live, and blocks of shared memory that still have a name."""
        return sum(map(alive, self._processes)) + sum(path.exists() for path in self.blocks)

    def gone(self) -> float:
        """Waits until nothing is left; returns the seconds that it took."""
        return wait_until(lambda: not self.left(), 30)


def stopped(server: ServerProcess) -> tuple[int, float]:
    """Tells a server to stop; returns its exit code and the seconds that it took."""
    begun = time.monotonic()
    return server.terminate(30), time.monotonic() - begun


def test_a_short_job_ends_before_the_server_does(traps, server, visit, ledger):
    traps.arm("pace", 0.05)
    remains, stream = Remains(server.pid), Stream(visit)
    time.sleep(0.2)
    code, _ = stopped(server)
    slices, end = stream.end()
    done = end is not None and (end.state, slices) == ("done", SCENE.volume.shape_kji[0])
    told = "all slices" if done else f"{slices} slices, {end}"
    ledger.check("P15", "SIGTERM: a short job ends", "all slices", told, passed=done)
    ledger.check("P15", "SIGTERM: exit code after a short job", "0", str(code), passed=code == 0)
    ledger.at_most("P15", "SIGTERM: until nothing is left", GONE_S, remains.gone(), "s")


@pytest.mark.parametrize("trouble", ["a long job", "a worker that hangs"])
def test_a_server_does_not_wait_for_ever(trouble, traps, server, visit, full, ledger):
    if trouble == "a long job":
        traps.arm("pace", 2.0)
    else:
        traps.arm("hang")
    remains, stream = Remains(server.pid), Stream(visit)
    time.sleep(0.2)
    code, took = stopped(server)
    _, end = stream.end()
    shut = end is not None and end.shutdown and end.state == "running"
    ledger.check("P15", f"SIGTERM, {trouble}: last record", "shutdown", str(end), passed=shut)
    ledger.check("P15", f"SIGTERM, {trouble}: exit code", "0", str(code), passed=code == 0)
    ledger.at_most("P15", f"SIGTERM, {trouble}: until the end", DRAIN_S, took, "s")
    ledger.at_most("P15", f"SIGTERM, {trouble}: until nothing is left", GONE_S, remains.gone(), "s")


@pytest.mark.parametrize("limits", [{"drain_s": 8.0}])
def test_a_server_that_drains_takes_no_new_job_and_a_second_signal_ends_it(
    limits, traps, server, visit, full, ledger
):
    traps.arm("pace", 2.0)
    stream = Stream(visit)
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "shutdown" in ask(server, "/ready")[1], 1)
    with Visitor(server.port, server.token) as visitor:
        refusal = Visit(visitor, visit.key, visit.fingerprint)
        refusal.adopt(visit)
        answer = refusal.ask()
    assert strict.from_json(Problem, answer.body).code == "shutdown"
    _, took = stopped(server)
    ledger.at_most("P15", "a second SIGTERM: until the end", GONE_S * slack(full), took, "s")
    stream.end()


def test_a_server_told_to_stop_while_its_worker_starts_ends_well(traps, server, ledger):
    kill(*server.worker_pids())
    wait_until(lambda: ask(server, "/ready")[0] == 503, 5)
    code, took = stopped(server)
    ledger.check(
        "P15", "SIGTERM while a worker starts: exit code", "0", str(code), passed=code == 0
    )
    ledger.at_most("P15", "SIGTERM while a worker starts: until the end", DRAIN_S, took, "s")


def test_a_killed_server_leaves_neither_processes_nor_memory(traps, server, visit, full, ledger):
    traps.arm("pace", 0.5)
    stream, remains = Stream(visit), Remains(server.pid)
    assert remains.blocks
    time.sleep(0.2)
    server.kill()
    limit = GONE_S * slack(full)
    ledger.at_most(
        "P15", "SIGKILL of the server: until nothing is left", limit, remains.gone(), "s"
    )
    stream.end()


PARENT = """
import subprocess, sys, time
command = [sys.executable, "-m", "medsam2", "serve", *sys.argv[1:]]
server = subprocess.Popen(command, stdin=subprocess.PIPE)
print("pid", server.pid, flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def parent_of_a_server(*options: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """Starts a program that starts a server; yields it, the server's process and its port."""
    command = [sys.executable, "-c", PARENT, "--port", "0", "--exit-with-parent", *options]
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "MEDSAM2_TOKEN": TOKEN}
    parent = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found: dict[str, int] = {}
    try:
        while len(found) < 2:
            line = parent.stdout.readline()
            assert line, "the server did not start"
            if match := re.search(r"(pid |127.0.0.1:)(\d+)", line):
                found[match[1]] = int(match[2])
        yield parent, found["pid "], found["127.0.0.1:"]
    finally:
        server = found.get("pid ", parent.pid)
        for pid in (*(child.pid for child in family(server)), server, parent.pid):
            kill(pid)
        parent.wait(10)
        parent.stdout.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_server_dies_with_the_program_that_started_it(busy, full, ledger):
    options = ("--model", "tiny-random", "--device", "cpu")
    with parent_of_a_server(*options) as (parent, server, port), contextlib.ExitStack() as stack:
        wait_until(lambda: len(family(server)) == 2, 10)
        if busy:
            url = f"http://127.0.0.1:{port}"
            (client,) = stack.enter_context(clients(url, [TOKEN], patience_s=1.0))
            work = Work(Scene(slices=600), client)
            work.wait(10)
        remains = Remains(server)
        parent.kill()
        took = wait_until(lambda: not (alive(server) or remains.left()), 30)
        if busy:
            assert outcomes([work]) == ["server_unreachable"]
    state = "busy" if busy else "idle"
    what = f"SIGKILL of a server's parent, {state}: until nothing is left"
    ledger.at_most("P15", what, GONE_S * slack(full), took, "s")
