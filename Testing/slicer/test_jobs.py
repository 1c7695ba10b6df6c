"""The worker thread of the module: what it delivers, when and where, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import standin
from compute_rooms import MODULE

ENDING = """
import sys, time
sys.path.insert(0, {module!r})
from MedSAM2SlicerLib.Jobs import Jobs
jobs = Jobs()
def work(job):
    while not job.cancelled:
        time.sleep(0.02)
    time.sleep(0.3)
    print("ended by itself", flush=True)
jobs.submit(work)
time.sleep(0.1)
{end}
"""


@pytest.mark.parametrize(
    "end", ["jobs.stop()", "", "jobs.stop(lambda: print('closed', flush=True))"]
)
def test_python_ends_only_after_the_worker_has(repository, end):
    code = ENDING.format(module=str(repository / "MedSAM2Slicer"), end=end)
    begun = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert answer.stdout.split("\n")[0] == "ended by itself"
    assert ("closed" in answer.stdout) == ("closed" in end)
    assert answer.stderr == ""
    assert time.monotonic() - begun < 8


@pytest.fixture
def jobs():
    from MedSAM2SlicerLib.Jobs import Jobs

    assert MODULE.is_dir()
    made = Jobs()
    yield made
    made.stop()


def poll_until(jobs, done):
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        jobs.poll()
        time.sleep(0.001)


def test_events_are_delivered_in_order_in_the_thread_that_polls_and_never_before(jobs):
    seen = []

    def note(kind):
        return lambda value: seen.append((kind, value, threading.current_thread()))

    def work(job):
        for number in range(3):
            job.emit(number)
        return "made", threading.current_thread()

    job = jobs.submit(work, note("event"), note("done"), note("error"))
    time.sleep(0.1)
    assert seen == []
    assert jobs.busy
    poll_until(jobs, lambda: job.finished)
    assert [(kind, value) for kind, value, _ in seen[:3]] == [("event", n) for n in range(3)]
    assert seen[3][:2] == ("done", ("made", seen[3][1][1]))
    assert seen[3][1][1] is not threading.main_thread()
    assert {thread for *_, thread in seen} == {threading.main_thread()}
    assert not jobs.busy


def test_work_that_raises_is_an_error_and_the_next_work_is_done(jobs):
    errors, results = [], []
    jobs.submit(lambda _: 1 // 0, onError=errors.append)
    jobs.submit(lambda _: "fine", onDone=results.append)
    poll_until(jobs, lambda: results)
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_work_that_is_cancelled_before_its_turn_is_not_begun(jobs):
    from MedSAM2SlicerLib.Jobs import JobCancelled

    begun, errors, hold = [], [], threading.Event()
    jobs.submit(lambda _: hold.wait(5))
    job = jobs.submit(lambda _: begun.append(1), onError=errors.append)
    job.cancel()
    hold.set()
    poll_until(jobs, lambda: errors)
    assert begun == []
    assert [type(error) for error in errors] == [JobCancelled]


def test_whoever_asks_for_it_hears_of_a_cancel_also_of_one_that_is_past(jobs):
    heard, hold = [], threading.Event()
    job = jobs.submit(lambda _: hold.wait(5))
    job.onCancel(lambda: heard.append("first"))
    job.cancel()
    job.onCancel(lambda: heard.append("second"))
    hold.set()
    assert heard == ["first", "second"]


def test_one_poll_takes_no_longer_than_it_may(jobs):
    seen = []

    def take(number):
        time.sleep(0.005)
        seen.append(number)

    job = jobs.submit(lambda job: [job.emit(number) for number in range(100)], onEvent=take)
    time.sleep(0.1)
    begun = time.monotonic()
    jobs.poll(0.02)
    assert time.monotonic() - begun < 0.1
    assert 0 < len(seen) < 50
    poll_until(jobs, lambda: job.finished)
    assert seen == list(range(100))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no usleep")
def test_the_worker_is_lent_the_lock_that_the_main_thread_keeps(jobs):
    def work(_):
        for _ in range(300):
            time.sleep(0.0002)  # lets go of the lock and takes it again, as torch and sockets do

    job, begun = jobs.submit(work), time.monotonic()
    while not job.finished:
        jobs.poll()
        jobs.giveWay(0.015)
        standin.clock.sleep_with_the_lock(0.02)
    assert time.monotonic() - begun < 3  # 300 waits for the main thread take 6 s


def test_nobody_waits_for_a_worker_that_has_no_work(jobs):
    begun = time.monotonic()
    jobs.giveWay(5.0)
    assert time.monotonic() - begun < 1


def test_nothing_is_delivered_after_the_end_and_the_last_thing_is_done_in_the_worker(jobs):
    seen, ended = [], threading.Event()

    def work(job):
        while not job.cancelled:
            job.emit(1)
            time.sleep(0.001)

    jobs.submit(work, seen.append, seen.append, seen.append)
    time.sleep(0.05)
    jobs.stop(ended.set)
    assert ended.wait(5)
    jobs.poll()
    assert seen == []
    results = []
    jobs.submit(lambda _: "again", onDone=results.append)
    poll_until(jobs, lambda: results)
