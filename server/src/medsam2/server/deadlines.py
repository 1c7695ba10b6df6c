"""Deadlines for clients that are slow on purpose; uvicorn has none while a request arrives.

A head must be complete within ``header_s``. A body may take ``body_s``, and a second more for each
``body_rate`` bytes that came. What is sent must be taken at that rate too, or within ``write_s``. One
address may have ``half_open`` unfinished heads; beyond that the oldest are closed, so that honest
clients, whose heads arrive at once, always get in; likewise for ``resting`` connections, which wait
between two requests. All of it runs on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from medsam2.wire import routes

from .refusals import Refused, answer
from .settings import Limits

TRIM_S = 0.1
"""How long a new connection may show its head before the oldest of its address are closed."""

BODY_CHECKS = 10
"""How often within ``body_s`` a body's progress is looked at."""


def protocol_with(limits: Limits) -> type[DeadlineProtocol]:
    """Returns the protocol for ``uvicorn.Config(http=...)``, to be used with ``ws="none"``."""

    class Limited(DeadlineProtocol):
        pass

    Limited.limits, Limited.half_open, Limited.resting = limits, {}, {}
    return Limited


def limit_handshakes(loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
    """Makes TLS servers that a loop creates from now on end a handshake after ``header_s``.

    uvicorn leaves asyncio's default of a minute, and :class:`DeadlineProtocol` sees a connection only
    when its handshake is done.
    """
    create = functools.partial(loop.create_server, ssl_handshake_timeout=limits.header_s)
    loop.create_server = create  # type: ignore[method-assign]


Places = dict[str, "dict[DeadlineProtocol, None]"]
"""Connections by address, the oldest first."""


class DeadlineProtocol(H11Protocol):
    """uvicorn's connection, closed when its client takes too long."""

    limits: ClassVar[Limits]
    half_open: ClassVar[Places]
    """Connections whose head is not complete."""
    resting: ClassVar[Places]
    """Connections between two requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited: tuple[str, object] = "", None
        self._since = 0.0
        self._received = 0
        self._unsent = 0
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a head."""
        super().connection_made(transport)
        # Whatever can't be sent counts as paused writing; otherwise a client could leave the last
        # bytes in the buffer, and a connection that is being closed would wait for it without end.
        transport.set_write_buffer_limits(high=1, low=0)
        self._review()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends all deadlines."""
        self._await("", None)
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what came."""
        self._received += len(data)
        super().data_received(data)

    def handle_events(self) -> None:
        """Looks at what is awaited after everything that came or was answered."""
        super().handle_events()
        self._review()

    def pause_writing(self) -> None:
        """Begins to wait for the client to take what it was sent."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """All was taken."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answers what is no HTTP."""
        self._refuse(Refused("malformed", "The request is not HTTP/1.1."))

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _review(self) -> None:
        state = self.conn.their_state
        if state is h11.IDLE and (self.cycle is None or self.conn.trailing_data[0]):
            self._await("head", self.cycle)
        elif state is h11.SEND_BODY:
            self._await("body", self.cycle)
        elif state is h11.IDLE:
            self._await("next", self.cycle)  # between two requests uvicorn's own timeout holds
        else:
            self._await("", None)

    def _await(self, what: str, request: object) -> None:
        """Begins a deadline, unless it is running already."""
        if (what, request) == self._awaited:
            return
        self._awaited = what, request
        self._since, self._received = self.loop.time(), 0
        if self._read_timer is not None:
            self._read_timer.cancel()
        self._leave(self.half_open)
        self._leave(self.resting)
        if what == "next":
            self._enter(self.resting, self.limits.resting)
        elif what == "head":
            self._enter(self.half_open, self.limits.half_open)
            self._read_timer = self.loop.call_later(self.limits.header_s, self._abort)
        elif what == "body":
            self._check_body()

    def _abort(self) -> None:
        self._leave(self.half_open)
        self._leave(self.resting)
        self.transport.abort()

    def _enter(self, places: Places, most: int) -> None:
        others = places.setdefault(self._address, {})
        others[self] = None
        if len(others) > most:
            self.loop.call_later(TRIM_S, self._trim, places, most)

    def _leave(self, places: Places) -> None:
        others = places.get(self._address, {})
        others.pop(self, None)
        if not others:
            places.pop(self._address, None)

    def _trim(self, places: Places, most: int) -> None:
        others = places.get(self._address, {})
        while len(others) > most:
            next(iter(others))._abort()

    def _check_body(self) -> None:
        now, earned = self.loop.time(), self._received / self.limits.body_rate
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._since = now - earned  # it is the server that doesn't read
        if now < self._since + self.limits.body_s + earned:
            pause = self.limits.body_s / BODY_CHECKS
            self._read_timer = self.loop.call_later(pause, self._check_body)
        else:
            self._refuse(Refused("timeout"))

    def _watch_writing(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.limits.write_s, self._check_writing)

    def _check_writing(self) -> None:
        taken = self._unsent - self.transport.get_write_buffer_size()
        if taken < self.limits.body_rate:
            self._abort()
        else:
            self._watch_writing()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _refuse(self, refused: Refused) -> None:
        """Answers in the application's place, if it hasn't begun to, and closes."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            if self.cycle is not None:
                self.cycle.disconnected = True  # what the application still sends is dropped
                self.cycle.message_event.set()
            response = answer(refused)
            response.headers.update(
                {"Connection": "close", routes.PROTOCOL_VERSION: routes.PROTOCOL}
            )
            head = h11.Response(status_code=refused.status, headers=response.raw_headers)
            with contextlib.suppress(h11.LocalProtocolError):
                for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
