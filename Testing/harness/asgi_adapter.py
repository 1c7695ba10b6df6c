"""Drives an application without a socket: an adapter for ``requests``, an event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

WAIT_S = 60.0


class _Body:
    """An answer's body; each read gives what the application has sent since."""

    def __init__(self, pieces: queue.SimpleQueue[bytes | None], leave: Any) -> None:
        self._pieces = pieces
        self._leave = leave

    def read(self, _size: int = -1) -> bytes:
        while True:
            piece = self._pieces.get(timeout=WAIT_S)
            if piece is None:
                self._pieces.put(None)
                return b""
            if piece:
                return piece

    def shutdown(self) -> None:
        self._pieces.put(None)

    def close(self) -> None:
        self._leave()


class AsgiAdapter(BaseAdapter):
    """Sends requests into an application; may be used from any thread.

    Args:
        app: an ASGI application.
        loop: where it runs.
    """

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._app = app
        self._loop = loop

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:  # type: ignore[override]
        pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        heads: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        gone = asyncio.Event()
        serving = asyncio.run_coroutine_threadsafe(
            self._serve(request, heads, pieces, gone), self._loop
        )
        head = heads.get(timeout=WAIT_S)
        if head is None:
            raise requests.ConnectionError(repr(serving.exception(WAIT_S)))
        response = requests.Response()
        response.status_code = head["status"]
        response.headers = CaseInsensitiveDict(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in head["headers"]
        )
        response.url = request.url or ""
        response.request = request
        response.raw = _Body(pieces, lambda: self._loop.call_soon_threadsafe(gone.set))
        return response

    def close(self) -> None:
        """Nothing is held."""

    async def _serve(self, request: Any, heads: Any, pieces: Any, gone: asyncio.Event) -> None:
        url = urlsplit(request.url)
        body = request.body or b""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": unquote(url.path),
            "raw_path": url.path.encode("ascii"),
            "root_path": "",
            "query_string": url.query.encode("ascii"),
            "headers": [
                (b"host", url.netloc.encode("ascii")),
                *((k.lower().encode(), str(v).encode()) for k, v in request.headers.items()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", url.port or 80),
        }
        given = False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if not given:
                given = True
                whole = body.encode() if isinstance(body, str) else bytes(body)
                return {"type": "http.request", "body": whole, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                heads.put(message)
            else:
                pieces.put(message.get("body", b""))

        try:
            await self._app(scope, receive, send)
        finally:
            heads.put(None)
            pieces.put(None)


@contextlib.contextmanager
def asgi_session(app: Any, url: str = "http://127.0.0.1") -> Iterator[requests.Session]:
    """Yields a session whose requests to ``url`` go into an application, started and stopped here."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        with _lifespan(app, loop), requests.Session() as session:
            session.mount(url, AsgiAdapter(app, loop))
            yield session
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


@contextlib.contextmanager
def _lifespan(app: Any, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    over = asyncio.Event()
    asked = iter(["lifespan.startup"])

    async def receive() -> dict[str, Any]:
        for kind in asked:
            return {"type": kind}
        await over.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        said.put(message["type"])

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.run_coroutine_threadsafe(app(scope, receive, send), loop)
    assert said.get(timeout=WAIT_S) == "lifespan.startup.complete"
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        running.result(WAIT_S)
