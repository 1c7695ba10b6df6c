"""Memory stays within its budget, and nothing is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
from faults import shared_blocks
from ledger import Ledger
from load import Visitor, propagating, scan_of, script_of, together
from probes import MIB, held_bytes, slope
from raw_http import Answer
from server_process import ServerProcess, running

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import Session
from medsam2.core.prompts import ObjectPrompts, PointPrompt
from medsam2.core.volume import Volume
from medsam2.server.settings import Limits
from medsam2.wire import routes, strict
from medsam2.wire.messages import Problem

EVICTIONS = 'medsam2_evictions_total{reason="evicted"}'
SLOWLY = {**os.environ, "SLICE_S": "0.03"}
CLICK = ObjectPrompts((PointPrompt(0, (30.0, 30.0)),))


def test_idle_sessions_make_way_within_the_budget(ledger: Ledger, full: bool) -> None:
    room, size = (16, 32 * MIB) if full else (6, MIB)
    budget = room * size
    limits = Limits(memory_bytes=budget, volume_bytes=budget)
    with running(tenants=4, factory="factories:tiny", limits=limits) as server:
        user, *busy, crowd = server.tokens
        with (
            remote(server, user) as session,
            growth(server) as grown,
            propagating(server.port, busy[0]) as jobs,
            propagating(server.port, busy[1]) as more_jobs,
        ):
            mask = session.predict(1, 0).mask_rc.bits
            codes = fill(server, crowd, 3 * room, size)
            evicted, counts = counted(server, EVICTIONS), counted(server, "medsam2_memory_bytes")
            assert np.array_equal(session.predict(1, 0).mask_rc.bits, mask)
    jobs += more_jobs
    what = f"{3 * room} volumes of {size >> 20} MiB in a budget of {budget >> 20} MiB: "
    ledger.at_most(
        "P9", f"{what}API process and worker, above what they had before",
        budget / MIB + (0.15 * budget / MIB if full else 160), max(grown) / MIB, "MiB",
    )  # fmt: skip
    ledger.at_most(
        "P9",
        f"{what}voxels and results, as the server counts them",
        budget / MIB,
        counts / MIB,
        "MiB",
    )
    stay, told = codes.count(""), codes.count("evicted")
    assert evicted == told + 1  # the real client's session too, which it didn't notice
    ledger.check(
        "P9", f"{what}idle sessions that are gone and answer 410 evicted", f"all of {3 * room - stay}",
        str(told), passed=told == 3 * room - stay and 0 < stay <= room,
    )  # fmt: skip
    ledger.none("P9", f"{what}jobs lost of two sessions at work", jobs.count(False), len(jobs))


def test_expired_sessions_say_so_and_clients_restore_them(ledger: Ledger) -> None:
    limits = Limits(idle_s=1.5)
    with (
        running(factory="factories:fake", limits=limits, env=SLOWLY) as server,
        Visitor(server.port, server.token) as visitor,
        remote(server, server.token) as session,
    ):
        idle, busy = visitor.open(scan_of(0)), visitor.open(scan_of(0))
        mask = session.predict(1, 0).mask_rc.bits
        busy.put(CLICK)
        busy.propagate()
        time.sleep(1.1)
        codes = [code_of(visitor.ask("GET", visit.path)) for visit in (idle, busy)]
        again = session.predict(1, 0).mask_rc.bits
    ledger.check(
        "P9", "an idle session answers 410 expired, one that worked until just now does not",
        "expired, open", f"{codes[0]}, {codes[1] or 'open'}", passed=codes == ["expired", ""],
    )  # fmt: skip
    assert np.array_equal(again, mask)


@contextlib.contextmanager
def remote(server: ServerProcess, token: str) -> Iterator[Session]:
    """A session of the real client, with one object."""
    with (
        contextlib.closing(RemoteBackend(server.url, token)) as backend,
        backend.open(scan_of(1)) as session,
    ):
        session.put(1, CLICK)
        yield session


def fill(server: ServerProcess, token: str, count: int, size: int) -> list[str]:
    """Opens sessions on volumes of so many bytes; returns the code that each answers at the end."""
    side = 512 if size > 8 * MIB else 256
    voxels = np.random.default_rng(0).integers(
        0, 1000, (size // 2 // side**2, side, side), np.int16
    )
    with Visitor(server.port, token) as visitor:
        visits = []
        for _ in range(count):
            voxels += 1
            visits.append(visitor.open(Volume(voxels, np.eye(4))))
            visits[-1].put(CLICK)
            visits[-1].predict(0)
        return [code_of(visitor.ask("GET", visit.path)) for visit in visits]


def code_of(answer: Answer) -> str:
    """The code of a 410, nothing for a 200."""
    assert answer.status in {200, 410}, answer
    return "" if answer.status == 200 else strict.from_json(Problem, answer.body).code


def counted(server: ServerProcess, metric: str) -> int:
    """What the server itself counts."""
    with Visitor(server.port, server.token) as visitor:
        text = visitor.get("GET", routes.METRICS).body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith(f"{metric} "))
    return int(float(line.split()[-1]))


def worker_of(server: ServerProcess) -> psutil.Process:
    """The process that computes."""
    (pid,) = server.worker_pids()
    return psutil.Process(pid)


@contextlib.contextmanager
def growth(server: ServerProcess) -> Iterator[list[int]]:
    """Bytes that API process and worker hold together above what they held after a first job."""
    come_and_go(server, 0)
    both = [psutil.Process(server.pid), worker_of(server)]
    before, over = held_bytes(both), threading.Event()
    grown: list[int] = []

    def look() -> None:
        while not over.wait(0.3):
            grown.append(held_bytes(both) - before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield grown
    finally:
        over.set()
        thread.join()


def test_sessions_that_come_and_go_leave_nothing(ledger: Ledger, full: bool) -> None:
    sessions, every = (2000, 50) if full else (40, 2)
    with running(factory="factories:tiny") as server:
        worker = worker_of(server)
        faults: list[str] = []
        at_once = [functools.partial(come_and_go, server, number) for number in range(12)]
        together(at_once, faults)  # brings the server's pool of threads to its full size
        assert faults[:3] == []
        samples = []
        for number in range(1, sessions + 1):
            come_and_go(server, number)
            if number % every == 0:
                samples.append(sample(psutil.Process(server.pid), worker))
        left = blocks_left(server.pid, worker.pid)
    late = samples[len(samples) // 2 :]
    what = f"{sessions} sessions that come and go, the first half to warm up: "
    for place, process in enumerate(("API process", "worker")):
        megabytes = [sample[place].rss / MIB for sample in late]
        rise = slope(megabytes) * 100 / every
        bound, spare = (1, 0) if full else (400, 8)  # few samples say little of a busy machine
        ledger.at_most("P21", f"{what}growth of the {process}'s memory by 100", bound, rise, "MiB")
        for thing in ("files", "threads"):
            counts = [getattr(sample[place], thing) for sample in late]
            rise = min(counts[len(counts) // 2 :]) - min(counts[: len(counts) // 2])
            ledger.at_most(
                "P21", f"{what}more {thing} of the {process} in the last quarter", spare, rise
            )
    ledger.none("P21", f"{what}blocks left in /dev/shm", left)


def blocks_left(*pids: int) -> int:
    """Blocks of shared memory that stay; freeing goes on for a moment after the answer."""
    for _ in range(40):
        left = len(set().union(*map(shared_blocks, pids)))
        if not left:
            break
        time.sleep(0.05)
    return left


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a process holds: bytes of memory, open files, threads."""

    rss: int
    files: int
    threads: int


def sample(*processes: psutil.Process) -> list[Sample]:
    """Looks at processes."""
    return [Sample(p.memory_info().rss, p.num_fds(), p.num_threads()) for p in processes]


def come_and_go(server: ServerProcess, number: int) -> None:
    """Connects, uploads one of sixteen volumes, clicks, now and then propagates, and tidies up.

    Those at work at once have volumes of their own: whoever tidies up first would drop a shared one
    in the middle of another's upload.
    """
    with Visitor(server.port, server.tokens[0]) as visitor:
        volume = scan_of(number % 16)
        name = visitor.upload(volume)
        visit = visitor.open(volume, name)
        index, given = next(script_of(number, 1))
        visit.put(given)
        visit.predict(index)
        if number % 10 == 0:
            visit.propagate()
        visit.close()
        visitor.get("DELETE", routes.VOLUME.format(volume=name))
