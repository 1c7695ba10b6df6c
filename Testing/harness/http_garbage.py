"""Bytes that are no decent HTTP: what scanners, broken proxies and attackers send."""

from __future__ import annotations

import random

SMUGGLED = "smuggled: "
"""Names of shapes that hide a second request begin so; the server must never see it."""

TRAVERSALS = (
    "/v1/volumes/../../etc/passwd",
    "/v1/volumes/..%2f..%2fetc%2fpasswd",
    "/v1/volumes/%2e%2e/%2e%2e/etc/passwd",
    "/v1/volumes/..%252f..%252fetc%252fpasswd",
    "/v1/volumes/..%c0%af..%c0%afetc/passwd",
    "/v1/sessions/..\\..\\windows\\win.ini",
    "/v1/sessions/%00",
    "/v1/sessions/" + "0" * 32 + "%00",
    "/v1/sessions/" + "0" * 32 + "%0a",
    "/v1/sessions/" + "0" * 32 + "%2fjobs%2f" + "0" * 32,
    "/v1/sessions/" + "0" * 32 + ";jsessionid=1",
    "/v1/sessions/%ff%fe%fd",
    "/v1/sessions/" + "%F0%9F%A6%B4" * 8,
    "//v1/info",
    "/v1//info",
    "/v1/info/",
    "/v1/info/..",
    "/V1/INFO",
    "/./v1/info",
    "/metrics/../v1/info",
    "/openapi.json",
    "/docs",
    "/docs/oauth2-redirect",
    "/redoc",
    "/static/../../etc/passwd",
    "/v1/volumes/" + "a" * 60_000,
    "/v1/sessions/" + "%41" * 20_000,
    "/v1/info?" + "a=1&" * 15_000,
    "/" + "a/" * 30_000,
    "/v1/volumes/file:///etc/passwd",
    "/v1/volumes/http:%2f%2f127.0.0.1%2f",
    "*",
    "http://127.0.0.1/health",
    "http://elsewhere.example/v1/info",
    "file:///etc/passwd",
)
"""Targets that lead nowhere; to be sent with a right token."""


def shapes(host: str, authorization: str, victim: str) -> dict[str, bytes]:
    """Messages by name.

    Args:
        host: of the server.
        authorization: a right one: behind it, more of the server can be reached.
        victim: a path that a smuggled request would delete.
    """
    ours = f"Host: {host}\r\nAuthorization: {authorization}\r\n".encode()
    inner = f"DELETE {victim} HTTP/1.1\r\n".encode() + ours + b"\r\n"
    made = {SMUGGLED + name: data for name, data in _smuggled(ours, inner).items()}
    return made | _heads(ours) | _bodies(ours) | _noise()


def _smuggled(ours: bytes, inner: bytes) -> dict[str, bytes]:
    put = b"PUT /v1/volumes/" + b"0" * 64 + b" HTTP/1.1\r\n" + ours
    size, chunked = b"Content-Length: %d\r\n", b"Transfer-Encoding: chunked\r\n"
    last = b"0\r\n\r\n"
    return {
        "two lengths": put + size % 0 + size % len(inner) + b"\r\n" + inner,
        "two lengths, the larger first": put + size % len(inner) + size % 0 + b"\r\n" + inner,
        "a list of lengths": put + b"Content-Length: 0, %d\r\n\r\n" % len(inner) + inner,
        "length and chunks": put + size % len(last + inner) + chunked + b"\r\n" + last + inner,
        "chunks and length": put + chunked + size % len(last + inner) + b"\r\n" + last + inner,
        "two encodings": put + chunked + b"Transfer-Encoding: x\r\n\r\n" + last + inner,
        "an odd encoding": put + b"Transfer-Encoding: xchunked\r\n\r\n" + last + inner,
        "a folded encoding": put
        + b"Transfer-Encoding:\r\n chunked\r\n" + size % len(last + inner) + b"\r\n" + last + inner,
        "a blank before the colon": put + b"Content-Length : %d\r\n\r\n" % len(inner) + inner,
        "a tab before the value": put
        + b"Transfer-Encoding:\tchunked\r\n" + size % len(last + inner) + b"\r\n" + last + inner,
        "a signed length": put + b"Content-Length: +%d\r\n\r\n" % len(inner) + inner,
        "a hexadecimal length": put + b"Content-Length: 0x%x\r\n\r\n" % len(inner) + inner,
        "a negative length": put + b"Content-Length: -1\r\n\r\n" + inner,
        "a header in a header's value": put + b"X: 1\rContent-Length: %d\r\n\r\n" % len(inner) + inner,
        "a length in a bare line": put + b"X-A: 1\nContent-Length: %d\r\n\r\n" % len(inner) + inner,
        "an extension of a chunk": put + chunked + b"\r\n0;a=\n\r\n\r\n" + inner,
    }  # fmt: skip


def _heads(ours: bytes) -> dict[str, bytes]:
    get = b"GET /v1/info HTTP/1.1\r\n" + ours
    return {
        "no Host": b"GET /health HTTP/1.1\r\n\r\n",
        "an empty Host": b"GET /health HTTP/1.1\r\nHost:\r\n\r\n",
        "two Hosts": b"GET /health HTTP/1.1\r\nHost: elsewhere\r\n" + ours + b"\r\n",
        "HTTP/0.9": b"GET /health\r\n\r\n",
        "HTTP/1.0": b"GET /v1/info HTTP/1.0\r\n" + ours + b"\r\n",
        "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/9.9": b"GET /health HTTP/9.9\r\n" + ours + b"\r\n",
        "bare line feeds": b"GET /v1/info HTTP/1.1\n" + ours.replace(b"\r", b"") + b"\n",
        "bare carriage returns": get.replace(b"\n", b"") + b"\r",
        "a NUL in a header": get + b"X-A: a\0b\r\n\r\n",
        "a NUL in the target": b"GET /v1/\0info HTTP/1.1\r\n" + ours + b"\r\n",
        "a byte beyond ASCII in the target": b"GET /v1/\xff HTTP/1.1\r\n" + ours + b"\r\n",
        "a blank in the target": b"GET /v1/ info HTTP/1.1\r\n" + ours + b"\r\n",
        "a header without a colon": get + b"nonsense\r\n\r\n",
        "a header without a name": get + b": x\r\n\r\n",
        "a folded header": get + b"X-A: 1\r\n  2\r\n\r\n",
        "a header of a megabyte": get + b"X-A: " + b"a" * (1 << 20) + b"\r\n\r\n",
        "a hundred thousand headers": get + b"A: b\r\n" * 100_000 + b"\r\n",
        "a hundred thousand empty lines": b"\r\n" * 100_000 + get + b"\r\n",
        "a long method": b"A" * 10_000 + b" /v1/info HTTP/1.1\r\n" + ours + b"\r\n",
        "a method of controls": b"\x01\x02 /v1/info HTTP/1.1\r\n" + ours + b"\r\n",
        "CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + ours + b"\r\n",
        "an upgrade": get + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        "an upgrade to HTTP/2": get + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "a token beyond ASCII": b"GET /v1/info HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Authorization: Bearer \xff\xfe\r\n\r\n",
        "a protocol of many digits": get + b"X-Protocol: " + b"9" * 9000 + b"\r\n\r\n",
        "a run of another form": get + b"X-Server-Run: ../../etc\r\n\r\n",
        "only a line end": b"\r\n",
        "nothing but blanks": b" " * 70_000,
    }  # fmt: skip


def _bodies(ours: bytes) -> dict[str, bytes]:
    json, chunked = b"Content-Type: application/json\r\n", b"Transfer-Encoding: chunked\r\n"
    put = b"PUT /v1/sessions/" + b"0" * 32 + b" HTTP/1.1\r\n" + ours + json
    return {
        "a length of many digits": put + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
        "a length of twenty digits": put + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n{}",
        "a length beyond the limit": put + b"Content-Length: 1000000\r\n\r\n",
        "a body cut off": put + b"Content-Length: 100\r\n\r\n{",
        "a chunk of no size": put + chunked + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
        "a chunk of a negative size": put + chunked + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
        "a chunk of endless size": put + chunked + b"\r\n" + b"f" * 40 + b"\r\n{}",
        "a chunk longer than it says": put + chunked + b"\r\n1\r\n{}}}}\r\n0\r\n\r\n",
        "an endless extension": put + chunked + b"\r\n2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
        "endless trailers": put + chunked + b"\r\n0\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        "chunks beyond the limit": put + chunked + b"\r\n"
        + (b"ffff\r\n" + b" " * 0xFFFF + b"\r\n") * 4 + b"0\r\n\r\n",
        "a body that waits to be asked": put + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        "another expectation": put + b"Content-Length: 2\r\nExpect: the-unexpected\r\n\r\n{}",
        "a packed body": put + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        "a body on a GET": b"GET /v1/info HTTP/1.1\r\n" + ours + b"Content-Length: 2\r\n\r\n{}",
    }  # fmt: skip


def _noise() -> dict[str, bytes]:
    luck = random.Random(0)
    hello = bytes.fromhex("1603010200010001fc0303") + luck.randbytes(500)
    made = {f"noise {n}": luck.randbytes(luck.randrange(1, 3000)) for n in range(20)}
    return {
        **made,
        "a TLS hello": hello,
        "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
        "SMB": b"\x00\x00\x00\x85\xffSMBr\x00\x00\x00\x00\x18S\xc8" + bytes(120),
        "RDP": bytes.fromhex("0300002f2ae00000000000") + b"Cookie: mstshash=a\r\n",
        "a DICOM association": bytes.fromhex("0100000000cd00010000") + b"ANY-SCP".ljust(200),
        "redis": b"*1\r\n$4\r\nINFO\r\n",
    }
