"""What the server writes about itself: JSON lines of known events with known fields, nothing else.

No path, header, address, message of an error or name ever gets here. Identifiers become short digests
with a salt that is drawn anew at each start, so that the lines of one run can be brought together.
The tables below are all there is; an event or a field that is not in them is a defect of the caller.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import secrets
import traceback
from typing import Any, TextIO

import structlog

EVENTS = {
    "started": "the server listens",
    "stopping": "it was told to stop, and takes no more jobs",
    "stopped": "it is down",
    "request": "a request was answered",
    "defect": "an error that nobody expected, answered as internal",
    "library": "a library reported an error",
    "session_closed": "a session made way",
    "job_over": "a job ended",
    "job_defect": "a job met an error that nobody expected",
    "worker_ready": "the worker has loaded its model",
    "worker_unusable": "the worker can't load its model",
    "worker_lost": "the worker is gone, and will be replaced",
    "worker_overdue": "the worker hung in one slice and was ended",
}
"""Every event, by name."""

IDS = {
    "session": "a session's identifier",
    "tenant": "a tenant's name",
    "job": "a job's identifier",
    "volume": "a volume's content hash",
}
"""Fields that are written as salted digests of eight hexadecimal digits."""

FIELDS = {
    "code": "of a refusal or an error",
    "device": "the model's",
    "error": "an exception's type",
    "kind": "of a job",
    "level": "of a library's report",
    "method": "of HTTP",
    "milliseconds": "until an answer was complete",
    "model": "its name",
    "pid": "a process",
    "place": "module and line",
    "port": "the server listens on",
    "protocol": "its version",
    "reason": "a code",
    "route": "an address's template, without identifiers; - before routing",
    "seconds": "how long it took",
    "slices": "number made",
    "state": "in which a job ended",
    "status": "of HTTP; 0 where the client was gone before an answer",
    "tenants": "number of them",
    "tls": "whether clients connect with https",
    "version": "of the software",
}
"""Every other field: numbers, truth values, and words without spaces."""

_WORD = re.compile(
    "[A-Za-z0-9_.:/{}-]{0,80}|[A-Za-z0-9_]{1,40} in [A-Za-z0-9_<>.]{1,40}:[0-9]{1,6}"
)


class Log:
    """Writes events; safe to use from any thread, and never the reason for a failure.

    Args:
        stream: where lines go.
        salt: for the digests; random if not given.
    """

    def __init__(self, stream: TextIO, salt: bytes | None = None) -> None:
        self._salt = secrets.token_bytes(16) if salt is None else salt
        self._logger: Any = structlog.wrap_logger(
            structlog.PrintLogger(stream),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
        )

    def event(self, name: str, **fields: object) -> None:
        """Writes one line; texts that are no single word become ``?``.

        Args:
            name: of :data:`EVENTS`.
            fields: of :data:`IDS` and :data:`FIELDS`.

        Raises:
            TypeError: the event or a field is unknown.
        """
        unknown = [*({name} - EVENTS.keys()), *(fields.keys() - IDS.keys() - FIELDS.keys())]
        if unknown:
            msg = f"The log knows no {', '.join(sorted(unknown))}."
            raise TypeError(msg)
        safe = {
            key: self._digest(value) if key in IDS else _plain(value)
            for key, value in fields.items()
        }
        with contextlib.suppress(OSError, ValueError):  # the reader of the log is gone
            self._logger.msg(name, **safe)

    def _digest(self, value: object) -> str:
        return hashlib.blake2b(str(value).encode(), key=self._salt, digest_size=4).hexdigest()


def place_of(error: BaseException) -> str:
    """Module and line of an error's innermost frame inside the package; ``?`` if it has none."""
    place = "?"
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == "medsam2":
            place = f"{module}:{line}"
    if place == "?" and error.__cause__ is not None:
        return place_of(error.__cause__)
    return place


def quiet_uvicorn(log: Log) -> None:
    """Passes on errors that libraries log, by type and place; nothing else, and none of their text.

    uvicorn and asyncio log exceptions with their messages, which may hold anything. To be called after
    ``uvicorn.Config(log_config=None).load()``.
    """
    scrubbed = _Scrubbed(log)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [scrubbed] if name in {"uvicorn", "asyncio"} else []
        logger.propagate = name in {"uvicorn.error", "uvicorn.asgi"}
        logger.setLevel(logging.ERROR)


class _Scrubbed(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Writes that an error was reported, and where."""
        error = record.exc_info[1] if record.exc_info else None
        self._log.event(
            "library",
            level=record.levelname.lower(),
            place=f"{record.module}:{record.lineno}" if error is None else place_of(error),
            error="" if error is None else type(error).__name__,
        )


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "?"
