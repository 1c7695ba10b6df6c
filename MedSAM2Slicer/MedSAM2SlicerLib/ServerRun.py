"""One run of the bundled server's process: what it says, and its end."""

from __future__ import annotations

import collections
import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import Processes

_ADDRESS = re.compile(r"ready at (https?://\S+)")
_PLACE = re.compile(r"""["']?[^\s"']*[/\\][^\s"',;:]*["']?""")
_SHOWN_FIELDS = "code", "error", "place", "device"
_TOLD_EVENTS = frozenset(
    {"worker_lost", "worker_unusable", "worker_overdue", "defect", "job_defect", "library"}
)
"""Events of the server's log that may say why it ended."""
_LINES = 3


class ServerRun:
    """A process of ``medsam2 serve``.

    Args:
        command: the executable and its arguments.
        env: its whole environment.

    Raises:
        OSError: it can't be started.

    Threading: any thread; nothing here waits but :meth:`wait`.
    """

    GRACE_SECONDS = 5.0
    """How long the process may take to end by itself."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        self.process = Processes.start(command, env, follows=True)
        self.address = threading.Event()
        """Set once the server listens; :attr:`said` then holds where."""
        self.said = ""
        self.ready = False
        """Whether the model was loaded, for whoever started the run to note."""
        self.unusable = ""
        """The code of the error for which the worker can't use the model."""
        self.workersLost = 0
        self._tail: collections.deque[str] = collections.deque(maxlen=_LINES)
        self._reaper: threading.Thread | None = None
        Processes.readLines(self.process.stdout, self._hear)
        self._log = Processes.readLines(self.process.stderr, self._note)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def end(self) -> None:
        """Asks the process to end, and sees to it in the background."""
        if self._reaper is None:
            self._reaper = threading.Thread(
                target=self._reap, name="MedSAM2Slicer-end", daemon=True
            )
            self._reaper.start()

    def wait(self, seconds: float) -> bool:
        """Waits for the end; returns whether it has come."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return not self.alive

    def lastWords(self) -> str:
        """The exit code and the last lines of the log, without identifiers and places."""
        code = self.process.poll()
        if code is not None:
            self._log.join(0.5)
        how = "still running" if code is None else f"exit code {code}"
        return "; ".join([how, *self._tail])

    def _reap(self) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if not self.wait(self.GRACE_SECONDS):
            Processes.kill(self.process)
            self.wait(self.GRACE_SECONDS)

    def _hear(self, line: str) -> None:
        found = _ADDRESS.search(line)
        if found and not self.said:
            self.said = found[1]
            self.address.set()

    def _note(self, line: str) -> None:
        """Keeps what a user may need to see of a line of the log."""
        try:
            entry = json.loads(line)
            event = str(entry["event"])
        except (ValueError, TypeError, KeyError):
            self._noteText(line)
            return
        self.workersLost += event == "worker_lost"
        if event == "worker_unusable":
            self.unusable = str(entry.get("code", "engine"))
        if event in _TOLD_EVENTS:
            fields = [str(entry[name]) for name in _SHOWN_FIELDS if entry.get(name)]
            self._tail.append(" ".join([event.replace("_", " "), *fields]))

    def _noteText(self, line: str) -> None:
        """Of a traceback only the last line tells the user anything; names of folders tell too much."""
        if line and not line[0].isspace() and not line.startswith("Traceback"):
            self._tail.append(_PLACE.sub("...", line)[:200])
