"""Clients that never get to the end of a request, many at once, and come back when shut out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Self

from medsam2.wire import names, routes

HEAD = b"GET /v1/info HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class SlowClients:
    """Half-open heads and dripping bodies, kept up for as long as the block runs.

    Each connection sends a byte a second; every fourth head sends nothing at all after its connection
    was made. Whoever is shut out connects again within a second.

    Args:
        port: of the server, on 127.0.0.1.
        heads: connections that never complete a request's head.
        bodies: connections whose body never ends.
        token: for those with a body; a server may refuse others at once.
        source: the address they come from.
    """

    def __init__(
        self, port: int, heads: int, bodies: int, token: str, source: str = "127.0.0.1"
    ) -> None:
        self._port = port
        self._source = source
        path = routes.VOLUME.format(volume="0" * 64)
        body = (
            f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"X-Request-Id: {names.new_id()}\r\nContent-Type: {routes.JSON}\r\n"
            "Content-Length: 4096\r\n\r\n{"
        ).encode()
        silent = range(0, heads, 4)
        self._starts = [b"" if n in silent else HEAD for n in range(heads)] + [body] * bodies
        self._sockets: list[socket.socket | None] = [None] * len(self._starts)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.connected = 0
        self.most_open = 0

    def __enter__(self) -> Self:
        self._round()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(30)
        for link in self._sockets:
            if link is not None:
                link.close()

    def _run(self) -> None:
        while not self._over.wait(1.0):
            self._round()

    def _round(self) -> None:
        """Gives each connection its next byte, and opens those anew that were closed."""
        for place, link in enumerate(self._sockets):
            if link is None or not self._alive(link, b"" if self._starts[place] == b"" else b"a"):
                self._sockets[place] = self._connect(self._starts[place])
        self.most_open = max(self.most_open, sum(link is not None for link in self._sockets))

    def _connect(self, start: bytes) -> socket.socket | None:
        with contextlib.suppress(OSError):
            link = socket.create_connection(("127.0.0.1", self._port), 2.0, (self._source, 0))
            self.connected += 1
            try:
                link.sendall(start)
                link.setblocking(False)
            except OSError:
                link.close()
            else:
                return link
        return None

    @staticmethod
    def _alive(link: socket.socket, more: bytes) -> bool:
        """Sends the next byte; a connection that was answered or closed is done with."""
        try:
            try:
                link.recv(1)
            except BlockingIOError:
                link.send(more)
                return True
        except OSError:
            pass
        link.close()
        return False


@contextlib.contextmanager
def half_open(port: int, count: int, source: str = "127.0.0.1") -> Iterator[None]:
    """Holds half-sent heads open while the block runs, however the server takes it."""
    links = []
    try:
        for _ in range(count):
            link = socket.create_connection(("127.0.0.1", port), 2.0, (source, 0))
            links.append(link)
            link.sendall(HEAD)
        time.sleep(0.1)
        yield
    finally:
        for link in links:
            link.close()
