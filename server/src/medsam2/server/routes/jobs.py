"""Jobs and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from medsam2.server.bodies import answer, body_of, nothing, read, request_id, responses_of
from medsam2.server.jobs import Job
from medsam2.server.refusals import Refused
from medsam2.server.service import Service
from medsam2.server.sessions import OpenSession
from medsam2.wire import names, routes
from medsam2.wire.messages import JobRequest, JobState

from .sessions import session_of

if TYPE_CHECKING:
    from fastapi import APIRouter


def add(router: APIRouter, service: Service) -> None:
    """Adds the handlers."""

    def stream(request: Request, session: OpenSession, job: Job, after: int) -> Response:
        wait_s = min(_number(request, "wait", 0), routes.LONGEST_WAIT_S)
        if after > len(job.records):
            raise Refused("malformed", "The job has made fewer slices than that.")
        content = job.stream(
            request_id(request), session.fingerprint, after, wait_s, service.closing
        )
        return StreamingResponse(content, media_type=routes.RECORDS)

    @router.post(
        routes.JOBS,
        status_code=202,
        openapi_extra=body_of(JobRequest),
        responses=responses_of(routes.RECORDS) | responses_of(JobState, 409, status=202),
    )
    async def start(request: Request, session: str) -> Response:
        """Starts a job, or finds the one with this key; ``?wait`` gives its results at once."""
        if service.draining:
            raise Refused("shutdown", retry_after_s=10)
        found = session_of(service, request, session)
        key = request.headers.get(routes.IDEMPOTENCY_KEY, "")
        if not names.is_id(key):
            raise Refused("malformed", "A job needs an Idempotency-Key of 32 hexadecimal digits.")
        job = service.desk.submit(found, key, await read(request, JobRequest))
        if "wait" in request.query_params:
            return stream(request, found, job, 0)
        return answer(job.snapshot(), 202)

    def job_of(request: Request, session: str, job: str) -> tuple[OpenSession, Job]:
        found = session_of(service, request, session)
        if job not in found.jobs:
            raise Refused("unknown_job")
        return found, found.jobs[job]

    @router.get(routes.JOB, responses=responses_of(JobState))
    async def state(request: Request, session: str, job: str) -> Response:
        """Tells how far a job is."""
        return answer(job_of(request, session, job)[1].snapshot())

    @router.get(routes.RESULTS, response_class=Response, responses=responses_of(routes.RECORDS))
    async def results(request: Request, session: str, job: str) -> Response:
        """Streams the slices after a number, for a while."""
        found, wanted = job_of(request, session, job)
        return stream(request, found, wanted, _number(request, "after", 0))

    @router.delete(routes.JOB, status_code=204, responses=responses_of(None))
    async def cancel(request: Request, session: str, job: str) -> Response:
        """Cancels a job within one slice."""
        service.desk.cancel(job_of(request, session, job)[1])
        return nothing()


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise Refused("malformed", f"The parameter {name} must be a whole number.")
    return int(text)
