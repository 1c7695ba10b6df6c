"""The gate: who may ask, from where, and in which protocol, before anything else looks at a request."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsam2.core.errors import ProtocolMismatchError
from medsam2.wire import names, routes

from .logs import Log
from .metrics import Metrics
from .refusals import Refused, answer_to
from .settings import Settings
from .tokens import Tenant, TokenTable

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
METHODS = "GET, PUT, POST, DELETE"
HEADERS = (
    routes.AUTHORIZATION,
    "Content-Type",
    routes.REQUEST,
    routes.SESSION_ID,
    routes.PROTOCOL_VERSION,
    routes.RUN,
    routes.IDEMPOTENCY_KEY,
)
WILDCARDS = {"0.0.0.0", "::", ""}  # noqa: S104 (names that stand for every address)


class Gate:
    """Checks host, origin, token and versions of every request, and marks every answer.

    Args:
        app: what is behind it.
        settings: tenants, hosts and origins.
        run: of the server.
        metrics: told of every answer.
        log: told of every request.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, run: str, metrics: Metrics, log: Log
    ) -> None:
        self._app = app
        self._tokens = TokenTable(settings.tenants)
        own = () if settings.host in WILDCARDS else (settings.host,)
        bracketed = tuple(f"[{host}]" if ":" in host else host for host in own)
        named = (*LOOPBACK, *bracketed, *settings.allowed_hosts)
        self._hosts = {name.lower() for name in named}
        self._origins = set(settings.allowed_origins)
        self._run = run
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = Headers(scope=scope)
        passing = _Passing(scope, headers, send, self._run, self._origins)
        try:
            tenant = self._admitted(scope, headers)
        except (Refused, ProtocolMismatchError) as refused:
            await answer_to(refused)(scope, receive, passing.send)
        else:
            if scope["method"] == "OPTIONS" and headers.get("origin") in self._origins:
                await _preflight()(scope, receive, passing.send)
            else:
                scope.setdefault("state", {})["tenant"] = tenant
                passing.admitted = tenant is not None
                await self._app(scope, receive, passing.send)
        self._tell(scope, passing, begun)

    def _admitted(self, scope: Scope, headers: Headers) -> Tenant | None:
        """Returns the tenant; None where none is needed.

        Raises:
            Refused: the request may not pass.
            ProtocolMismatchError: its protocol is another.
        """
        if _is_ambiguous(headers):
            raise Refused("malformed", "A body has either a length or chunks.")
        if len(headers.getlist("host")) != 1 or _name(headers["host"]) not in self._hosts:
            raise Refused("host")
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            raise Refused("origin")
        if scope["path"] == routes.HEALTH and scope["method"] == "GET":
            return None
        if scope["method"] == "OPTIONS" and origin is not None:
            return None
        tenant = self._tokens.find(headers.get(routes.AUTHORIZATION))
        if tenant is None:
            raise Refused("unauthorized")
        theirs = headers.get(routes.PROTOCOL_VERSION, routes.PROTOCOL)
        if not all(part.isascii() and part.isdecimal() for part in theirs.split(".", 1)):
            raise Refused("malformed", f"{routes.PROTOCOL_VERSION} must be like 1.0.")
        routes.check_protocol(theirs)
        if headers.get(routes.RUN, self._run) != self._run:
            raise Refused("restarted")
        return tenant

    def _tell(self, scope: Scope, passing: _Passing, begun: float) -> None:
        head = passing.head_at or time.perf_counter()
        self._metrics.answered(passing.status, head - begun)
        route = getattr(scope.get("route"), "path", "")
        if route == routes.HEALTH:
            return
        tenant = scope.get("state", {}).get("tenant")
        self._log.event(
            "request",
            method=scope["method"] if scope["method"] in METHODS else "?",
            route=route,
            status=passing.status,
            milliseconds=round(1000 * (time.perf_counter() - begun), 1),
            tenant=tenant.name if tenant else "",
        )


class _Passing:
    """One answer on its way out.

    Args:
        scope: the request.
        headers: the request's.
        send: to the client.
        run: of the server, told to those who were let in.
        origins: pages that may read the answer.
    """

    def __init__(
        self, scope: Scope, headers: Headers, send: Send, run: str, origins: set[str]
    ) -> None:
        self._scope = scope
        self._send = send
        self._marks = _marks(headers, origins)
        self._run = run
        self.admitted = False
        self.status = 500
        self.head_at = 0.0

    async def send(self, message: Message) -> None:
        """Marks the answer's head."""
        if message["type"] == "http.response.start":
            self.status, self.head_at = message["status"], time.perf_counter()
            headers = MutableHeaders(scope=message)
            for name, value in self._marks.items():
                headers[name] = value
            if self.admitted:
                headers[routes.RUN] = self._run
        await self._send(message)


def _marks(headers: Headers, origins: set[str]) -> Mapping[str, str]:
    marks = {
        routes.PROTOCOL_VERSION: routes.PROTOCOL,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    request = headers.get(routes.REQUEST, "")
    if names.is_id(request):
        marks[routes.REQUEST] = request
    if _is_ambiguous(headers):
        marks["Connection"] = "close"  # what follows may be a request that somebody else hid
    origin = headers.get("origin")
    if origin in origins:
        marks |= {"Access-Control-Allow-Origin": origin or "", "Vary": "Origin"}
    return marks


def _is_ambiguous(headers: Headers) -> bool:
    """Whether a proxy in front may have understood the body's end in another way."""
    return "transfer-encoding" in headers and "content-length" in headers


def _preflight() -> Response:
    allowed = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": ", ".join(HEADERS),
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed)


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()
