from __future__ import annotations

import pytest

from medsam2.server.jobs import Job
from medsam2.server.refusals import Refused
from medsam2.server.scheduler import Scheduler
from medsam2.server.settings import Limits
from medsam2.wire.messages import JobRequest

PROPAGATE = JobRequest("0" * 64, {"1": "0" * 64}, "propagate")
PREDICT = JobRequest("0" * 64, {"1": "0" * 64}, "predict", index=3)


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def a_scheduler(started):
    limits = Limits(queue=6, tenant_jobs=4, active_jobs=2)
    return Scheduler(limits, lambda job: started.append(job.key))


def a_job(key: str, tenant: str = "a", session: str | None = None, request=PROPAGATE) -> Job:
    return Job(key, tenant, session or f"session of {key}", request, {}, 1)


def test_a_tenant_runs_a_few_propagations_at_once_and_the_next_in_order(a_scheduler, started):
    jobs = [a_job(name) for name in "pqrs"]
    for job in jobs:
        a_scheduler.submit(job)
    assert started == ["p", "q"]
    a_scheduler.finish(jobs[1])
    assert started == ["p", "q", "r"]


def test_another_tenant_does_not_wait_for_it(a_scheduler, started):
    for name in "pqrs":
        a_scheduler.submit(a_job(name))
    a_scheduler.submit(a_job("x", "b"))
    assert started[-1] == "x"


def test_predictions_start_at_once(a_scheduler, started):
    for name in "pqr":
        a_scheduler.submit(a_job(name))
    a_scheduler.submit(a_job("click", request=PREDICT))
    assert started[-1] == "click"


def test_a_session_propagates_one_job_at_a_time(a_scheduler, started):
    first, second = a_job("p", session="s"), a_job("q", session="s")
    a_scheduler.submit(first)
    a_scheduler.submit(second)
    assert started == ["p"]
    a_scheduler.finish(first)
    assert started == ["p", "q"]


def test_a_tenant_with_too_many_jobs_is_told_when_to_try_again(a_scheduler):
    for name in "pqrs":
        a_scheduler.submit(a_job(name))
    with pytest.raises(Refused) as refused:
        a_scheduler.submit(a_job("t"))
    assert (refused.value.code, refused.value.status) == ("quota", 429)
    assert refused.value.retry_after_s


def test_a_full_queue_refuses_everybody(a_scheduler):
    for tenant in "abc":
        for name in "pq":
            a_scheduler.submit(a_job(name + tenant, tenant))
    with pytest.raises(Refused) as refused:
        a_scheduler.submit(a_job("x", "d"))
    assert (refused.value.code, refused.value.status) == ("queue_full", 503)


def test_a_waiting_job_can_be_taken_back(a_scheduler, started):
    jobs = [a_job(name) for name in "pqr"]
    for job in jobs:
        a_scheduler.submit(job)
    a_scheduler.finish(jobs[2])
    a_scheduler.finish(jobs[0])
    assert started == ["p", "q"]
    assert a_scheduler.length == 1


def test_a_running_job_starts_again_after_a_loss_and_a_finished_one_does_not(a_scheduler, started):
    job = a_job("p")
    a_scheduler.submit(job)
    a_scheduler.again(job)
    a_scheduler.finish(job)
    a_scheduler.again(job)
    assert started == ["p", "p"]
