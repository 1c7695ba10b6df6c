"""The application: what is answered where. No torch here, and none in anything it imports."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.routing import Route

import medsam2
from medsam2.wire import limits, routes
from medsam2.wire.limits import LONGEST_AXIS

from . import refusals
from .gate import Gate
from .logs import Log
from .metrics import Metrics
from .routes import jobs, sessions, state, volumes
from .service import Service
from .settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

BODY_LIMITS = {
    routes.CHUNK: LONGEST_AXIS * LONGEST_AXIS * 4 + 4096,
    routes.OBJECT: limits.MOST_OBJECT_JSON,
    routes.JOBS: limits.MOST_OBJECTS * 128,
}
"""Largest body by path, in bytes; elsewhere :data:`medsam2.wire.limits.MOST_JSON`."""


def build_app(settings: Settings, log: Log | None = None) -> FastAPI:
    """Makes the application; its lifespan starts and ends the worker.

    Args:
        settings: everything an operator decides.
        log: where events go; standard error if not given.
    """
    from fastapi import FastAPI

    log = log or Log(sys.stderr)
    metrics = Metrics()
    service = Service(settings, log, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="MedSAM2 server",
        version=medsam2.__version__,
        lifespan=lifespan,
        openapi_url="/openapi.json" if settings.dev else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    state.add(app.router, service, metrics)
    volumes.add(app.router, service)
    sessions.add(app.router, service)
    jobs.add(app.router, service)
    for route in app.routes:
        if isinstance(route, Route):
            limit = BODY_LIMITS.get(route.path, limits.MOST_JSON)
            route.app = refusals.LimitedBody(route.app, limit)
    refusals.install(app, log)
    app.add_middleware(Gate, settings=settings, run=service.run, metrics=metrics, log=log)
    app.state.service = service
    return app
