"""Uploads."""

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
from medsam2.server.buffers import Buffers
from medsam2.server.refusals import Refused
from medsam2.server.service import Service
from medsam2.wire import names, routes
from medsam2.wire.volumes import UploadState, VolumeHeader

if TYPE_CHECKING:
    from fastapi import APIRouter

FRAME_BODY = {
    "requestBody": {
        "required": True,
        "content": {routes.FRAME: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def add(router: APIRouter, service: Service) -> None:
    """Adds the handlers."""
    buffers = Buffers()

    @router.put(
        routes.VOLUME, openapi_extra=body_of(VolumeHeader), responses=responses_of(UploadState)
    )
    async def begin(request: Request, volume: str) -> Response:
        """Begins an upload, or tells how far one is."""
        _check(volume)
        header = await read(request, VolumeHeader)
        return answer(await service.begin_upload(tenant_of(request), volume, header))

    @router.get(routes.VOLUME, responses=responses_of(UploadState))
    async def state(request: Request, volume: str) -> Response:
        """Tells how far an upload is."""
        _check(volume)
        return answer(service.volumes.get(tenant_of(request), volume).state())

    @router.put(routes.CHUNK, openapi_extra=FRAME_BODY, responses=responses_of(UploadState, 409))
    async def chunk(request: Request, volume: str, number: str) -> Response:
        """Takes a chunk."""
        _check(volume)
        check_type(request, routes.FRAME)
        service.volumes.get(tenant_of(request), volume)
        if not (number.isascii() and number.isdecimal() and len(number) <= 5):
            raise Refused("not_found")
        parts = [part async for part in request.stream()]
        with buffers.joined(parts) as frame:
            parts.clear()
            state = await service.write_chunk(tenant_of(request), volume, int(number), frame)
        return answer(state)

    @router.delete(routes.VOLUME, status_code=204, responses=responses_of(None))
    async def drop(request: Request, volume: str) -> Response:
        """Drops a volume that no session uses."""
        _check(volume)
        found = service.volumes.find(tenant_of(request), volume)
        if found is not None:
            service.volumes.drop(found)
        return nothing()


def _check(volume: str) -> None:
    if not names.is_sha256(volume):
        raise Refused("unknown_volume")
