"""The gate: who may ask, from where, and in which protocol, before anything else sees a request."""

from __future__ import annotations

import ipaddress
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsam2.wire import names, routes

from .logs import Log
from .metrics import Metrics
from .refusals import Refused, answer_to
from .settings import Settings
from .tokens import TokenTable

METHODS = "DELETE", "GET", "POST", "PUT"
_LOGGED_METHODS = frozenset({*METHODS, "HEAD", "OPTIONS", "PATCH"})
_LOOPBACK = "127.0.0.1", "localhost", "::1"
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 (names to be refused)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(?::[0-9]{1,5})?")
_VERSION = re.compile("[0-9]{1,3}[.][0-9]{1,3}")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": ", ".join(
        (
            routes.AUTHORIZATION,
            "Content-Type",
            routes.REQUEST,
            routes.SESSION_ID,
            routes.PROTOCOL_VERSION,
            routes.RUN,
            routes.IDEMPOTENCY_KEY,
        )
    ),
    "Access-Control-Max-Age": "600",
}


class Gate:
    """Checks host, origin, token, protocol and run, in this order, before any routing.

    Puts the request's :class:`~medsam2.server.tokens.Tenant` at ``scope["state"]["tenant"]``, counts
    and logs each answer, and answers every error that the application let through.

    Args:
        app: the application.
        settings: names, origins and tenants.
        run: identifier of this run of the server.
        metrics: told of each answer.
        log: one line for each request.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, run: str, metrics: Metrics, log: Log
    ) -> None:
        self._app = app
        self._tenants = TokenTable(settings.tenants)
        self._hosts = {_name(host) for host in (*_LOOPBACK, settings.host, *settings.allowed_hosts)}
        self._hosts -= _EVERY_ADDRESS
        self._origins = frozenset(settings.allowed_origins)
        self._run = run
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request in, or refuses it."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        leaving = _Answer(send)
        try:
            app = self._admit(scope, headers, leaving.headers)
            await app(scope, receive, leaving.send)
        except Exception as error:
            if leaving.complete:
                return
            if leaving.status:
                raise  # a cut stream; only closing the connection tells the client
            await answer_to(error, self._log)(scope, receive, leaving.send)
        finally:
            self._record(scope, headers, leaving)

    def _admit(self, scope: Scope, headers: Headers, added: dict[str, str]) -> ASGIApp:
        """Returns what answers the request; ``added`` gets what its answer shall carry.

        Raises:
            Refused, ProtocolMismatchError: the request may not come in.
        """
        if names.is_id(request := headers.get(routes.REQUEST, "")):
            added[routes.REQUEST] = request
        if _host(headers) not in self._hosts:
            raise Refused("host")
        if "origin" in headers:
            if not self._origins.issuperset(headers.getlist("origin")):
                raise Refused("origin")
            added.update(_cors(headers["origin"]))
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                return Response(status_code=204, headers=_PREFLIGHT)
        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy in front may have seen another end of the body, and a request hidden behind it.
            added["Connection"] = "close"
            raise Refused("malformed", "A body has either a length or chunks.")
        if scope["path"] == routes.HEALTH and scope["method"] == "GET":
            return self._app
        tenant = self._tenants.find(headers.get(routes.AUTHORIZATION))
        if tenant is None:
            raise Refused("unauthorized")
        added[routes.RUN] = self._run
        scope.setdefault("state", {})["tenant"] = tenant
        self._check_versions(headers)
        return self._app

    def _check_versions(self, headers: Headers) -> None:
        theirs = headers.get(routes.PROTOCOL_VERSION, routes.PROTOCOL)
        if _VERSION.fullmatch(theirs) is None:
            raise Refused("malformed", f"{routes.PROTOCOL_VERSION} must be a version like 1.0.")
        routes.check_protocol(theirs)
        if headers.get(routes.RUN, self._run) != self._run:
            raise Refused("restarted")

    def _record(self, scope: Scope, headers: Headers, answer: _Answer) -> None:
        if answer.status:
            self._metrics.answered(answer.status, answer.head_s)
        method = scope["method"]
        fields: dict[str, object] = {
            "method": method if method in _LOGGED_METHODS else "other",
            "route": getattr(scope.get("route"), "path", "-"),
            "status": answer.status,
            "milliseconds": round(answer.elapsed_s() * 1000, 1),
        }
        session = scope.get("path_params", {}).get("session") or headers.get(routes.SESSION_ID, "")
        if names.is_id(session):
            fields["session"] = session
        if tenant := scope.get("state", {}).get("tenant"):
            fields["tenant"] = tenant.name
        self._log.event("request", **fields)


class _Answer:
    """One answer on its way: gets its headers, and is watched."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = time.perf_counter()
        self.headers = {
            routes.PROTOCOL_VERSION: routes.PROTOCOL,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        self.status = 0
        self.head_s = 0.0
        self.complete = False

    def elapsed_s(self) -> float:
        """Seconds since the request's head was there."""
        return time.perf_counter() - self._begun

    async def send(self, message: Message) -> None:
        """Passes a part on."""
        if message["type"] == "http.response.start":
            self.status, self.head_s = message["status"], self.elapsed_s()
            message.setdefault("headers", [])
            MutableHeaders(scope=message).update(self.headers)
        await self._send(message)
        if message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)


def _name(host: str) -> str:
    """A host in the one spelling that is compared."""
    bare = host.strip().lower().removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(bare).compressed
    except ValueError:
        return bare


def _host(headers: Headers) -> str | None:
    given = headers.getlist("host")
    match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    return _name(match[1]) if match else None


def _cors(origin: str) -> dict[str, str]:
    shown = (routes.REQUEST, routes.PROTOCOL_VERSION, routes.RUN, "Retry-After")
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": ", ".join(shown),
        "Vary": "Origin",
    }
