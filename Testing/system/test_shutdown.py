"""The server is told to stop, or the program that started it is gone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from faults import SOURCE, alive, wait_until
from scenes import Scene, Work, clients, trapped_server
from traps import Traps, untrapped

from medsam2.core.errors import ServerError

DRAIN_S = 10.0
GONE_S = 2.0

PARENT = """
import os, subprocess, sys, time
environment = {**os.environ, "MEDSAM2_TOKEN": "x" * 40}
command = [sys.executable, "-m", "medsam2", "serve", "--port", "0", "--model", "tiny-random"]
server = subprocess.Popen([*command, "--exit-with-parent"], stdin=subprocess.PIPE, env=environment)
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    traps = Traps(tmp_path)
    traps.arm("pace", 0.05)
    return traps


def test_a_short_job_ends_before_a_server_that_was_told_to_stop(ledger, traps):
    scene = Scene()
    with (
        contextlib.closing(untrapped("fake")) as backend,
        trapped_server(traps, "fake") as server,
        clients(server.url, server.tokens[:1]) as (client,),
    ):
        work = Work(scene, client)
        work.wait(3)
        begun = time.monotonic()
        code = server.terminate()
        seconds = time.monotonic() - begun
        same = work.masks() == scene.masks(backend)
    ledger.check("P15", "exit code after SIGTERM", "0", str(code), passed=code == 0)
    ledger.at_most(
        "P15", "from SIGTERM to the end, with a short job running", DRAIN_S, seconds, "s"
    )
    ledger.check(
        "P15", "the short job's masks", "as undisturbed", "same" if same else "other", passed=same
    )


def test_a_long_job_is_told_that_the_server_goes_down(ledger, traps):
    traps.arm("pace", 60.0)
    limits = {"drain_s": 1.0}
    with (
        trapped_server(traps, "fake", **limits) as server,
        clients(server.url, server.tokens[:1], patience_s=0.5) as (client,),
    ):
        work = Work(Scene(), client)
        wait_until(lambda: '"/v1/sessions/{session}/objects/{object_id}"' in server.logs(), 20)
        time.sleep(0.5)
        begun = time.monotonic()
        code = server.terminate()
        seconds = time.monotonic() - begun
        with pytest.raises(ServerError):
            work.masks()
        log = server.logs()
    ended = re.search(r'"route": "/v1/sessions/\{session\}/jobs", "status": 200', log) is not None
    ledger.at_most("P15", "from SIGTERM to the end, with a long job running", DRAIN_S, seconds, "s")
    ledger.check("P15", "exit code with a long job running", "0", str(code), passed=code == 0)
    ledger.check("P15", "the long job's stream", "ended properly", str(ended), passed=ended)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are looked up in the POSIX way")
def test_a_server_dies_with_the_program_that_started_it(ledger, full):
    times, longest = (10 if full else 1), 0.0
    for _ in range(times):
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, "-c", PARENT],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert "ready at" in parent.stdout.readline()
            server = psutil.Process(pid)
            wait_until(lambda: len(server.children()) >= 1, 20)  # noqa: B023
            family = [pid, *(child.pid for child in server.children())]
            parent.send_signal(signal.SIGKILL)
            longest = max(longest, wait_until(lambda: not any(map(alive, family)), 20))  # noqa: B023
    ledger.at_most(
        "P15",
        f"parent killed {times} times: until server and worker are gone, longest",
        GONE_S if full else 10.0,
        longest,
        "s",
    )
