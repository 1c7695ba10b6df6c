"""Asking until there is an answer: every request of the protocol may be sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from medsam2.core.errors import (
    MedSAM2Error,
    ServerAnswerError,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
    UnauthorizedError,
)
from medsam2.wire.problems import REFUSALS, engine_errors, error_of

from .answer import Answer, Lost, Refusal
from .http import Call, Transport
from .retry import Patience

Message = TypeVar("Message")
Got = TypeVar("Got")

FORGOTTEN = frozenset(
    {
        "unknown_volume",
        "unknown_session",
        "unknown_object",
        "unknown_job",
        "stale",
        "incomplete_volume",
        "evicted",
        "expired",
        "restarted",
        "volume_hash",
    }
)
"""Codes that say: tell me again what I should know."""

_BUSY = frozenset({429, 503, 507})


class Forgotten(Exception):
    """The server no longer knows what it was told; all of it is to be sent again."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Link:
    """Sends requests again while that may help; may be used from several threads at once.

    Args:
        transport: sends them once.
        patience_s: how long to go on without progress.
        is_alive: whether the server may still answer; asked before each wait for it.
    """

    def __init__(
        self, transport: Transport, patience_s: float, is_alive: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._patience_s, self._is_alive = patience_s, is_alive

    def __repr__(self) -> str:
        return f"Link({self._transport.address.url!r})"

    def patience(self, stop: threading.Event | None = None) -> Patience:
        """For something that takes several requests."""
        return Patience(self._patience_s, self._is_alive, stop)

    def ask(self, kind: type[Message], call: Call, stop: threading.Event | None = None) -> Message:
        """Sends a request until a message answers it.

        Args:
            kind: of the message.
            call: the request.
            stop: ends waiting.

        Raises:
            CancelledError: stopped.
            Forgotten: the server lacks something that it was told before.
            ServerUnreachableError, ServerBusyError: patience was used up.
            MedSAM2Error: the server refused for another reason.
        """

        def read(answer: Answer) -> Message:
            with answer:
                return answer.message(kind)

        return self._insist(call, read, self.patience(stop))

    def open(self, call: Call, patience: Patience) -> Answer:
        """Sends a request until an answer begins; the caller reads and closes it.

        Raises:
            Forgotten, MedSAM2Error: as for :meth:`ask`.
        """
        return self._insist(call, lambda answer: answer, patience)

    def tell(self, call: Call) -> None:
        """Sends a request that may fail: once, and again if an idle connection had been cut."""
        for _ in range(2):
            begun = time.monotonic()
            try:
                with self._transport.send(call) as answer:
                    answer.body()
            except Lost:
                if time.monotonic() - begun < 0.5:
                    continue
            except (Refusal, MedSAM2Error):
                pass
            return

    def lost(self, reason: str) -> ServerUnreachableError:
        """The error for a server that does not answer."""
        return ServerUnreachableError(
            f"No server answers at {self._transport.address.url} ({reason}); nothing is lost. Check "
            "that it runs and that address and network are right, then try again."
        )

    def _insist(self, call: Call, use: Callable[[Answer], Got], patience: Patience) -> Got:
        while True:
            patience.check()
            wanted_s = None
            try:
                return use(self._transport.send(call))
            except Lost as lost:
                error: ServerError = self.lost(str(lost))
            except Refusal as refusal:
                error, wanted_s = self._passing(refusal), refusal.retry_after_s
            patience.pause(error, wanted_s)

    def _passing(self, refusal: Refusal) -> ServerError:
        """Returns the error to raise when patience ends, for a refusal that may pass.

        Raises:
            Forgotten, MedSAM2Error: it won't pass.
        """
        code, status = refusal.code, refusal.status
        if code in FORGOTTEN:
            raise Forgotten(code)
        deliberate = code in engine_errors()
        if deliberate or (status < 500 and status not in {408, 429}):
            raise self._final(refusal)
        if code in REFUSALS:
            error = error_of(code, refusal.message)
            return error if isinstance(error, ServerError) else ServerError(str(error))
        if status in _BUSY:
            return ServerBusyError(f"The server is busy ({status}); try again later.")
        return self.lost(f"answer {status}")

    def _final(self, refusal: Refusal) -> MedSAM2Error:
        where = self._transport.address.url
        if refusal.status == 401:
            msg = (
                f"The server at {where} does not know the token; give the one it was started with."
            )
            return UnauthorizedError(msg)
        if refusal.code:
            return error_of(refusal.code, refusal.message)
        if refusal.status == 426:
            return error_of("protocol", "")
        msg = f"{where} answered {refusal.status}, not as a MedSAM2 server does; check the address."
        return ServerAnswerError(msg)
