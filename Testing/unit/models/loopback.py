"""A small HTTP server on the loopback interface that can misbehave on purpose."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclasses.dataclass
class FileServer:
    """One file, and how it is served.

    Args:
        content: the file.
        etag: what the server calls this version of it; None sends no ETag.
        ranges: whether it honours Range.
        cut_after: bytes of an answer's body after which the connection breaks.
        cuts: how many answers are cut.
        statuses: answers to give instead, first come first served.
        says_length: whether it tells the length.
        stall: seconds before the first byte of a body.
        longest_range: bytes of a range that it gives at most.
        wrong_range: answers any range with the whole file's first bytes, called a range from 0.
    """

    content: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    cut_after: int | None = None
    cuts: int = 0
    statuses: list[int] = dataclasses.field(default_factory=list)
    says_length: bool = True
    stall: float = 0.0
    longest_range: int | None = None
    wrong_range: bool = False
    url: str = ""
    asked: list[str | None] = dataclasses.field(default_factory=list)


def answer(handler: BaseHTTPRequestHandler, state: FileServer) -> None:
    state.asked.append(handler.headers.get("Range"))
    if state.statuses:
        handler.send_response(state.statuses.pop(0))
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    start = first_byte(handler, state)
    if start is None:
        handler.send_response(416)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = state.content[start:]
    partial = start > 0 or (state.wrong_range and handler.headers.get("Range"))
    handler.send_response(206 if partial else 200)
    if partial:
        body = body[: state.longest_range]
        end = start + len(body) - 1
        handler.send_header("Content-Range", f"bytes {start}-{end}/{len(state.content)}")
    if state.says_length:
        handler.send_header("Content-Length", str(len(body)))
    if state.etag is not None:
        handler.send_header("ETag", state.etag)
    handler.end_headers()
    time.sleep(state.stall)
    if state.cuts > 0 and state.cut_after is not None:
        state.cuts -= 1
        body = body[: state.cut_after]
    handler.wfile.write(body)


def first_byte(handler: BaseHTTPRequestHandler, state: FileServer) -> int | None:
    """Where the answer starts; None if what was asked for lies behind the end."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    if not state.ranges or state.wrong_range or not asked:
        return 0
    if condition is not None and condition != state.etag:
        return 0
    start = int(asked[1])
    return start if start < len(state.content) else None


@contextmanager
def serving(state: FileServer) -> Iterator[FileServer]:
    """Serves while the block runs; ``state.url`` is the address and may be changed meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                answer(self, state)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/weights.pt"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
