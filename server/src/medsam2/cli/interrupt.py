"""Ctrl-C as a polite request."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from medsam2.core.backend import CancelToken


@contextlib.contextmanager
def cancel_on_interrupt() -> Iterator[CancelToken]:
    """Yields a token that the first Ctrl-C sets; the second one ends the program at once."""
    token = CancelToken()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield token
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, before)
