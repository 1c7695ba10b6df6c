"""The jobs of all sessions: taken in, sent to the worker, filled with its answers, kept for a while."""

from __future__ import annotations

import time

from medsam2.wire.messages import JobRequest
from medsam2.wire.problems import REFUSALS
from medsam2.wire.records import State

from .budget import Budget
from .jobs import Failure, Job
from .link import Header
from .logs import Log
from .metrics import Metrics
from .refusals import Refused
from .scheduler import Scheduler
from .sessions import OpenSession, SessionStore
from .settings import Settings
from .supervisor import Supervisor

MOST_LOSSES = 2
"""Times in a row that a job may lose the worker without having made anything in between."""

MOST_OVER = 8
"""Jobs of a session that are over and whose results can still be fetched."""

CANCELLED = Failure("cancelled", "Cancelled; the slices made so far were kept.")


class Desk:
    """Jobs from request to results; use from the event loop alone.

    Args:
        settings: limits.
        sessions: where jobs belong.
        budget: results count as memory.
        log: for events.
        metrics: for counts.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionStore,
        budget: Budget,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self._limits = settings.limits
        self._sessions = sessions
        self._budget = budget
        self._log = log
        self._metrics = metrics
        self._jobs: dict[str, Job] = {}
        self.scheduler = Scheduler(self._limits, self._start)
        self.worker = Supervisor(settings, log, self._message, self._lost, self._again)

    def submit(self, session: OpenSession, key: str, request: JobRequest) -> Job:
        """Takes a job, or finds it again by its key.

        Raises:
            Refused: the session or its prompts are others than the client means (``stale``), the key
                is another job's (``job_conflict``), or too many wait (``quota``, ``queue_full``).
        """
        known = session.jobs.get(key)
        if known is not None:
            if known.request != request:
                raise Refused("job_conflict")
            return known
        job = self._made(session, key, request)
        self._room_for_another(session)
        self.scheduler.submit(job)  # the worker's answers come later, on the loop
        session.jobs[key] = job
        self._jobs[job.ticket] = job
        return job

    def _made(self, session: OpenSession, key: str, request: JobRequest) -> Job:
        if request.session != session.fingerprint:
            raise Refused("stale")
        bodies, total = {}, 0
        for object_id in request.ids():
            held = session.objects.get(object_id)
            if held is None:
                raise Refused("unknown_object")
            if held.digest != request.objects[str(object_id)]:
                raise Refused("stale")
            bodies[object_id] = held.prompts
            total += held.slices
        if request.index is not None:
            total = 1
            if request.index >= session.count:
                raise Refused("malformed", f"The volume's slices are 0..{session.count - 1}.")
        return Job(key, session.tenant, session.name, request, bodies, total)

    def cancel(self, job: Job) -> None:
        """Ends a job within one slice."""
        if job.over:
            return
        job.cancelling = True
        if self.worker.ready and job in self.scheduler.running:
            self.worker.send({"kind": "cancel", "job": job.ticket})
        else:
            self._finish(job, "cancelled", CANCELLED)

    def forget(self, session: OpenSession, job: Job) -> None:
        """Cancels a job and drops its results."""
        self.cancel(job)
        if not job.over:
            self._finish(job, "cancelled", Failure("cancelled", "The session was closed."))
        session.jobs.pop(job.key, None)
        if self._jobs.pop(job.ticket, None) is not None:
            self._budget.give(job.tenant, job.bytes)

    def close_streams(self) -> None:
        """Makes every stream look up, to find that the server goes down."""
        for job in self._jobs.values():
            job.wake()

    def forget_old(self) -> None:
        """Drops results that nobody fetched for a while."""
        now = time.monotonic()
        for session in self._sessions:
            for job in list(session.jobs.values()):
                if job.over and now - job.ended > self._limits.job_kept_s:
                    self.forget(session, job)

    def _room_for_another(self, session: OpenSession) -> None:
        over = [job for job in session.jobs.values() if job.over]
        for job in over[: max(0, len(over) - MOST_OVER + 1)]:
            self.forget(session, job)

    def _start(self, job: Job) -> None:
        session = self._sessions.by_name(job.session)
        if session is None or not self.worker.ready:
            return  # a new worker gets all running jobs as soon as it is ready
        request = {**vars(job.request), "objects": dict(job.request.objects)}
        header: Header = {
            "kind": "job",
            "job": job.ticket,
            "tenant": job.tenant,
            "session": session.opening(),
            "request": request,
            "objects": [[number, len(body)] for number, body in job.objects.items()],
            "first": len(job.records),
            "known": job.made,
        }
        self.worker.send(header, b"".join(job.objects.values()))

    def _message(self, header: Header, body: bytes) -> None:
        job = self._jobs.get(header["job"])
        if job is None or job.over:
            return
        if header["kind"] == "slice":
            self._take(job, header, body)
            return
        code, message = header["code"], header["message"]
        if code == "internal":
            self._log.event("job_defect", place=message)
            message = REFUSALS["internal"].message
        self._finish(job, header["state"], Failure(code, message))

    def _take(self, job: Job, header: Header, record: bytes) -> None:
        lacking = self._budget.lacks(job.tenant, len(record))
        if lacking:
            self.worker.send({"kind": "cancel", "job": header["job"]})
            self._finish(job, "failed", Failure(lacking, REFUSALS[lacking].message))
            return
        self._budget.take(job.tenant, len(record))
        job.add(header["object"], header["index"], record)
        self._metrics.slice_made()

    def _finish(self, job: Job, state: State, failure: Failure) -> None:
        self.scheduler.finish(job)
        job.end(state, failure)
        session = self._sessions.by_name(job.session)
        if session is not None:
            session.touched = job.ended  # only from now on is it idle
        self._metrics.job_over(job.request.kind, state, job.ended - job.begun)
        self._log.event(
            "job_over",
            job=job.key,
            kind=job.request.kind,
            state=state,
            code=failure.code,
            slices=len(job.records),
            seconds=round(job.ended - job.begun, 3),
        )

    def _lost(self, ticket: str) -> None:
        """Blames the job whose unit was being computed; all others just start again."""
        job = self._jobs.get(ticket)
        if job is not None and not job.over:
            job.losses += 1
            if job.losses >= MOST_LOSSES:
                refusal = REFUSALS["worker_lost"]
                self._finish(job, "failed", Failure("worker_lost", refusal.message))

    def _again(self) -> None:
        model = self.worker.model
        if model is not None:
            self._metrics.describe(model.name, model.device)
        for job in self.scheduler.running:
            if job.cancelling:
                self._finish(job, "cancelled", CANCELLED)
            else:
                self.scheduler.again(job)
