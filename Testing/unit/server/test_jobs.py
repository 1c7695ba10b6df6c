from __future__ import annotations

import asyncio

from medsam2.server.jobs import Failure, Job
from medsam2.wire.messages import JobRequest
from medsam2.wire.records import End, Head, RecordReader, Slice, pack

REQUEST = JobRequest("0" * 64, {"1": "0" * 64}, "propagate")
ASKED, SESSION = "a" * 32, "b" * 64


def a_job() -> Job:
    return Job("c" * 32, "tenant", "session", REQUEST, {}, 5)


def add(job: Job, number: int) -> None:
    header = Slice(number, 1, number, 0.5, "tracked", (4, 4), None)
    job.add(1, number, pack(header))


def collect(job: Job, after: int = 0, wait_s: float = 5.0, closing=None, during=None):
    """The records of a stream, while ``during`` changes the job."""

    async def run():
        reader, got = RecordReader(), []
        task = asyncio.create_task(during()) if during else None
        stream = job.stream(ASKED, SESSION, after, wait_s, closing or asyncio.Event())
        async for piece in stream:
            got += [record for record, _ in reader.feed(piece)]
        if task:
            await task
        assert reader.pending == 0
        return got

    return asyncio.run(run())


def test_a_stream_is_a_head_the_slices_and_an_end():
    job = a_job()
    for number in (1, 2):
        add(job, number)
    job.end("done")
    head, first, second, end = collect(job)
    assert head == Head(ASKED, "c" * 32, SESSION, job.digest, 5, 0)
    assert (first.number, second.number) == (1, 2)
    assert end == End("done", 2)


def test_a_stream_goes_on_after_the_last_number_seen():
    job = a_job()
    for number in (1, 2, 3):
        add(job, number)
    job.end("done")
    assert [r.number for r in collect(job, after=2) if isinstance(r, Slice)] == [3]


def test_slices_are_passed_on_while_they_are_made():
    job = a_job()

    async def work():
        for number in (1, 2, 3):
            await asyncio.sleep(0.01)
            add(job, number)
        job.end("done")

    records = collect(job, during=work)
    assert [r.number for r in records if isinstance(r, Slice)] == [1, 2, 3]
    assert records[-1].state == "done"


def test_a_stream_ends_when_its_time_is_up_and_says_that_the_job_runs():
    job = a_job()
    add(job, 1)
    assert collect(job, wait_s=0.05)[-1] == End("running", 1)


def test_a_server_that_goes_down_says_so():
    job = a_job()
    closing = asyncio.Event()

    async def close():
        await asyncio.sleep(0.01)
        closing.set()
        job.wake()

    assert collect(job, closing=closing, during=close)[-1] == End("running", 0, shutdown=True)


def test_a_failure_is_told_with_its_code():
    job = a_job()
    job.end("failed", Failure("out_of_memory", "Full."))
    assert collect(job)[-1] == End("failed", 0, "out_of_memory", "Full.")


def test_the_first_end_counts():
    job = a_job()
    job.end("cancelled")
    job.end("done")
    assert job.state == "cancelled"
