"""Whose turn it is: propagations wait here until their tenant may start another one.

Within the worker, tenants take turns unit by unit (a unit is one slice, or one prediction), so a
tenant's many jobs delay only the tenant's own. Predictions don't wait here at all.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from .jobs import Job
from .refusals import Refused
from .settings import Limits


class Scheduler:
    """Starts jobs in order, a few at once for each tenant; use from the event loop alone.

    Args:
        limits: queue lengths.
        start: called with each job whose turn has come.
    """

    def __init__(self, limits: Limits, start: Callable[[Job], None]) -> None:
        self._limits = limits
        self._start = start
        self._waiting: dict[str, deque[Job]] = {}
        self._running: dict[str, Job] = {}
        self._count: Counter[str] = Counter()

    @property
    def length(self) -> int:
        """Jobs that wait or run."""
        return self._count.total()

    @property
    def running(self) -> list[Job]:
        """Jobs that were started and are not over."""
        return list(self._running.values())

    def submit(self, job: Job) -> None:
        """Queues a job.

        Raises:
            Refused: too many wait, of all (``queue_full``) or of the tenant (``quota``).
        """
        if self._count[job.tenant] >= self._limits.tenant_jobs:
            raise Refused("quota", retry_after_s=1)
        if self.length >= self._limits.queue:
            raise Refused("queue_full", retry_after_s=1)
        self._count[job.tenant] += 1
        self._waiting.setdefault(job.tenant, deque()).append(job)
        self._advance(job.tenant)

    def again(self, job: Job) -> None:
        """Starts a running job once more, after the worker was lost."""
        if job.ticket in self._running:
            self._start(job)

    def finish(self, job: Job) -> None:
        """Takes a job off; the tenant's next one starts."""
        waiting = self._waiting.get(job.tenant, deque())
        if self._running.pop(job.ticket, None) is None:
            if job not in waiting:
                return
            waiting.remove(job)
        self._count[job.tenant] -= 1
        if not self._count[job.tenant]:
            del self._count[job.tenant]
        self._advance(job.tenant)

    def _advance(self, tenant: str) -> None:
        waiting = self._waiting.get(tenant, deque())
        for job in list(waiting):
            if job.request.kind == "predict" or self._may_start(job):
                waiting.remove(job)
                self._running[job.ticket] = job
                self._start(job)
        if not waiting:
            self._waiting.pop(tenant, None)

    def _may_start(self, job: Job) -> bool:
        """Whether a propagation may start: few of its tenant run, and none in its session."""
        others = [
            other
            for other in self._running.values()
            if other.tenant == job.tenant and other.request.kind == "propagate"
        ]
        sessions = {other.session for other in others}
        return len(others) < self._limits.active_jobs and job.session not in sessions
