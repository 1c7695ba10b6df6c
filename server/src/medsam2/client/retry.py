"""How long to insist."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from medsam2.core.errors import CancelledError, ServerError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
LONGEST_RETRY_AFTER_S = 5.0
MOST_REPLAYS = 5
"""How often everything is sent again without any progress in between."""


class Patience:
    """Pauses between attempts, growing and jittered, until no progress was made for too long.

    Use from one thread; ``stop`` may be set from any other.

    Args:
        seconds: without progress, before the last error is raised.
        is_alive: False once waiting is in vain, which ends patience at once.
        stop: ends pauses at once.
    """

    def __init__(
        self,
        seconds: float,
        is_alive: Callable[[], bool],
        stop: threading.Event | None = None,
    ) -> None:
        self._seconds, self._is_alive = seconds, is_alive
        self._stop = stop or threading.Event()
        self.progress()

    def progress(self) -> None:
        """Starts counting anew."""
        self._deadline = time.monotonic() + self._seconds
        self._pause_s = FIRST_PAUSE_S

    def check(self) -> None:
        """Raises :class:`~medsam2.core.errors.CancelledError` once stopped."""
        if self._stop.is_set():
            msg = "Cancelled; the slices made so far were kept."
            raise CancelledError(msg)

    def pause(self, error: ServerError, wanted_s: float | None = None) -> None:
        """Waits before the next attempt.

        Args:
            error: why the last attempt failed.
            wanted_s: what the server asked for, in place of the pause that grows.

        Raises:
            ServerError: ``error``, when patience is used up.
            CancelledError: stopped.
        """
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._is_alive():
            raise error
        delay = self._pause_s * (0.5 + secrets.randbelow(512) / 1024)
        if wanted_s is not None:
            delay = max(delay, min(wanted_s, LONGEST_RETRY_AFTER_S))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._stop.wait(min(delay, left))
        self.check()

    def rest(self, seconds: float) -> None:
        """Waits without counting it as a failure; returns early when stopped."""
        if seconds > 0:
            self._stop.wait(seconds)


class Replays:
    """Counts how often a server forgot what it was told.

    Args:
        stop: ends pauses at once.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
        self._count = 0

    def progress(self) -> None:
        """Starts counting anew."""
        self._count = 0

    def again(self, code: str) -> None:
        """Notes one more time, and waits a little.

        Raises:
            ServerError: it was once too often.
        """
        self._count += 1
        if self._count > MOST_REPLAYS:
            msg = (
                f"The server forgot the session {self._count} times in a row ({code}); nothing is "
                "lost. It may lack memory: try again later, or close other sessions."
            )
            raise ServerError(msg)
        self._stop.wait(FIRST_PAUSE_S * 2 ** (self._count - 2) if self._count > 1 else 0)
