"""What the server says of itself: JSON lines with known keys, and nothing that names anybody.

Keys are on a list; identifiers become salted digests that differ from one start to the next; other
texts are kept only if they look like a name of ours.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import threading
from typing import TextIO

import structlog

IDENTIFIERS = frozenset({"session", "tenant", "job", "volume"})
"""Keys whose values are shown as digests."""

KEYS = IDENTIFIERS | {
    "address", "code", "device", "error", "kind", "method", "milliseconds", "pid", "place", "reason",
    "route", "seconds", "signal", "slices", "state", "status", "version",
}  # fmt: skip
"""All keys beside ``event``, ``time`` and ``level``."""

_SAFE = re.compile(r"[A-Za-z0-9_.,:/{}\-\[\] ]{0,80}")


class Log:
    """A log on a stream; may be used from any thread.

    Args:
        stream: where lines go.
        salt: for the digests; random if not given.
    """

    def __init__(self, stream: TextIO, salt: bytes | None = None) -> None:
        self._salt = secrets.token_bytes(16) if salt is None else salt
        self._lock = threading.Lock()
        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(stream),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def event(self, name: str, **fields: object) -> None:
        """Writes one line.

        Raises:
            TypeError: a key is not on the list.
        """
        unknown = sorted(set(fields) - KEYS)
        if unknown:
            msg = f"the log has no key {unknown[0]}"
            raise TypeError(msg)
        clean = {key: self._clean(key, value) for key, value in fields.items() if value != ""}
        with self._lock:
            self._logger.msg(name, **clean)

    def digest(self, identifier: str) -> str:
        """Returns what stands for an identifier in this run's log."""
        return hashlib.sha256(self._salt + identifier.encode()).hexdigest()[:8]

    def _clean(self, key: str, value: object) -> object:
        if key in IDENTIFIERS:
            return self.digest(str(value))
        if value is None or isinstance(value, int | float):
            return value
        text = str(value)
        return text if _SAFE.fullmatch(text) else "?"


class _Scrubbed(logging.Handler):
    """Passes on that uvicorn complained, and the kind of error, but none of its text."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record's kind."""
        kind = record.exc_info[0] if record.exc_info else None
        self._log.event("http_error", error=kind.__name__ if kind else "")


def quiet_uvicorn(log: Log) -> None:
    """Turns uvicorn's and asyncio's own loggers off, but for the kinds of their errors."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_Scrubbed(log)] if name in {"uvicorn", "asyncio"} else []
        logger.propagate = name not in {"uvicorn", "asyncio", "uvicorn.access"}
        logger.setLevel(logging.ERROR)
