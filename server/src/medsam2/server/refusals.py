"""How the server says no: a code, a status, one line."""

from __future__ import annotations

import math
import traceback
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsam2.core.errors import MedSAM2Error
from medsam2.wire import routes, strict
from medsam2.wire.messages import Problem
from medsam2.wire.problems import REFUSALS, status_of

from .logs import Log

if TYPE_CHECKING:
    from fastapi import FastAPI

_BY_STATUS = {404: "not_found", 405: "method", 413: "too_large"}
_LONGEST = 1000


class Refused(Exception):
    """A request that is answered with a refusal: an answer, not a failure of the server.

    Args:
        code: of :data:`medsam2.wire.problems.REFUSALS`.
        message: one line for the user, where the table's isn't enough; never what a client sent.
        retry_after_s: when to try again.
    """

    def __init__(self, code: str, message: str = "", *, retry_after_s: float | None = None) -> None:
        refusal = REFUSALS[code]
        super().__init__(message or refusal.message)
        self.code = code
        self.status = refusal.status
        self.retry_after_s = retry_after_s


def answer(code: str, status: int, message: str, retry_after_s: float | None = None) -> Response:
    """Returns a refusal as an answer."""
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = strict.to_json(Problem(code, message[:_LONGEST]))
    return Response(body, status, headers, routes.JSON)


def answer_to(error: Exception) -> Response:
    """Returns the answer for anything that a handler raised."""
    match error:
        case Refused():
            return answer(error.code, error.status, str(error), error.retry_after_s)
        case MedSAM2Error():
            return answer(error.code, status_of(error), str(error))
        case HTTPException():
            code = _BY_STATUS.get(error.status_code, "malformed")
        case ClientDisconnect():
            code = "timeout"
        case _:
            code = "internal"
    refusal = REFUSALS[code]
    return answer(code, refusal.status, refusal.message)


def install(app: FastAPI, log: Log) -> None:
    """Makes an application answer every error with its code."""
    from fastapi.exceptions import RequestValidationError

    async def known(_request: Request, error: Exception) -> Response:
        return answer_to(error)

    async def malformed(_request: Request, _error: Exception) -> Response:
        return answer_to(HTTPException(400))

    for kind in (Refused, MedSAM2Error, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_middleware(Defects, log=log)


class Defects:
    """Answers an unexpected error with 500, and logs its type and place without its text.

    Args:
        app: what may fail.
        log: told of it.
    """

    def __init__(self, app: ASGIApp, log: Log) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http":
                raise
            frames = traceback.extract_tb(error.__traceback__)
            place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""
            self._log.event("defect", error=type(error).__name__, place=place)
            if not started:
                await answer_to(error)(scope, receive, send)


class LimitedBody:
    """Refuses bodies beyond a size, by their announced or their real length.

    Args:
        app: what reads the body.
        limit: in bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._inner = app
        self._limited = RequestBodyLimitMiddleware(app, limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request; starlette's own refusal gets our body."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        replaced = False

        async def typed(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                kinds = [v for k, v in message["headers"] if k.lower() == b"content-type"]
                replaced = kinds != [routes.JSON.encode()]
                if replaced:
                    await answer_to(HTTPException(413))(scope, receive, send)
            if not replaced:
                await send(message)

        await self._limited(scope, receive, typed)
