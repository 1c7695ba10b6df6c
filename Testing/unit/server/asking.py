"""Requests to an ASGI application without a network."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

from starlette.types import ASGIApp


@dataclasses.dataclass
class Answered:
    """What an application sent; ``status`` 0 if it sent nothing."""

    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return json.loads(self.body)["code"]


def ask(
    app: ASGIApp,
    path: str = "/",
    method: str = "GET",
    *,
    headers: list[tuple[str, str]] | dict[str, str] | None = None,
    body: bytes = b"",
    gone: bool = False,
) -> Answered:
    """Sends one request; ``gone`` is a client that hangs up before its body is sent."""
    pairs = list(headers.items() if isinstance(headers, dict) else headers or [])
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1527),
        "state": {},
    }
    answered = Answered()
    parts = [body[n : n + 1000] for n in range(0, len(body), 1000)] or [b""]

    async def receive() -> dict[str, Any]:
        if gone or not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert answered.status == 0, "two answers to one request"
            answered.status = message["status"]
            answered.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answered.body += message.get("body", b"")

    asyncio.run(app(scope, receive, send))
    return answered
