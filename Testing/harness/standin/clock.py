"""The event loop: run it, and measure how long the main thread stays away from it."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType

from PySide6 import QtCore

PAUSE_S = 0.001
SAMPLE_S = 0.005

_meters: list[BlockMeter] = []


def sleep_with_the_lock(seconds: float) -> None:
    """Sleeps as Slicer's event loop does: nobody else gets Python's lock meanwhile (not on Windows).

    A test has :func:`pump` wait so by putting it in the place of :data:`wait`.
    """
    ctypes.PyDLL(None).usleep(int(1e6 * seconds))


wait = time.sleep
"""How :func:`pump` waits for events; unlike Slicer it lets the servers in a test's threads work."""


def pump(seconds: float = 0.0, until: Callable[[], object] | None = None) -> bool:
    """Runs the event loop, timers included.

    Args:
        seconds: how long at most; with 0 only what is due now happens.
        until: stops as soon as this is true.

    Returns:
        Whether ``until`` came true; without ``until`` always true.

    Threading: main thread only.
    """
    dispatcher = QtCore.QAbstractEventDispatcher.instance()
    deadline = time.monotonic() + seconds
    while True:
        busy = _turn(dispatcher)
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        for meter in _meters:
            meter.returned()
        if until is not None and until():
            return True
        if time.monotonic() >= deadline:
            return until is None
        if not busy:
            wait(PAUSE_S)
            for meter in _meters:
                meter.woke()


def _turn(dispatcher: QtCore.QAbstractEventDispatcher) -> bool:
    """One turn of the loop; returns whether anything happened.

    PySide hands on what timers and event handlers raised; PythonQt prints it and goes on.
    """
    try:
        return dispatcher.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents)
    except Exception as error:  # noqa: BLE001 - whatever the module raised
        sys.excepthook(type(error), error, error.__traceback__)
        return True


class BlockMeter:
    """Within its ``with`` block, measures the longest time without a return to the event loop.

    Everything between two turns of :func:`pump` counts, slots that the test calls itself too.

    Args:
        limit_s: a stay longer than this has its call stack kept.
    """

    def __init__(self, limit_s: float = 0.05) -> None:
        self.limit_s = limit_s
        self.longest_s = 0.0
        """The longest stay so far, in seconds."""
        self.culprit = ""
        """Where the main thread was during the longest stay beyond the limit."""
        self._since = 0.0
        self._seen = ""
        self._over = threading.Event()
        self._main = threading.get_ident()

    def __enter__(self) -> BlockMeter:
        _meters.append(self)
        self.woke()
        threading.Thread(target=self._watch, name="block meter", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.returned()
        self._over.set()
        _meters.remove(self)

    def woke(self) -> None:
        """The main thread begins to do something."""
        self._since = time.perf_counter()
        self._seen = ""

    def returned(self) -> None:
        """The main thread is back in the event loop."""
        stay = time.perf_counter() - self._since
        if stay > self.longest_s:
            self.longest_s = stay
            self.culprit = self._seen
        self.woke()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            if not self._seen and time.perf_counter() - self._since > self.limit_s:
                frame = sys._current_frames().get(self._main)
                self._seen = "".join(traceback.format_stack(frame)) if frame else ""
