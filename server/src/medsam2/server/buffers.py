"""Memory for whole messages that is used again and again.

The process gives large blocks back to the system as soon as they are free, so a new one for each
chunk of an upload would cost more than the copying: the system clears every page of it first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

KEPT = 4
"""Buffers that are kept; more chunks at once than that take memory of their own for a moment."""


class Buffers:
    """Joins the parts of a message; use from the event loop alone."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    @contextlib.contextmanager
    def joined(self, parts: Sequence[bytes]) -> Iterator[memoryview]:
        """Lends a view of all parts in a row; it must not be kept beyond the block."""
        size = sum(map(len, parts))
        buffer = self._free.pop() if self._free else bytearray()
        if len(buffer) < size:
            buffer = bytearray(size)
        view = memoryview(buffer)
        place = 0
        for part in parts:
            view[place : place + len(part)] = part
            place += len(part)
        try:
            yield view[:size]
        finally:
            if len(self._free) < KEPT:
                self._free.append(buffer)
