"""One answer of a server: read with every size bounded, believed only when it is ours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from medsam2.core.errors import ServerAnswerError, WireError
from medsam2.wire import routes, strict
from medsam2.wire.limits import MOST_JSON
from medsam2.wire.messages import Problem

if TYPE_CHECKING:
    import requests

Message = TypeVar("Message")

_PIECE = 64 << 10
_CUT = "the answer was cut"


class Lost(Exception):
    """No answer came, or it was cut; the same request may be sent again."""


class Refusal(Exception):
    """The server said no.

    Args:
        status: of HTTP.
        code: of the protocol; empty when something else than a MedSAM2 server answered.
        message: the server's line for the user.
        retry_after_s: when the server wants to be asked again.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class Answer:
    """An answer whose body is still to be read.

    Use from one thread, and close; :meth:`abort` alone may be called from another.

    Args:
        response: opened with ``stream=True``.
        request_id: that of the request.
    """

    def __init__(self, response: requests.Response, request_id: str) -> None:
        self._response = response
        self.request_id = request_id
        self._lock = threading.RLock()
        self._closed = False
        self._read = False

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self._response.status_code

    def check(self, expects: str) -> None:
        """Refuses everything but a whole-hearted yes to this very request.

        Args:
            expects: media type of the body; empty for none.

        Raises:
            Lost: the answer was cut.
            Refusal: the server said no.
            ProtocolMismatchError: it speaks another major version.
            ServerAnswerError: the answer belongs to another request, or is of another kind.
        """
        try:
            self._check(expects)
        except (Refusal, ServerAnswerError) as error:
            if isinstance(error, ServerAnswerError) or not error.code:
                self._check_whole()
            raise

    def _check(self, expects: str) -> None:
        theirs = self._header(routes.PROTOCOL_VERSION)
        if theirs:
            routes.check_protocol(theirs[:16])
        echoed = self._header(routes.REQUEST)
        if echoed not in {"", self.request_id}:
            _refuse("belongs to another request")
        if self.status >= 400:
            raise self._refusal()
        if not 200 <= self.status < 300:
            _refuse(f"sends elsewhere ({self.status}), which is never followed")
        if not echoed:
            _refuse("doesn't name the request")
        if self._header("Content-Encoding") not in {"", "identity"}:
            _refuse("is compressed, which was not asked for")
        if expects and self._media_type() != expects:
            _refuse(f"is of type {self._media_type()[:80]!r}, not {expects}")

    def _check_whole(self) -> None:
        """An answer that is cut within its head looks like a strange one: some headers are missing.

        Raises:
            Lost: the answer was cut.
        """
        if self._read or self._header("Content-Encoding"):
            return
        read = 0
        for piece in self.pieces():
            read += len(piece)
            if read > MOST_JSON:
                return
        if not (read or self._framed):
            raise Lost(_CUT)

    def message(self, kind: type[Message]) -> Message:
        """Reads a JSON body.

        Raises:
            Lost: it was cut.
            ServerAnswerError: it is too long, or not this message.
        """
        body = self.body()
        if not (body or self._framed):
            raise Lost(_CUT)
        try:
            return strict.from_json(kind, body)
        except WireError as error:
            _refuse(f"is malformed: {error}")

    def body(self) -> bytes:
        """Reads a short body.

        Raises:
            Lost: it was cut.
            ServerAnswerError: it is too long.
        """
        read = bytearray()
        for piece in self.pieces():
            read += piece
            if len(read) > MOST_JSON:
                _refuse("is too long")
        return bytes(read)

    def pieces(self) -> Iterator[bytes]:
        """Yields the body as it arrives.

        Raises:
            Lost: it was cut.
        """
        import requests

        self._read = True
        try:
            yield from self._response.iter_content(_PIECE)
        except (requests.RequestException, OSError) as error:
            reason = "no answer in time" if "timed out" in str(error) else _CUT
        else:
            return
        raise Lost(reason)

    def abort(self) -> None:
        """Makes a read that waits in another thread end; where that can't be done, does nothing."""
        with self._lock, contextlib.suppress(Exception):
            if not self._closed:
                self._response.raw.shutdown()

    def close(self) -> None:
        """Gives the connection back if the body was read to its end, else drops it."""
        with self._lock:
            self._closed = True
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _framed(self) -> bool:
        """Whether the head says where the body ends; else only the connection's end does."""
        chunked = "chunked" in self._header("Transfer-Encoding").lower()
        return chunked or self.status == 204 or bool(self._header("Content-Length"))

    def _header(self, name: str) -> str:
        return str(self._response.headers.get(name, "")).strip()

    def _media_type(self) -> str:
        return self._header("Content-Type").partition(";")[0].strip().lower()

    def _refusal(self) -> Refusal:
        problem = Problem("", "")
        if self._media_type() == routes.JSON:
            with contextlib.suppress(ServerAnswerError):
                problem = self.message(Problem)
        return Refusal(self.status, problem.code, problem.message, self._retry_after())

    def _retry_after(self) -> float | None:
        text = self._header("Retry-After")
        plain = text.isascii() and text.replace(".", "", 1).isdecimal() and len(text) < 12
        return float(text) if plain else None


def _refuse(what: str) -> NoReturn:
    msg = f"The server's answer {what}; nothing of it was used. Is this a MedSAM2 server's address?"
    raise ServerAnswerError(msg) from None
