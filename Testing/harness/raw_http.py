"""HTTP/1.1 by hand, for requests that no decent client would send, and a judge of refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import ssl
from collections.abc import Mapping
from typing import BinaryIO, Self

from medsam2.core.errors import MedSAM2Error, WireError
from medsam2.wire import problems, strict
from medsam2.wire.messages import Problem

FIVE_HUNDREDS = {503, 507}
"""The server's errors that a request may be answered with; they say: later."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said.

    Args:
        status: of HTTP.
        headers: by name in lower case.
        body: whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        """The body as JSON."""
        found: dict[str, object] = json.loads(self.body)
        return found

    def fault(self) -> str:
        """What is wrong with this as an answer to any request; empty for a decent one.

        A refusal must be a ``Problem`` with a code of the protocol, and the code's own status.
        """
        if self.status < 400:
            return ""
        if self.status >= 500 and self.status not in FIVE_HUNDREDS:
            return f"status {self.status}: {self.body[:200]!r}"
        try:
            problem = strict.from_json(Problem, self.body)
        except WireError as error:
            return f"status {self.status} without a problem ({error}): {self.body[:200]!r}"
        wanted = status_of(problem.code)
        if wanted != self.status:
            return f"{problem.code} came with status {self.status}, not {wanted}"
        return "" if problem.message else f"{problem.code} came without a message"


def status_of(code: str) -> int | None:
    """The status that the protocol gives a code, or nothing for an unknown one."""
    if code in problems.REFUSALS:
        return problems.REFUSALS[code].status
    kind: type[MedSAM2Error] | None = problems.engine_errors().get(code)
    return None if kind is None else problems.status_of(kind(""))


class RawHttp:
    """One connection, made anew where the server has ended it; use in a ``with`` block.

    Args:
        port: on 127.0.0.1.
        timeout_s: for each wait.
        tls: for https.
    """

    def __init__(
        self, port: int, *, timeout_s: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._tls = tls
        self._socket: socket.socket | None = None

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Sends a request, again if the server had ended the connection before, and waits.

        Raises:
            ConnectionError: the server ended the connection without an answer.
        """
        lines = {"Host": f"127.0.0.1:{self._port}", **(headers or {})}
        if body or method in {"PUT", "POST"}:
            lines.setdefault("Content-Length", str(len(body)))
        head = f"{method} {target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        data = head.encode("latin-1") + b"\r\n" + body
        fresh = self._socket is None
        answer = self.send(data, head_only=method == "HEAD")
        if answer is None and not fresh:
            answer = self.send(data, head_only=method == "HEAD")
        if answer is None:
            msg = f"{method} {target[:80]} was not answered"
            raise ConnectionError(msg)
        return answer

    def send(self, data: bytes, *, head_only: bool = False) -> Answer | None:
        """Sends bytes as they are; returns the answer, or nothing if the connection ended instead.

        Raises:
            TimeoutError: neither came.
        """
        if self._socket is None:
            plain = socket.create_connection(("127.0.0.1", self._port), self._timeout_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain if self._tls is None else self._tls.wrap_socket(plain)
        try:
            with contextlib.suppress(ConnectionError):  # refused half-way; an answer may wait
                self._socket.sendall(data)
            answer = _read(self._socket, head_only=head_only)
        except ConnectionError:
            answer = None
        except TimeoutError:
            self.close()
            raise
        if answer is None or answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Ends the connection; the next request makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def exchange(
    port: int, data: bytes, *, timeout_s: float = 10.0, quiet_s: float = 0.2
) -> tuple[bytes, bool]:
    """Sends bytes on a connection of their own, and listens.

    Args:
        port: on 127.0.0.1.
        data: as they are.
        timeout_s: to wait for a first answer or the connection's end.
        quiet_s: after an answer, how long to wait for another one.

    Returns:
        All that came, and whether the server ended the connection.

    Raises:
        TimeoutError: nothing came, and the connection did not end.
    """
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(data)
        try:
            while part := link.recv(65536):
                got += part
                link.settimeout(quiet_s)
        except ConnectionError:
            pass
        except TimeoutError:
            if not got:
                raise
            return got, False
    return got, True


def _read(source: socket.socket, *, head_only: bool) -> Answer | None:
    """Reads one answer; nothing if the connection ends before it is whole."""
    with source.makefile("rb") as stream:
        start = stream.readline(65536).split(None, 2)
        if len(start) < 2:
            return None
        headers = {}
        while (line := stream.readline(65536).rstrip(b"\r\n")) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(start[1])
        if head_only or status in {204, 304}:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, _chunks(stream))
        size = headers.get("content-length")
        body = stream.read() if size is None else stream.read(int(size))
        return None if size is not None and len(body) < int(size) else Answer(status, headers, body)


def _chunks(stream: BinaryIO) -> bytes:
    parts = []
    while size := int(stream.readline(64) or b"0", 16):
        parts.append(stream.read(size))
        stream.readline(8)
    stream.readline(8)
    return b"".join(parts)
