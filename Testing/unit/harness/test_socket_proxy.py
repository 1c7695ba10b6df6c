from __future__ import annotations

import random
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
from socket_proxy import SocketProxy

SENT = random.Random(0).randbytes(300_000)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(4096):
                self.request.sendall(data)
        except OSError:
            pass


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(port) -> Iterator[SocketProxy]:
    with SocketProxy(port) as made:
        yield made


def connect(proxy: SocketProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def exchange(proxy: SocketProxy, data: bytes) -> bytes:
    """What comes back until the other side ends."""
    with connect(proxy) as client:
        sender = threading.Thread(target=send, args=(client, data))
        sender.start()
        got = b""
        while True:
            try:
                piece = client.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            got += piece
        sender.join()
    return got


def send(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_everything_passes_unchanged_both_ways(proxy):
    assert exchange(proxy, SENT) == SENT
    assert proxy.counts["up"] == proxy.counts["down"] == len(SENT)
    assert (proxy.counts["connections"], proxy.counts["cut"]) == (1, 0)


@pytest.mark.parametrize("after", [0, 1, 100, 4097, 200_000])
def test_an_answer_is_cut_after_exactly_so_many_bytes(proxy, after):
    proxy.faults.cut_bytes["down"] = after
    assert exchange(proxy, SENT) == SENT[:after]
    assert proxy.counts["cut"] == 1


@pytest.mark.parametrize("after", [0, 1, 100])
def test_a_request_is_cut_after_exactly_so_many_bytes(proxy, after):
    proxy.faults.cut_bytes["up"] = after
    exchange(proxy, SENT)
    assert proxy.counts["up"] == after


def test_a_connection_is_cut_after_so_many_pieces(proxy):
    proxy.faults.cut_pieces["down"] = 2
    with connect(proxy) as client:
        for piece in (b"one", b"two"):
            client.sendall(piece)
            assert client.recv(100) == piece
        assert client.recv(100) == b""


def test_only_so_many_connections_are_cut(proxy):
    proxy.faults.cut_bytes["down"] = 2
    proxy.faults.cuts = 2
    assert [exchange(proxy, b"mask") for _ in range(3)] == [b"ma", b"ma", b"mask"]


def test_open_connections_are_cut_at_once(proxy):
    with connect(proxy) as one, connect(proxy) as two:
        for client in (one, two):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert proxy.cut_now() == 2
        assert (one.recv(1), two.recv(1)) == (b"", b"")
    assert proxy.counts["cut"] == 2


def test_connections_are_refused_until_they_are_not(proxy):
    proxy.faults.refuse = True
    assert exchange(proxy, b"mask") == b""
    proxy.faults.refuse = False
    assert exchange(proxy, b"mask") == b"mask"
    assert proxy.counts["refused"] == 1


def test_a_server_that_is_gone_refuses_until_another_port_is_set(port):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        free = unused.getsockname()[1]
    with SocketProxy(free) as proxy:
        assert exchange(proxy, b"mask") == b""
        proxy.target_port = port
        assert exchange(proxy, b"mask") == b"mask"


def test_pieces_are_delayed(proxy):
    proxy.faults.delay_s, proxy.faults.jitter_s = 0.03, 0.01
    start = time.monotonic()
    assert exchange(proxy, b"mask") == b"mask"
    assert time.monotonic() - start >= 0.06


def test_nothing_is_left_when_the_proxy_ends_with_connections_open(port):
    before = threading.active_count()
    with SocketProxy(port) as proxy:
        client = connect(proxy)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert client.recv(1) == b""
    client.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
