"""Work that must be done on the main thread, a few milliseconds at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

Chore = Iterator[None]
"""Does a little at each step."""

BUDGET_SECONDS = 0.012
"""How long one :meth:`Chores.advance` works; with the jobs' deliveries a tick stays below 50 ms."""


class Chores:
    """A line of chores, one after the other.

    Args:
        onFailed: called with what a chore raised; the others go on.

    Threading: main thread only.
    """

    def __init__(self, onFailed: Callable[[Exception], None]) -> None:
        self._onFailed = onFailed
        self._line: list[Chore] = []

    def __bool__(self) -> bool:
        return bool(self._line)

    def add(self, chore: Chore) -> None:
        """Puts a chore at the end of the line."""
        self._line.append(chore)

    def addNext(self, chore: Chore) -> None:
        """Puts a chore at the head of the line, for one that another has led to."""
        self._line.insert(0, chore)

    def call(self, act: Callable[[], None]) -> None:
        """Calls ``act`` when everything before it is done."""
        self.add(_once(act))

    def clear(self) -> None:
        """Gives up all of them where they are."""
        self._line.clear()

    def advance(self, budgetSeconds: float = BUDGET_SECONDS) -> None:
        """Works for about ``budgetSeconds``."""
        deadline = time.monotonic() + budgetSeconds
        while self._line and time.monotonic() < deadline:
            chore = self._line[0]
            try:
                next(chore)
            except StopIteration:
                self._drop(chore)
            except Exception as error:  # noqa: BLE001 (one that fails must not stop the others)
                self._drop(chore)
                self._onFailed(error)

    def _drop(self, chore: Chore) -> None:
        """A chore may have cleared the line, or put another before itself."""
        if chore in self._line:
            self._line.remove(chore)


def _once(act: Callable[[], None]) -> Chore:
    act()
    yield
