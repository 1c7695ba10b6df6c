from __future__ import annotations

import queue
import threading

import pytest
import torch
from fake_backend import FakeBackend
from phantoms import moving_ball

from medsam2.core.backend import CancelToken, SessionOptions
from medsam2.core.errors import OutOfMemoryError
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.server.link import Header
from medsam2.server.shared import SharedVoxels
from medsam2.server.turns import Turns
from medsam2.wire import prompts, records, strict, volumes
from medsam2.wire.messages import SessionRequest

BOX = ObjectPrompts((BoxPrompt(4, (20, 20, 44, 44)),))


class Bench:
    """A worker's loop in a thread, fed by hand."""

    def __init__(self, backend: FakeBackend) -> None:
        self.inbox: queue.SimpleQueue[tuple[Header, bytes]] = queue.SimpleQueue()
        self.tokens: dict[str, CancelToken] = {}
        self.sent: queue.SimpleQueue[tuple[Header, bytes]] = queue.SimpleQueue()
        volume, _ = moving_ball()
        self.volume = volumes.wire_volume(volume)
        self.voxels = SharedVoxels(volumes.header_of(self.volume))
        self.voxels.array_kji[:] = self.volume.voxels_kji
        turns = Turns(backend, self.inbox, self.tokens, lambda *message: self.sent.put(message))
        self.thread = threading.Thread(target=turns.run)
        self.thread.start()

    def opening(self, name: str) -> Header:
        options = SessionOptions()
        window = FakeBackend().open(self.volume, options).window
        request = SessionRequest.of("0" * 64, self.volume.affine_ijk_to_ras, options, window)
        header = self.voxels.header
        return {
            "name": name,
            "block": self.voxels.name,
            "dtype": header.dtype,
            "shape": list(header.shape),
            "known_hash": name,
            "request": strict.parse(strict.to_json(request)),
        }

    def job(self, name: str, tenant: str = "a", *, index: int | None = None, known=()) -> None:
        body = prompts.encode(BOX)
        request = {
            "session": "0" * 64,
            "objects": {"1": "0" * 64},
            "kind": "propagate" if index is None else "predict",
            "index": index,
        }
        self.tokens[name] = CancelToken()
        header = {
            "kind": "job",
            "job": name,
            "tenant": tenant,
            "session": self.opening(f"session of {tenant}"),
            "request": request,
            "objects": [[1, len(body)]],
            "first": len(known),
            "known": [[1, n] for n in known],
        }
        self.inbox.put((header, body))

    def until_over(self, *jobs: str) -> list[tuple[Header, bytes]]:
        got: list[tuple[Header, bytes]] = []
        left = set(jobs)
        while left:
            message = self.sent.get(timeout=10)
            got.append(message)
            if message[0]["kind"] == "over":
                left.discard(message[0]["job"])
        return got

    def close(self) -> None:
        self.inbox.put(({"kind": "stop"}, b""))
        self.thread.join(10)
        self.voxels.close()


@pytest.fixture
def gate():
    """Holds every slice until it is set."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def a_bench(gate):
    backend = FakeBackend(on_slice=lambda _: gate.wait(10))
    bench = Bench(backend)
    yield bench
    gate.set()
    bench.close()


def slices(messages, job=None):
    return [h for h, _ in messages if h["kind"] == "slice" and job in {None, h["job"]}]


def test_a_propagation_sends_every_slice_once_and_then_its_end(a_bench, gate):
    gate.set()
    a_bench.job("j")
    messages = a_bench.until_over("j")
    assert sorted(h["index"] for h in slices(messages)) == list(range(12))
    (record, body) = next(
        records.RecordReader().feed(next(b for h, b in messages if h["kind"] == "slice"))
    )
    assert record.number == 1
    expected = FakeBackend().open(a_bench.volume)
    expected.put(1, BOX)
    assert (
        records.result_of(record, body).mask_rc.bits
        == expected.predict(1, record.index).mask_rc.bits
    ).all()


def test_two_tenants_take_turns_slice_by_slice(a_bench, gate):
    a_bench.job("a1", "a")
    a_bench.job("a2", "a")
    a_bench.job("b1", "b")
    gate.set()
    messages = a_bench.until_over("a1", "a2", "b1")
    order = [h["job"][0] for h in slices(messages)]
    middle = order[4:20]
    assert 6 <= middle.count("b") <= 10
    assert order.index("b") < 4


def test_a_prediction_goes_before_its_tenants_propagations(a_bench, gate):
    a_bench.job("long")
    a_bench.job("click", index=3)
    gate.set()
    messages = a_bench.until_over("long", "click")
    order = [h["job"] for h in slices(messages)]
    assert order.index("click") <= 2


def test_a_cancelled_job_makes_at_most_one_more_slice(a_bench, gate):
    a_bench.job("j")
    while a_bench.sent.get(timeout=10)[0].get("job") != "j":
        pass
    a_bench.tokens["j"].cancel()
    gate.set()
    messages = a_bench.until_over("j")
    assert len(slices(messages)) <= 1
    assert messages[-1][0]["state"] == "cancelled"


def test_slices_that_are_known_are_not_sent_again(a_bench, gate):
    gate.set()
    a_bench.job("j", known=[4, 3, 5])
    messages = a_bench.until_over("j")
    assert len(slices(messages)) == 9
    numbers = [
        next(records.RecordReader().feed(b))[0].number for h, b in messages if h["kind"] == "slice"
    ]
    assert numbers == list(range(4, 13))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("full"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("secret"), "internal"),
    ],
)
def test_an_error_ends_its_own_job_only(error, code):
    def fail(index: int) -> None:
        if index == 6 and not failed:
            failed.append(index)
            raise error

    failed: list[int] = []
    bench = Bench(FakeBackend(on_slice=fail))
    try:
        bench.job("bad", "a")
        bench.job("good", "b")
        over = {h["job"]: h for h, _ in bench.until_over("bad", "good") if h["kind"] == "over"}
    finally:
        bench.close()
    by_state = sorted((h["state"], h["code"]) for h in over.values())
    assert by_state == [("done", ""), ("failed", code)]
    assert all("secret" not in h["message"] for h in over.values())


def test_closing_a_session_ends_its_jobs(a_bench, gate):
    a_bench.job("j")
    a_bench.inbox.put(({"kind": "close", "session": "session of a"}, b""))
    gate.set()
    messages = a_bench.until_over("j")
    assert messages[-1][0]["state"] == "cancelled"
    a_bench.job("later")
    assert a_bench.until_over("later")[-1][0]["state"] == "done"


def test_wrong_prompts_are_answered_with_the_engines_error(a_bench):
    bad = prompts.encode(ObjectPrompts((BoxPrompt(99, (1, 1, 5, 5)),)))
    session = a_bench.opening("s")
    a_bench.inbox.put(({"kind": "put", "ask": 7, "session": session, "object": 1}, bad))
    while (message := a_bench.sent.get(timeout=10)[0])["kind"] != "answer":
        pass
    assert (message["ask"], message["code"]) == (7, "outside_volume")
