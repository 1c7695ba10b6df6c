"""Runs a module of Python, pip above all, without blocking, and tells how it went.

A runner is called with the module, its arguments, and two callbacks: ``onLine(text)`` for every line
of output and ``onDone(exitCode)`` at the end. Callbacks run in the main thread.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from . import Processes

OnLine = Callable[[str], None]
OnDone = Callable[[int], None]

CANCELLED = -1
"""The exit code of a run that was cancelled."""


class Runner(Protocol):
    """See the module."""

    def __call__(
        self, module: str, arguments: Sequence[str], onLine: OnLine, onDone: OnDone
    ) -> None:
        """Starts it and returns at once."""


class PythonRunner:
    """A runner over a process of its own; a timer calls :meth:`poll`.

    Nothing runs in a thread but the reading of lines, and the application's event loop is not entered.

    Args:
        python: the interpreter; see :func:`Processes.pythonSlicer`.

    Threading: main thread.
    """

    def __init__(self, python: Path) -> None:
        self._python = python
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._onLine: OnLine = lambda _: None
        self._onDone: OnDone = lambda _: None
        self._cancelled = False

    @property
    def busy(self) -> bool:
        """Whether a module runs."""
        return self._process is not None

    def __call__(
        self, module: str, arguments: Sequence[str], onLine: OnLine, onDone: OnDone
    ) -> None:
        """Starts a module; one at a time.

        Raises:
            RuntimeError: another one is running.
            OSError: the interpreter can't be started.
        """
        if self.busy:
            msg = "Another installation is running; wait for it."
            raise RuntimeError(msg)
        self._onLine, self._onDone, self._cancelled = onLine, onDone, False
        env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        self._process = Processes.start(
            [self._python, "-m", module, *arguments], env, follows=False
        )
        self._reader = Processes.readLines(self._process.stdout, self._lines.put)

    def poll(self) -> None:
        """Delivers what has been said since, and the end."""
        ended = self.busy and self._process.poll() is not None and not self._reader.is_alive()
        while not self._lines.empty():
            self._onLine(self._lines.get())
        if ended:
            code, self._process = self._process.returncode, None
            self._onDone(CANCELLED if self._cancelled else code)

    def cancel(self) -> None:
        """Ends what runs; ``onDone`` is still called. Packages that were complete stay."""
        if self.busy and self._process.poll() is None:
            self._cancelled = True
            Processes.kill(self._process)
