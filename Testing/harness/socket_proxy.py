"""A TCP proxy on the loopback interface that fails on purpose.

Put between a client and a server it cuts connections after so many bytes or pieces, delays and
refuses. It never changes, reorders or repeats what it passes on: TCP doesn't either.
"""

from __future__ import annotations

import collections
import dataclasses
import random
import socket
import threading
from contextlib import suppress
from typing import Literal, Self

Way = Literal["up", "down"]
Ends = tuple[socket.socket, socket.socket]


@dataclasses.dataclass
class Faults:
    """What goes wrong; may be changed at any time, and holds for open connections too.

    Args:
        cut_bytes: bytes that pass one way before the connection ends, ``up`` to the server or
            ``down`` to the client.
        cut_pieces: the same in pieces: what one read of the socket gave.
        cuts: how many connections are still to be cut so; None for every one.
        delay_s: before a piece is passed on, either way.
        jitter_s: up to so much more.
        refuse: new connections are closed at once.
    """

    cut_bytes: dict[Way, int] = dataclasses.field(default_factory=dict)
    cut_pieces: dict[Way, int] = dataclasses.field(default_factory=dict)
    cuts: int | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    refuse: bool = False


class SocketProxy:
    """Passes connections on to a port of this machine while a ``with`` block runs.

    ``faults`` and ``counts`` (``connections``, ``refused``, ``cut``, bytes ``up`` and ``down``) may be
    used from any thread.

    Args:
        target_port: on 127.0.0.1; may be set anew, for later connections.
        seed: of the jitter.
        keep: whether all that passes is kept in ``heard``, by way.
    """

    def __init__(self, target_port: int, seed: int = 0, *, keep: bool = False) -> None:
        self.target_port = target_port
        self.faults = Faults()
        self.counts: collections.Counter[str] = collections.Counter()
        self.heard: dict[Way, bytearray] | None
        self.heard = {"up": bytearray(), "down": bytearray()} if keep else None
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._links: dict[Ends, threading.Thread] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)

    def cut_now(self) -> int:
        """Ends every open connection; returns how many there were."""
        with self._lock:
            open_links = list(self._links)
            self.counts["cut"] += len(open_links)
            for ends in open_links:
                _hang_up(ends)
        return len(open_links)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            threads = list(self._links.values())
        self.cut_now()
        for thread in threads:
            thread.join()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            with suppress(OSError):
                self._connect(self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        self._count("connections")
        try:
            if self.faults.refuse:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:
            self._count("refused")
            client.close()
            return
        ends = client, server
        for end in ends:  # the only delays are those that a test asks for
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=self._serve, args=(ends,))
        with self._lock:
            self._links[ends] = thread
        thread.start()

    def _serve(self, ends: Ends) -> None:
        up = threading.Thread(target=self._pump, args=(ends, "up"))
        up.start()
        self._pump(ends, "down")
        up.join()
        with self._lock:
            del self._links[ends]
            for end in ends:
                end.close()

    def _pump(self, ends: Ends, way: Way) -> None:
        source, sink = ends if way == "up" else ends[::-1]
        passed = pieces = 0
        try:
            while data := source.recv(1 << 16):
                self._stopped.wait(self._delay())
                left_bytes = self.faults.cut_bytes.get(way, len(data) + passed + 1) - passed
                left_pieces = self.faults.cut_pieces.get(way, pieces + 2) - pieces
                cut = (left_bytes <= len(data) or left_pieces <= 1) and self._may_cut()
                part = data[: max(0, left_bytes) if left_pieces > 0 else 0] if cut else data
                sink.sendall(part)
                self._hear(way, part)
                passed, pieces = passed + len(part), pieces + 1
                if cut:
                    self._count("cut")
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        _hang_up(ends)

    def _hear(self, way: Way, part: bytes) -> None:
        with self._lock:
            self.counts[way] += len(part)
            if self.heard is not None:
                self.heard[way] += part

    def _count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def _delay(self) -> float:
        with self._lock:
            return self.faults.delay_s + self._random.random() * self.faults.jitter_s

    def _may_cut(self) -> bool:
        with self._lock:
            left = self.faults.cuts
            if left:
                self.faults.cuts = left - 1
        return left is None or left > 0


def _hang_up(ends: Ends) -> None:
    """Ends both sides at once, also for threads that read from them."""
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
