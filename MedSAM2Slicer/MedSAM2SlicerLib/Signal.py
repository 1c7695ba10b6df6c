"""A list of callbacks: how the files without Qt tell those with it that something happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """Callbacks that are called in the order they were connected.

    Example::

        changed = Signal()
        changed.connect(print)
        changed.emit("a new volume")

    Threading: main thread only.
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        """Calls ``slot`` at every :meth:`emit` from now on; connecting twice changes nothing."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any]) -> None:
        """Ends that; a slot that is not connected is ignored."""
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *args: Any) -> None:
        """Calls every connected slot, also those that a slot disconnects meanwhile."""
        for slot in tuple(self._slots):
            slot(*args)
