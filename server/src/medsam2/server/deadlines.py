"""Deadlines that uvicorn lacks: for a request's head, for its body, and for a client that won't read.

A connection whose head is not complete is *half-open*. An address may have a few of them; over that
the oldest is closed, so a flood of them never keeps an honest client out: its head comes at once. The
same holds, with a larger number, for connections that rest between two requests.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from medsam2.wire import routes, strict
from medsam2.wire.messages import Problem
from medsam2.wire.problems import REFUSALS

from .settings import Limits

if TYPE_CHECKING:
    from collections.abc import Callable


class Line:
    """Connections by address, the oldest first; each address has a few places.

    Args:
        places: for one address.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._by_address: dict[str, OrderedDict[DeadlineProtocol, None]] = {}

    def join(self, address: str, connection: DeadlineProtocol) -> None:
        """Takes the newest place; who has the oldest one is closed if there are too many."""
        line = self._by_address.setdefault(address, OrderedDict())
        line[connection] = None
        line.move_to_end(connection)
        if len(line) > self._places:
            oldest, _ = line.popitem(last=False)
            oldest.transport.close()

    def leave(self, address: str, connection: DeadlineProtocol) -> None:
        """Gives the place up, if there is one."""
        line = self._by_address.get(address)
        if line is not None:
            line.pop(connection, None)
            if not line:
                del self._by_address[address]


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 with deadlines; made by :func:`protocol_with`."""

    limits: Limits
    half_open: Line
    resting: Line

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first head."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._waiting_for = ""
        self._received = 0
        self._address = self.client[0] if self.client else ""
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all clocks."""
        self._stop()
        self._stop_writing()
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Watches how far the request is."""
        if not self._waiting_for and self.conn.their_state is h11.IDLE:
            self._await_head()
        self._received += len(data)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """A request that was already buffered may have begun."""
        super().on_response_complete()
        self._look()
        if not self._waiting_for and self.conn.their_state is h11.IDLE:
            self.resting.join(self._address, self)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (the library's text is not ours)
        """Refuses bytes that are no HTTP."""
        self._refuse("malformed", "The request is not HTTP/1.1.")

    def _refuse(self, code: str, message: str) -> None:
        """Sends a refusal, unless an answer has begun, and ends the connection."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = strict.to_json(Problem(code, message))
            headers = {
                "Content-Type": routes.JSON, "Content-Length": str(len(body)),
                "Connection": "close", "Cache-Control": "no-store",
                routes.PROTOCOL_VERSION: routes.PROTOCOL,
            }  # fmt: skip
            status = HTTPStatus(REFUSALS[code].status)
            head = h11.Response(
                status_code=status, headers=[*headers.items()], reason=status.phrase.encode()
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:  # a handler may still wait for the rest of the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def pause_writing(self) -> None:
        """Starts the clock of a client that does not read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops it."""
        super().resume_writing()
        self._stop_writing()

    def _look(self) -> None:
        """Moves from the head to the body, and from there to rest."""
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            if self._waiting_for != "body":
                self._await_body()
        elif state is not h11.IDLE:
            self._stop()
            self._settle()

    def _await_head(self) -> None:
        self._waiting_for = "head"
        self._start(self.limits.header_s, self._close)
        self.resting.leave(self._address, self)
        self.half_open.join(self._address, self)

    def _await_body(self) -> None:
        """Allows for a slow but honest line: so many seconds, and more for every byte announced.

        A body of unknown length earns its time by what has arrived.
        """
        self._settle()
        self._waiting_for, self._received = "body", 0
        length = next((v for k, v in self.headers or [] if k == b"content-length"), b"")
        announced = int(length) if length.isdigit() else 0
        self._start(self.limits.body_s + announced / self.limits.body_rate, self._check_body)
        self._chunked = not announced

    def _check_body(self) -> None:
        earned = self._received / self.limits.body_rate
        if self._chunked and earned > 1:
            self._received = 0
            self._start(earned, self._check_body)
            return
        self._refuse("timeout", REFUSALS["timeout"].message)

    def _close(self) -> None:
        self.transport.close()

    def _start(self, seconds: float, action: Callable[[], Any]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, action)

    def _stop(self) -> None:
        self._waiting_for = ""
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _settle(self) -> None:
        """Takes this connection off the lines."""
        self.half_open.leave(self._address, self)
        self.resting.leave(self._address, self)


def protocol_with(limits: Limits) -> type[DeadlineProtocol]:
    """Returns a protocol class for ``uvicorn.Config(http=...)`` with these limits."""
    own = {
        "limits": limits,
        "half_open": Line(limits.half_open),
        "resting": Line(limits.resting),
    }
    return type("LimitedProtocol", (DeadlineProtocol,), own)
