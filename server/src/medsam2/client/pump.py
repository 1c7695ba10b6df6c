"""Running an iterator in a thread of its own, so that whoever waits for it can leave at any time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Done(Exception):
    """The iterator is exhausted."""


class Pump(Generic[Item]):
    """Makes items in the background, as fast as they come.

    Args:
        items: makes the iterator; it is used in the thread only.
        finish: called in the thread at the end, whatever it was.
    """

    def __init__(
        self, items: Callable[[], Iterator[Item]], finish: Callable[[], None] = lambda: None
    ) -> None:
        self._items = items
        self._finish = finish
        # Unlike Queue it may be used by a finalizer that interrupts a thread anywhere.
        self._made: queue.SimpleQueue[Item | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="medsam2-results", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> Item:
        """Returns the next item.

        Raises:
            queue.Empty: none came in time.
            Done: there is none any more.
            BaseException: what the iterator raised.
        """
        item = self._made.get(timeout=timeout_s)
        if isinstance(item, BaseException):
            raise item
        return item

    def join(self, timeout_s: float) -> bool:
        """Waits for the thread's end; returns whether it has ended."""
        if self._thread is threading.current_thread():
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        end: BaseException = Done()
        try:
            for item in self._items():
                self._made.put(item)
        except BaseException as error:  # noqa: BLE001 (raised again by whoever waits)
            end = error
        self._made.put(end)
        self._finish()
