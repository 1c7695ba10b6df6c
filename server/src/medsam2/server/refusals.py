"""How the server says no: a code, a status, one line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from medsam2.core.errors import MedSAM2Error
from medsam2.wire import routes, strict
from medsam2.wire.messages import Problem
from medsam2.wire.problems import REFUSALS, engine_errors, error_of, status_of

from .logs import Log, place_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

_OF_HTTP = {404: "not_found", 405: "method", 413: "too_large", 415: "media_type"}
_LONGEST = 1000


class Refused(Exception):
    """A request that is answered with a refusal: an answer, not a failure of the server.

    Args:
        code: of :data:`medsam2.wire.problems.REFUSALS`, or of an error in
            :mod:`medsam2.core.errors` that may cross the wire.
        message: one line for the user, where the table's isn't enough; never what a client sent.
        retry_after_s: when to try again.

    Raises:
        KeyError: the code is neither.
    """

    def __init__(self, code: str, message: str = "", *, retry_after_s: float | None = None) -> None:
        if code not in REFUSALS and code not in engine_errors():
            raise KeyError(code)
        error = error_of(code, message)
        super().__init__(str(error))
        self.code = code
        self.status = REFUSALS[code].status if code in REFUSALS else status_of(error)
        self.retry_after_s = retry_after_s


def refused_of(error: BaseException) -> Refused:
    """Returns the refusal that an error is answered with.

    Errors of the tree keep code and text. A client that is gone took too long. All that nobody
    expected is ``internal``, and its text stays here.
    """
    match error:
        case Refused():
            return error
        case MedSAM2Error() if error.code in REFUSALS or error.code in engine_errors():
            return Refused(error.code, str(error))
        case HTTPException() if error.status_code < 500:
            return Refused(_OF_HTTP.get(error.status_code, "malformed"))
        case ClientDisconnect():
            return Refused("timeout")
    return Refused("internal")


def answer(refused: Refused) -> Response:
    """Returns a refusal as an answer: its ``Problem``, and when to try again."""
    problem = Problem(refused.code, str(refused)[:_LONGEST])
    response = Response(strict.to_json(problem), refused.status, media_type=routes.JSON)
    response.headers["Cache-Control"] = "no-store"
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(refused.retry_after_s)))
    if refused.code == "unauthorized":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def answer_to(error: Exception, log: Log) -> Response:
    """Returns the answer to an error; of one that nobody expected, type and place are logged."""
    refused = refused_of(error)
    if refused.code == "internal":
        log.event("defect", error=type(error).__name__, place=place_of(error))
    response = answer(refused)
    if isinstance(error, HTTPException) and "Allow" in (error.headers or {}):
        response.headers["Allow"] = (error.headers or {})["Allow"]
    return response


def install(app: Starlette, log: Log) -> None:
    """Makes an application answer every error with a refusal.

    Args:
        app: of FastAPI or Starlette.
        log: told of errors that nobody expected.
    """
    from fastapi.exceptions import RequestValidationError

    async def handle(_request: Request, error: Exception) -> Response:
        return answer_to(error, log)

    async def handle_parameter(_request: Request, error: Exception) -> Response:
        return answer(Refused("malformed", _which(error)))

    kinds: tuple[type[Exception], ...]
    kinds = (Refused, MedSAM2Error, HTTPException, ClientDisconnect, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(RequestValidationError, handle_parameter)


def _which(error: Any) -> str:
    """Names the parameter that can't be read; only names that the server itself declared."""
    found = error.errors()
    place: tuple[object, ...] = found[0]["loc"] if found else ()
    if len(place) < 2 or place[0] not in {"path", "query", "header"}:
        return ""
    return f"The {place[0]} parameter {place[1]} can't be read; see the protocol's document."


class LimitedBody(RequestBodyLimitMiddleware):
    """Starlette's limit on a body's size; where that answers a plain 413, ``too_large`` is sent.

    Args:
        app: what it protects.
        max_body_size: in bytes, declared or received.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on until its body grows too large."""
        replaced = False

        async def typed(message: Message) -> None:
            nonlocal replaced
            if _is_plain_413(message):
                replaced = True
                await answer(Refused("too_large"))(scope, receive, send)
            elif not replaced:
                await send(message)

        await super().__call__(scope, receive, typed)


def _is_plain_413(message: Message) -> bool:
    if message["type"] != "http.response.start" or message["status"] != 413:
        return False
    kind: bytes = dict(message["headers"]).get(b"content-type", b"")
    return kind.startswith(b"text/plain")
