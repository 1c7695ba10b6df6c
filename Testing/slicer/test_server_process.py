from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from compute_rooms import (
    HARNESS,
    Processes,
    ServerProcess,
    ServerRun,
    alive,
    launcher,
    process_with,
)
from faults import wait_until

from medsam2.core.errors import CancelledError, ServerError, WeightsMissingError

TINY = ServerProcess.ServerOptions("tiny-random", device="cpu")
SOON_S = 2.0

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a thing of POSIX")


@pytest.fixture
def made():
    """Makes servers, and sees to their end."""
    servers = []

    def make(**changes):
        servers.append(process_with(**changes))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
        assert server.wait(20)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def status_at(url: str, token: str) -> int:
    """What a server answers whoever comes with a token."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/ready", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def test_a_server_starts_once_stops_at_once_and_leaves_nothing(made):
    server, lines = made(), []
    server.start(TINY, lines.append)
    assert lines == ["Starting the bundled server...", "Loading tiny-random..."]
    assert server.running
    assert server.url.startswith("http://127.0.0.1:")
    processes = family(server.pid)
    assert len(processes) >= 2

    assert status_at(server.url, server.token) == 200
    assert status_at(server.url, "t" * 43) == 401
    said = " ".join(" ".join(process.cmdline()) for process in processes)
    assert server.token not in said

    pid = server.pid
    server.start(TINY)
    assert server.pid == pid

    begun = time.perf_counter()
    server.stop()
    server.stop()
    assert time.perf_counter() - begun < 0.05
    assert not server.running
    assert server.failure == ""
    wait_until(lambda: not alive(processes), 10)
    assert server.wait(5)
    assert not server.revive()


@posix
def test_a_server_that_dies_is_reported_and_started_again_where_clients_look_for_it(made):
    server = made()
    server.start(TINY)
    url, token, pid = server.url, server.token, server.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.running, 5)
    assert server.failure == f"The bundled server ended (exit code {-signal.SIGKILL})."
    assert server.revive()
    assert (server.url, server.token) == (url, token)
    assert server.pid != pid
    assert status_at(url, token) == 200
    assert not server.revive()

    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.running, 5)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        other.listen()
        server.revive()
    assert server.url != url
    assert server.token != token
    assert status_at(server.url, server.token) == 200


PARENT = """
import sys, time
from compute_rooms import ServerProcess, process_with
server = process_with(sys.argv[1])
server.start(ServerProcess.ServerOptions("tiny-random", device="cpu"))
print(server.pid, flush=True)
time.sleep(600)
"""


@posix
def test_a_server_that_is_starting_dies_with_its_parent_too():
    env = {**os.environ, "PYTHONPATH": str(HARNESS)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, sys.executable], env=env)
    with parent:
        wait_until(lambda: len(family(parent.pid)) > 1, 20)
        processes = family(parent.pid)[1:]
        parent.kill()
        parent.wait()
        wait_until(lambda: not alive(processes), 20)


@posix
@pytest.mark.parametrize("kind", ["interpreter", "launcher"])
def test_a_server_is_gone_two_seconds_after_its_parent_was_killed(kind, tmp_path):
    python = launcher(tmp_path) if kind == "launcher" else sys.executable
    env = {**os.environ, "PYTHONPATH": str(HARNESS)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(python)], env=env, stdout=subprocess.PIPE, text=True
    )
    with parent:
        line = parent.stdout.readline()
        assert line, "the server did not start"
        processes = family(int(line))
        assert len(processes) >= 2
        parent.kill()
        parent.wait()
        took = wait_until(lambda: not alive(processes), 20)
    assert took < SOON_S


def test_a_start_can_be_cancelled(made):
    server = made()
    began = threading.Event()
    with pytest.raises(CancelledError):
        server.start(TINY, lambda _: began.set(), began.is_set)
    assert not server.running
    assert server.wait(20)


def test_a_start_ends_when_another_thread_stops_the_server(made):
    server, found = made(), []

    def start() -> None:
        with contextlib.suppress(CancelledError):
            server.start(TINY)
            found.append("started")

    thread = threading.Thread(target=start)
    thread.start()
    wait_until(lambda: server.running, 10)
    server.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert found == []
    assert server.wait(20)


def test_a_model_that_is_not_here_is_reported_with_what_to_do(made, tmp_path):
    server = made(MEDSAM2_MODELS=str(tmp_path))
    with pytest.raises(WeightsMissingError, match=r"medsam2 models download sam2\.1-tiny"):
        server.start(ServerProcess.ServerOptions("sam2.1-tiny", device="cpu"))
    assert not server.running


def test_a_server_that_can_not_start_says_why_without_naming_folders(tmp_path):
    server = ServerProcess.ServerProcess(Path(sys.executable))
    with pytest.raises(ServerError) as caught:
        server.start(ServerProcess.ServerOptions("no-such-model"))
    assert "exit code 2" in str(caught.value)
    assert "no model no-such-model" in str(caught.value)
    assert "Set up what is missing" in str(caught.value)

    server = ServerProcess.ServerProcess(tmp_path / "PythonSlicer")
    with pytest.raises(ServerError, match="No such file") as caught:
        server.start(TINY)
    assert str(tmp_path) not in str(caught.value)


LOG = r"""
import sys
sys.stderr.write('''{"event": "worker_lost", "seconds": 1.5, "volume": "0a1b2c3d", "pid": 4711}
{"event": "request", "route": "/v1/sessions/{session}", "session": "deadbeef"}
Traceback (most recent call last):
  File "/home/somebody/patients/doe.py", line 1, in <module>
ModuleNotFoundError: No module named 'uvicorn' in /home/somebody/patients
''')
sys.exit(3)
"""


def test_the_last_words_of_a_server_hold_no_identifiers_and_no_folders():
    run = ServerRun([sys.executable, "-c", LOG], dict(os.environ))
    assert run.wait(20)
    words = run.lastWords()
    assert words == (
        "exit code 3; worker lost; ModuleNotFoundError: No module named 'uvicorn' in ..."
    )
    assert run.workersLost == 1
    run.end()


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_interpreter_of_slicer_is_found_beside_its_executable(tmp_path, monkeypatch):
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    real = executable(tmp_path / "bin" / "SlicerApp-real")
    wanted = executable(tmp_path / "bin" / name)
    assert Processes.pythonSlicer(None, str(real)) == wanted
    assert Processes.pythonSlicer(tmp_path, str(tmp_path / "elsewhere" / "Slicer")) == wanted
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert Processes.pythonSlicer(None, str(tmp_path / "elsewhere" / "Slicer")) == wanted
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Processes.pythonSlicer(None, sys.executable) == Path(sys.executable)
    with pytest.raises(Exception, match="install Slicer again"):
        Processes.pythonSlicer(None, str(tmp_path / "elsewhere" / "SlicerApp-real"))


def test_a_file_in_the_working_folder_is_not_run_in_place_of_a_library(tmp_path, monkeypatch):
    (tmp_path / "click.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    env = Processes.environment(ServerProcess.Paths.bundledServerSource(), {})
    said = subprocess.run(
        [sys.executable, "-m", "medsam2", "--version"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "medsam2" in said.stdout
