from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
import trustme
import uvicorn

from medsam2.server import deadlines
from medsam2.server.deadlines import DeadlineProtocol, limit_handshakes, protocol_with
from medsam2.server.settings import Limits

PATIENT = Limits(header_s=30, body_s=30, write_s=30, half_open=1000)
QUICK = Limits(header_s=0.2, body_s=0.2, write_s=0.3, body_rate=1 << 20)
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MOST_S = 5.0
LARGE = 16 << 20


async def application(scope, receive, send) -> None:
    """Answers the size of the body; ``/large`` answers much, ``/busy`` reads late, ``/deaf`` never."""
    if scope["path"] == "/busy":
        await asyncio.sleep(3 * QUICK.body_s)
    size, more = 0, scope["path"] != "/deaf"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = bytes(LARGE) if scope["path"] == "/large" else b"%d" % size
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    """Runs beside the test."""

    limits = PATIENT

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.is_ssl:
            limit_handshakes(asyncio.get_running_loop(), self.limits)
        await super().startup(sockets)


@contextlib.contextmanager
def serving(limits: Limits, **given: object) -> Iterator[tuple[int, type[DeadlineProtocol]]]:
    """Gives the port and the protocol's class."""
    protocol = protocol_with(limits)
    config = uvicorn.Config(
        application, port=0, http=protocol, ws="none", lifespan="off", log_config=None,
        access_log=False, timeout_graceful_shutdown=1, timeout_keep_alive=30, **given,
    )  # fmt: skip
    server = Server(config)
    server.limits = limits
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1], protocol
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def quick() -> Iterator[tuple[int, type[DeadlineProtocol]]]:
    with serving(QUICK) as found:
        yield found


@pytest.fixture(scope="module")
def patient() -> Iterator[tuple[int, type[DeadlineProtocol]]]:
    with serving(PATIENT) as found:
        yield found


def wait(condition, seconds: float = MOST_S) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


@contextlib.contextmanager
def connected(port: int, first: bytes = b"", **options: int) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.settimeout(MOST_S)
        for name, value in options.items():
            connection.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        connection.connect(("127.0.0.1", port))
        connection.sendall(first)
        yield connection


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes; a test that is never closed fails by its timeout."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer of the application."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(1 << 16) or b"closed\r\n\r\n"
    head, _, body = found.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        part = connection.recv(1 << 20)
        assert part, "the answer was cut"
        body += part
    return head + b"\r\n\r\n" + body


def answered(connection: socket.socket, request: bytes = HEAD) -> bool:
    connection.sendall(request)
    return b" 200 OK" in read_answer(connection)


def trickle(connection: socket.socket, data: bytes, pause: float, size: int = 1) -> None:
    """Sends until the server closes."""
    with contextlib.suppress(ConnectionError):
        for n in range(0, len(data), size):
            connection.sendall(data[n : n + size])
            time.sleep(pause)


@pytest.mark.parametrize("first", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_is_closed(quick, first):
    port, _ = quick
    with connected(port, first) as connection:
        assert read_all(connection) == b""


def test_a_head_that_comes_byte_by_byte_gains_no_time(quick):
    port, protocol = quick
    with connected(port) as connection:
        begun = time.monotonic()
        trickle(connection, b"GET / HTTP/1.1\r\nX: " + b"x" * 1000, 0.02)
        assert time.monotonic() - begun < MOST_S
        assert wait(lambda: not protocol.half_open)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 999999999999999", b"Transfer-Encoding: chunked"]
)
def test_a_body_that_comes_byte_by_byte_is_answered_408(quick, framing):
    head = b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\nffffff\r\n"
    port, _ = quick
    with connected(port, head) as connection:
        sender = threading.Thread(target=trickle, args=(connection, b"x" * 200, 0.02))
        sender.start()
        answer = read_all(connection)
        sender.join()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["code"] == "timeout"


def test_a_body_that_nobody_reads_has_a_deadline_too(quick):
    head = b"POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx"
    port, _ = quick
    with connected(port, head) as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK")


def test_an_honest_upload_takes_its_time(quick):
    size = 1 << 20
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    port, _ = quick
    with connected(port, head) as connection:
        begun = time.monotonic()
        trickle(connection, bytes(size), 0.03, 64 << 10)
        assert time.monotonic() - begun > 2 * QUICK.body_s
        assert read_answer(connection).endswith(b"\r\n%d" % size)


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
def test_a_client_is_not_blamed_for_a_busy_server(quick, expects):
    size = 4 << 20
    head = b"POST /busy HTTP/1.1\r\nHost: x\r\n" + expects + b"Content-Length: %d\r\n\r\n" % size
    port, _ = quick
    with connected(port, head) as connection:
        if expects:
            assert b" 100 " in connection.recv(4096)
        connection.sendall(bytes(size))
        assert read_answer(connection).endswith(b"\r\n%d" % size)


def test_a_connection_that_is_kept_alive_outlives_the_deadlines(quick):
    port, _ = quick
    with connected(port) as connection:
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
        assert answered(connection, post + b"abc")
        time.sleep(1.5 * QUICK.header_s)
        assert answered(connection)
        assert answered(connection, HEAD + HEAD[:9])
        assert read_all(connection) == b""


def test_pipelined_requests_are_all_answered(quick):
    port, _ = quick
    with connected(port, HEAD * 5) as connection:
        found = b""
        while found.count(b" 200 OK") < 5:
            found += connection.recv(4096)


def test_many_half_open_heads_keep_no_honest_client_out():
    limits = Limits(header_s=30, half_open=16)
    with serving(limits, limit_concurrency=400) as (port, protocol), contextlib.ExitStack() as held:
        early = held.enter_context(connected(port))
        assert answered(early)
        flood = [held.enter_context(connected(port, b"GET / HT")) for _ in range(300)]
        for _ in range(5):
            with connected(port) as honest:
                assert answered(honest)
        assert answered(early)
        assert wait(lambda: sum(map(len, protocol.half_open.values())) <= 16)
        assert wait(lambda: not any(map(is_open, flood[:280])))
        assert all(map(is_open, flood[-15:]))  # an honest head may have had the 16th place


def test_many_connections_between_two_requests_keep_no_honest_client_out():
    limits = Limits(header_s=30, resting=16)
    with serving(limits, limit_concurrency=100) as (port, protocol), contextlib.ExitStack() as held:
        crowd = []
        for _ in range(80):
            crowd.append(held.enter_context(connected(port)))
            assert answered(crowd[-1])
        assert wait(lambda: sum(map(len, protocol.resting.values())) <= 16)
        assert wait(lambda: not any(map(is_open, crowd[:60])))
        assert answered(crowd[-1])
        with connected(port) as honest:
            assert answered(honest)


def test_honest_clients_in_a_burst_have_time_to_show_their_heads(monkeypatch):
    monkeypatch.setattr(deadlines, "TRIM_S", 1.0)  # a busy machine needs more than a tenth
    limits = Limits(header_s=30, half_open=4)
    with serving(limits) as (port, protocol), contextlib.ExitStack() as held:
        burst = [held.enter_context(connected(port)) for _ in range(40)]
        assert wait(lambda: sum(map(len, protocol.half_open.values())) == 40)
        assert all(answered(connection) for connection in burst[:4])


def test_a_client_that_takes_nothing_is_cut(quick):
    request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
    port, _ = quick
    with connected(port, request, SO_RCVBUF=8192) as connection:
        time.sleep(2.5 * QUICK.write_s)
        assert len(read_all(connection)) < LARGE


def test_a_client_that_takes_its_answer_steadily_gets_all_of_it(quick):
    request = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    port, _ = quick
    with connected(port, request, SO_RCVBUF=256 << 10) as connection:
        begun, size = time.monotonic(), 0
        while part := connection.recv(256 << 10):
            size += len(part)
            time.sleep(0.01)
        assert size > LARGE
        assert time.monotonic() - begun > QUICK.write_s


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"a" * 99999,
    ],
)
def test_what_is_no_http_is_answered_with_a_problem(patient, nonsense):
    port, _ = patient
    with connected(port, nonsense) as connection:
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert json.loads(body)["code"] == "malformed"


def test_nothing_is_kept_of_connections_that_are_gone(patient):
    port, protocol = patient
    for first in (b"", b"GET", HEAD):
        with connected(port, first):
            assert wait(lambda: bool(protocol.half_open)) or first == HEAD
    assert wait(lambda: not protocol.half_open)


def test_a_tls_handshake_has_the_deadline_of_a_head(tmp_path):
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    server.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(QUICK, ssl_certfile=chain, ssl_keyfile=key) as (port, _):
        with connected(port) as silent:
            assert read_all(silent) == b""
        with (
            connected(port) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            assert answered(connection)
            assert answered(connection, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
