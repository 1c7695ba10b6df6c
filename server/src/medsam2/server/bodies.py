"""Messages in requests and answers: read strictly, written without anything extra."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from medsam2.wire import names, routes, schema, strict

from .refusals import Refused
from .tokens import Tenant

Message = TypeVar("Message")

LARGE = 64 << 10
"""Bodies beyond this are read in a thread, so that the event loop goes on."""


def tenant_of(request: Request) -> str:
    """The name of the tenant whose token the request carries."""
    tenant: Tenant = request.state.tenant
    return tenant.name


def request_id(request: Request) -> str:
    """The request's identifier, or a new one."""
    given = request.headers.get(routes.REQUEST, "")
    return given if names.is_id(given) else names.new_id()


def check_type(request: Request, wanted: str) -> None:
    """Refuses a body of another type.

    Raises:
        Refused: ``media_type``.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise Refused("media_type", f"The body must be {wanted}.")


async def read(request: Request, kind: type[Message]) -> Message:
    """Reads a request's JSON body.

    Raises:
        Refused: it is of another type.
        WireError: it is not this message.
    """
    check_type(request, routes.JSON)
    data = await request.body()
    if len(data) > LARGE:
        return await asyncio.to_thread(strict.from_json, kind, data)
    return strict.from_json(kind, data)


def answer(message: object, status: int = 200) -> Response:
    """Returns a message as an answer."""
    return Response(strict.to_json(message), status, media_type=routes.JSON)


def nothing() -> Response:
    """Returns an empty answer: it is as was asked."""
    return Response(status_code=204)


def body_of(kind: Any) -> dict[str, Any]:
    """The OpenAPI description of a JSON body."""
    content = {routes.JSON: {"schema": schema.schema(kind)}}
    return {"requestBody": {"required": True, "content": content}}


def responses_of(kind: Any, *more: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of answers.

    Args:
        kind: a message, the media type of an answer that isn't JSON, or None for an empty one.
        more: statuses of refusals beside the usual ones.
        status: of the answer.
    """
    from medsam2.wire.messages import Problem

    found: dict[int | str, dict[str, Any]] = {}
    if isinstance(kind, str):
        found[status] = {"description": "As asked.", "content": {kind: {"schema": {}}}}
    elif kind is not None:
        found[status] = {"description": kind.__name__, **_content(kind)}
    statuses = {400, 401, 403, 404, 408, 410, 413, 415, 422, 426, 429, 500, 503, 507, *more}
    refusal = {"description": "Problem", **_content(Problem)}
    return found | dict.fromkeys(sorted(statuses), refusal)


def _content(message: Any) -> dict[str, Any]:
    return {"content": {routes.JSON: {"schema": schema.schema(message)}}}
