"""A real server in a process of its own, as users run it, with a worker of the test's choice.

``running(...)`` yields one that is ready; :class:`ServerProcess` can be killed, told to stop, and
started again on the same port with the same tokens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psutil

HARNESS = Path(__file__).resolve().parent
SOURCE = HARNESS.parents[1] / "server" / "src"
START_S, READY_S, STOP_S = 30.0, 60.0, 20.0


class ServerProcess:
    """A server on a free port of 127.0.0.1; use it as a context.

    Args:
        factory: ``module:function`` of the worker's backend; see ``factories``.
        tenants: how many tokens there are.
        limits: a ``Limits``, or those that differ from the default.
        model: of the ``ModelChoice``.
        env: the process's environment; the test's own if not given.
        cwd: its folder.
        settings: further fields of ``Settings``, such as ``certificate`` and ``key``.
    """

    def __init__(
        self,
        *,
        factory: str = "factories:fake",
        tenants: int = 1,
        limits: Any = None,
        model: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        **settings: Any,
    ) -> None:
        self.tokens = [secrets.token_urlsafe(32) for _ in range(tenants)]
        self._limits = dataclasses.asdict(limits) if dataclasses.is_dataclass(limits) else limits
        self._settings = {"factory": factory, "port": 0, **settings}
        self._model = dict(model or {})
        self._env = dict(os.environ if env is None else env)
        self._cwd = cwd
        self._stdin = subprocess.PIPE if settings.get("follow_stdin") else subprocess.DEVNULL
        self.url = ""
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def token(self) -> str:
        """The first tenant's token."""
        return self.tokens[0]

    @property
    def pid(self) -> int:
        """The API process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Starts the process, and waits until its port is open."""
        self._begin = len(self.logs())
        paths = [str(HARNESS), str(SOURCE), self._env.get("PYTHONPATH", "")]
        given = {
            "tokens": self.tokens,
            "limits": self._limits or {},
            "model": self._model,
            "settings": self._settings,
        }
        environment = {
            **self._env,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "OMP_NUM_THREADS": "1",
            "MEDSAM2_TEST_SERVER": json.dumps(given, default=str),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HARNESS / "server_main.py")],
            stdin=self._stdin,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            cwd=self._cwd,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"https?://\S+:(\d+)", line)
        assert found, f"the server did not start: {line!r} {self.logs()[-2000:]}"
        self.url, self.port = found[0], int(found[1])
        self._settings["port"] = self.port

    def wait_ready(self, seconds: float = READY_S) -> float:
        """Waits until a worker is ready; returns the seconds it took."""
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            log = self.logs()[self._begin :]
            if log.count('"worker_ready"') > log.count('"worker_lost"'):
                return time.perf_counter() - begun
            time.sleep(0.02)
        raise AssertionError(f"the server is not ready after {seconds} s: {self.logs()[-2000:]}")

    def worker_pids(self) -> list[int]:
        """Processes that compute."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                child.pid
                for child in psutil.Process(self.pid).children()
                if "spawn_main" in " ".join(child.cmdline())
            ]
        return []

    def logs(self) -> str:
        """All that it wrote on standard error."""
        return Path(self._log.name).read_text(encoding="utf-8")

    log_text = logs

    def kill(self) -> None:
        """Ends the API process as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)

    def terminate(self, seconds: float = STOP_S) -> int:
        """Asks it to stop; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def restart(self) -> None:
        """Starts it again on the same port with the same tokens."""
        self._close_pipes()
        self.start()

    def close(self) -> None:
        """Ends it, whatever state it is in, and its workers."""
        process = self.process
        if process is not None:
            workers = self.worker_pids()
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(STOP_S)
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._close_pipes()
        self._log.close()

    def _close_pipes(self) -> None:
        assert self.process is not None
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def running(**options: Any) -> Iterator[ServerProcess]:
    """Yields a server whose worker is ready; see :class:`ServerProcess`."""
    with ServerProcess(**options) as server:
        server.wait_ready()
        yield server
