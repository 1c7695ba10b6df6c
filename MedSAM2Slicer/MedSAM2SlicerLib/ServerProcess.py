"""The bundled server: ``medsam2 serve`` on this machine alone, for as long as Slicer runs.

The server listens on a free loopback port and takes a token that is drawn anew for each
:class:`ServerProcess` and handed over in the environment. It ends when its standard input closes, so
it ends with Slicer also when Slicer crashes or is killed, on every system.

One started again keeps port and token where it can: sessions that clients have open go on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from . import Paths, Processes
from .ServerRun import ServerRun

Report = Callable[[str], None]
Cancelled = Callable[[], bool]

START_SECONDS, READY_SECONDS = 60.0, 300.0
"""For the port to open, and for the model to load (a first import of torch reads gigabytes)."""

_STEP_SECONDS = 0.05
_TOKEN_VARIABLE = "MEDSAM2_TOKEN"  # noqa: S105 (a name, not a token)
_MOST_LOST = 3
"""Workers that may be lost while the first model loads."""


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """What the server runs.

    Args:
        model: a name of the registry.
        checkpoint: the user's own weights for it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        featureMegabytes: how much to keep of encoded slices; 0 lets the engine choose.
    """

    model: str = "litemedsam"
    checkpoint: Path | None = None
    device: str = "auto"
    featureMegabytes: int = 0

    def arguments(self) -> list[str]:
        """For the command line."""
        own = ["--checkpoint", str(self.checkpoint)] if self.checkpoint is not None else []
        kept = ["--feature-cache", str(self.featureMegabytes)] if self.featureMegabytes else []
        return ["--model", self.model, "--device", self.device, *own, *kept]


class ServerProcess:
    """Starts and ends the bundled server.

    Args:
        python: the interpreter; see :func:`Processes.pythonSlicer`.
        source: the folder with the package ``medsam2``; the bundled one if not given.
        changes: of the environment, beside this process's own.

    Threading: :meth:`start`, :meth:`revive` and :meth:`wait` in a worker thread, one call at a time;
    they may take long. Everything else returns at once, in any thread.
    """

    def __init__(
        self,
        python: Path,
        source: Path | None = None,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self._python = python
        self._source = source or Paths.bundledServerSource()
        self._changes = dict(changes or {})
        self._lock = threading.Lock()
        self._options = ServerOptions()
        self._run: ServerRun | None = None
        self._ended: list[ServerRun] = []
        self._port = 0
        self.token = ""
        """What a client must give."""

    @property
    def url(self) -> str:
        """The server's address; empty before the first start."""
        return f"http://127.0.0.1:{self._port}" if self._port else ""

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        run = self._run
        return run is not None and run.alive

    @property
    def pid(self) -> int | None:
        """The process that was started; None without one."""
        run = self._run
        return run.process.pid if run is not None else None

    @property
    def failure(self) -> str:
        """How the server ended by itself, one line; empty while it runs or after :meth:`stop`."""
        run = self._run
        return "" if run is None or run.alive else f"The bundled server ended ({run.lastWords()})."

    def start(
        self,
        options: ServerOptions,
        report: Report | None = None,
        cancelled: Cancelled | None = None,
    ) -> None:
        """Makes a server with these options ready, unless one is.

        Args:
            options: another model, checkpoint or device than before replaces the server.
            report: called with a line for the user at each stage.
            cancelled: asked often; True ends the start, and the server.

        Raises:
            CancelledError: ``cancelled`` said so, or :meth:`stop` was called.
            ModelError, DeviceError: the server can't use the model; says what to do.
            ServerError: it did not start, or did not become ready in time; says why.
        """
        report, cancelled = report or (lambda _: None), cancelled or (lambda: False)
        run = self._run
        if run is not None and run.alive and run.ready and options == self._options:
            return
        self.stop()
        self._options = options
        report("Starting the bundled server...")
        run = self._opened(cancelled)
        try:
            report(f"Loading {options.model}...")
            self._awaitReady(run, cancelled)
        except BaseException:
            self.stop()
            raise

    def revive(self, report: Report | None = None, cancelled: Cancelled | None = None) -> bool:
        """Starts a server that has died again, with the options it had; returns whether it had died.

        Raises:
            MedSAM2Error: as :meth:`start`.
        """
        if self._run is None or self.running:
            return False
        self.start(self._options, report, cancelled)
        return True

    def stop(self) -> None:
        """Ends the server, however far it is; calling it again changes nothing."""
        with self._lock:
            run, self._run = self._run, None
            if run is not None:
                self._ended = [*(old for old in self._ended if old.alive), run]
        if run is not None:
            run.end()

    def wait(self, seconds: float) -> bool:
        """Waits for servers that were stopped; returns whether all have ended."""
        deadline = time.monotonic() + seconds
        return all(run.wait(max(0.0, deadline - time.monotonic())) for run in self._ended)

    def _opened(self, cancelled: Cancelled) -> ServerRun:
        """Starts the process and waits for its port: the former one, or else any other."""
        if self._port:
            self.wait(ServerRun.GRACE_SECONDS)
            with contextlib.suppress(_NoPort):
                return self._attempt(self._port, cancelled)
        self.token = secrets.token_urlsafe(32)
        try:
            return self._attempt(0, cancelled)
        except _NoPort as error:
            from medsam2.core.errors import ServerError

            msg = (
                f"The bundled server did not start ({error}). Set up what is missing, or choose "
                "another way of computing."
            )
            raise ServerError(msg) from None

    def _attempt(self, port: int, cancelled: Cancelled) -> ServerRun:
        Paths.useBundledServer()
        command = [
            self._python,
            "-m",
            "medsam2",
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        changes = {**self._changes, _TOKEN_VARIABLE: self.token}
        try:
            run = ServerRun(
                [*command, "--exit-with-parent", *self._options.arguments()],
                Processes.environment(self._source, changes),
            )
        except OSError as error:
            raise _NoPort(error.strerror or type(error).__name__) from None
        with self._lock:
            self._run = run
        deadline = time.monotonic() + START_SECONDS
        while not run.address.wait(_STEP_SECONDS):
            self._checkWanted(run, cancelled)
            if not run.alive or time.monotonic() > deadline:
                self.stop()
                raise _NoPort(run.lastWords())
        self._port = urlsplit(run.said).port or 0
        return run

    def _awaitReady(self, run: ServerRun, cancelled: Cancelled) -> None:
        from medsam2.core.errors import ServerError
        from medsam2.wire.problems import error_of

        deadline = time.monotonic() + READY_SECONDS
        while True:
            self._checkWanted(run, cancelled)
            unusable = run.unusable  # before asking, so that the answer tells why
            status, problem = self._askReady()
            if status == 200:
                run.ready = True
                return
            if unusable:
                raise error_of(unusable, problem)
            if not run.alive or run.workersLost >= _MOST_LOST or time.monotonic() > deadline:
                msg = f"The bundled server does not get ready ({run.lastWords()}); {problem}"
                raise ServerError(msg)
            time.sleep(2 * _STEP_SECONDS)

    def _askReady(self) -> tuple[int, str]:
        """Asks whether a job could start now; returns HTTP's status and the server's reason."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with contextlib.closing(connection):
            try:
                headers = {"Authorization": f"Bearer {self.token}"}
                connection.request("GET", "/ready", headers=headers)
                answer = connection.getresponse()
                body = answer.read(1 << 16)
            except (OSError, http.client.HTTPException):
                return 0, "try again."
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return answer.status, str(json.loads(body)["message"])
        return answer.status, ""

    def _checkWanted(self, run: ServerRun, cancelled: Cancelled) -> None:
        if cancelled() or self._run is not run:
            self.stop()
            from medsam2.core.errors import CancelledError

            msg = "The start of the bundled server was cancelled."
            raise CancelledError(msg)


class _NoPort(Exception):
    """The process ended, or took too long, before it listened; ``str`` says why."""
