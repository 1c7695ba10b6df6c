"""What watches the server: is it alive, is it ready, what has it done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

import medsam2
from medsam2.server.bodies import answer, responses_of
from medsam2.server.metrics import Metrics
from medsam2.server.refusals import Refused
from medsam2.server.service import Service
from medsam2.wire import arrays, routes
from medsam2.wire.messages import ServerInfo, WireModel

if TYPE_CHECKING:
    from fastapi import APIRouter

TEXT = "text/plain"


def add(router: APIRouter, service: Service, metrics: Metrics) -> None:
    """Adds the handlers."""

    @router.get(routes.HEALTH, response_class=Response, responses=responses_of(TEXT))
    async def health() -> Response:
        """Whether the process lives; the one path without a token."""
        return Response("ok\n", media_type=TEXT)

    @router.get(routes.READY, response_class=Response, responses=responses_of(TEXT))
    async def ready() -> Response:
        """Whether a job could start now."""
        if service.draining:
            raise Refused("shutdown", retry_after_s=10)
        if not service.worker.ready:
            raise Refused("not_ready", service.worker.reason, retry_after_s=2)
        return Response("ready\n", media_type=TEXT)

    @router.get(routes.METRICS, response_class=Response, responses=responses_of(TEXT))
    async def counts() -> Response:
        """Prometheus text."""
        metrics.show(
            sessions=len(service.sessions),
            volumes=len(service.volumes),
            memory_bytes=service.memory_bytes,
            queue=service.desk.scheduler.length,
            worker_up=service.worker.ready,
            worker_restarts=service.worker.restarts,
        )
        return Response(metrics.render(), media_type=f"{TEXT}; version=0.0.4; charset=utf-8")

    @router.get(routes.INFO, responses=responses_of(ServerInfo))
    async def info(_request: Request) -> Response:
        """What the server is and allows."""
        model = await service.model()
        return answer(
            ServerInfo(
                routes.PROTOCOL,
                medsam2.__version__,
                service.run,
                WireModel.of(model),
                arrays.codecs(),
                service.limits.volume_bytes,
            )
        )
