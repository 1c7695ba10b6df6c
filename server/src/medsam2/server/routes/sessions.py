"""Sessions and the prompts of their objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from medsam2.server.bodies import (
    answer,
    body_of,
    check_type,
    nothing,
    read,
    responses_of,
    tenant_of,
)
from medsam2.server.refusals import Refused
from medsam2.server.service import Service
from medsam2.server.sessions import OpenSession
from medsam2.wire import names, prompts, routes
from medsam2.wire.messages import ObjectState, SessionRequest, SessionState

if TYPE_CHECKING:
    from fastapi import APIRouter


def session_of(service: Service, request: Request, session: str) -> OpenSession:
    """The session that a path names.

    Raises:
        Refused: it is unknown, gone, or another tenant's.
    """
    if not names.is_id(session):
        raise Refused("unknown_session")
    return service.sessions.get(tenant_of(request), session)


def add(router: APIRouter, service: Service) -> None:
    """Adds the handlers."""

    @router.put(
        routes.SESSION,
        openapi_extra=body_of(SessionRequest),
        responses=responses_of(SessionState, 409),
    )
    async def put(request: Request, session: str) -> Response:
        """Opens a session, or finds it open."""
        if not names.is_id(session):
            raise Refused("unknown_session")
        wanted = await read(request, SessionRequest)
        return answer(await service.open_session(tenant_of(request), session, wanted))

    @router.get(routes.SESSION, responses=responses_of(SessionState))
    async def get(request: Request, session: str) -> Response:
        """Tells what the session holds."""
        return answer(service.session_state(session_of(service, request, session)))

    @router.delete(routes.SESSION, status_code=204, responses=responses_of(None))
    async def close(request: Request, session: str) -> Response:
        """Closes a session."""
        found = service.sessions.find(tenant_of(request), session)
        if found is not None:
            service.close_session(found)
        return nothing()

    @router.put(
        routes.OBJECT,
        openapi_extra=body_of(prompts.WireObject),
        responses=responses_of(ObjectState),
    )
    async def put_object(request: Request, session: str, object_id: str) -> Response:
        """Sets all prompts of an object."""
        found, number = session_of(service, request, session), _number(object_id)
        check_type(request, routes.JSON)
        return answer(await service.put_object(found, number, await request.body()))

    @router.delete(routes.OBJECT, status_code=204, responses=responses_of(None))
    async def remove_object(request: Request, session: str, object_id: str) -> Response:
        """Forgets an object."""
        found, number = session_of(service, request, session), _number(object_id)
        service.remove_object(found, number)
        return nothing()


def _number(object_id: str) -> int:
    if object_id.isascii() and object_id.isdecimal() and len(object_id) <= 10:
        number = int(object_id)
        if number < 2**31 and str(number) == object_id:
            return number
    raise Refused("unknown_object")
