"""Clients as plain as can be: they retry nothing, hide nothing, and cost the machine little.

The server's own client repairs whatever it can, so it would hide what these tests count. A
:class:`Visitor` speaks the protocol over one connection and refuses every answer but the expected one.
:func:`crowd` has many of them click, think, and click again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from phantoms import moving_ball
from raw_http import Answer, RawHttp

from medsam2.core.backend import SessionOptions, SliceResult
from medsam2.core.intensity import resolve_window
from medsam2.core.masks import PackedMask
from medsam2.core.prompts import BoxPrompt, ObjectPrompts, PointPrompt
from medsam2.core.volume import Volume
from medsam2.wire import arrays, names, prompts, records, routes, strict, volumes
from medsam2.wire.arrays import Codec
from medsam2.wire.messages import JobRequest, SessionRequest, SessionState
from medsam2.wire.records import End, Slice

NEVER_STOPS = SessionOptions(stop_after_empty=0)
"""A propagation through all slices, however empty random weights find them."""

SIDE = 64


class UnexpectedError(Exception):
    """An answer that no client should have got."""


class Visitor:
    """A tenant's connection; use in a ``with`` block, from one thread at a time.

    Args:
        port: of the server, on 127.0.0.1.
        token: the tenant's.
        timeout_s: for each wait.
    """

    def __init__(self, port: int, token: str, timeout_s: float = 60.0) -> None:
        self._http = RawHttp(port, timeout_s=timeout_s)
        self._authorization = f"Bearer {token}"

    def ask(
        self, method: str, target: str, body: bytes = b"", kind: str = routes.JSON, key: str = ""
    ) -> Answer:
        """Sends a request and returns whatever is answered.

        Args:
            method: of HTTP.
            target: path and query.
            body: whole.
            kind: the body's type.
            key: for the idempotency of jobs.
        """
        headers = {routes.AUTHORIZATION: self._authorization, "Content-Type": kind}
        if key:
            headers[routes.IDEMPOTENCY_KEY] = key
        return self._http.request(method, target, headers, body)

    def get(
        self, method: str, target: str, body: bytes = b"", kind: str = routes.JSON, key: str = ""
    ) -> Answer:
        """Sends a request and returns a good answer.

        Raises:
            UnexpectedError: it was refused.
        """
        answer = self.ask(method, target, body, kind, key)
        if answer.status not in {200, 202, 204}:
            msg = f"{method} {target.partition('?')[0]}: {answer.status} {answer.body[:120]!r}"
            raise UnexpectedError(msg)
        return answer

    def upload(self, volume: Volume, codec: Codec = "raw") -> str:
        """Sends a volume and returns its name."""
        wire = volumes.wire_volume(volume)
        header = volumes.header_of(wire)
        path = routes.VOLUME.format(volume=wire.content_hash)
        self.get("PUT", path, strict.to_json(header))
        for number in range(header.chunk_count):
            frame = arrays.encode(wire.voxels_kji[header.chunk(number)], codec)
            self.get("PUT", f"{path}/chunks/{number}", frame, routes.FRAME)
        return wire.content_hash

    def open(self, volume: Volume, name: str = "", key: str = "") -> Visit:
        """Opens a session.

        Args:
            volume: is uploaded first, unless it has a name already.
            name: of the uploaded volume.
            key: the session's identifier; a new one if not given.
        """
        request = session_request(volume, name or self.upload(volume))
        key = key or names.new_id()
        path = routes.SESSION.format(session=key)
        answer = self.get("PUT", path, strict.to_json(request))
        state = strict.from_json(SessionState, answer.body)
        return Visit(self, key, state.fingerprint)

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def session_request(volume: Volume, name: str) -> SessionRequest:
    """What opens a session that never stops early on an uploaded volume."""
    window = resolve_window(volume, NEVER_STOPS.window)
    return SessionRequest.of(name, volume.affine_ijk_to_ras, NEVER_STOPS, window)


class Visit:
    """A visitor's open session, with one object.

    Args:
        visitor: whose.
        key: the session's identifier.
        fingerprint: the session's.
    """

    def __init__(self, visitor: Visitor, key: str, fingerprint: str) -> None:
        self.visitor = visitor
        self.key = key
        self.fingerprint = fingerprint
        self._digests: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The session's address."""
        return routes.SESSION.format(session=self.key)

    def put(self, given: ObjectPrompts) -> None:
        """Sets the object's prompts."""
        self.visitor.get("PUT", f"{self.path}/objects/1", prompts.encode(given))
        self._digests = {"1": prompts.digest(given)}

    def adopt(self, other: Visit) -> None:
        """Takes another session's object for this one's, without telling the server."""
        self._digests = dict(other._digests)

    def ask(self, index: int | None = None, *, key: str = "", wait: bool = True) -> Answer:
        """Asks for a job, and for its results at once if ``wait``; returns whatever is answered.

        Args:
            index: of the slice to predict; all slices are propagated to if not given.
            key: the job's identifier; a new one if not given.
            wait: for the results.
        """
        kind = "propagate" if index is None else "predict"
        fields = {"session": self.fingerprint, "objects": self._digests, "kind": kind}
        request = strict.build(JobRequest, fields if index is None else fields | {"index": index})
        path = f"{self.path}/jobs" + ("?wait=30" if wait else "")
        return self.visitor.ask("POST", path, strict.to_json(request), key=key or names.new_id())

    def predict(self, index: int) -> SliceResult:
        """Predicts a slice."""
        (result,) = self.finished(self.ask(index))
        return result

    def propagate(self) -> list[SliceResult]:
        """Propagates through all slices."""
        key = names.new_id()
        return self.finished(self.ask(key=key), key)

    def finished(self, answer: Answer, key: str = "") -> list[SliceResult]:
        """Reads the results in an answer, and asks for the rest of them.

        Raises:
            UnexpectedError: it is a refusal, or the job failed.
        """
        found: list[SliceResult] = []
        for _ in range(100):
            if answer.status != 200:
                msg = f"results: {answer.status} {answer.body[:120]!r}"
                raise UnexpectedError(msg)
            results, end = stream_of(answer.body)
            found += results
            if end is None or end.state != "running":
                break
            path = f"{self.path}/jobs/{key}/results?after={len(found)}&wait=30"
            answer = self.visitor.ask("GET", path)
        if end is None or end.state != "done" or end.last != len(found):
            msg = f"the job ended so: {end}, with {len(found)} slices"
            raise UnexpectedError(msg)
        return found

    def close(self) -> None:
        """Closes the session."""
        self.visitor.get("DELETE", self.path)


def stream_of(body: bytes) -> tuple[list[SliceResult], End | None]:
    """Reads a whole stream of results."""
    found: list[SliceResult] = []
    end = None
    for record, bits in records.RecordReader().feed(body):
        if isinstance(record, Slice):
            found.append(records.result_of(record, bits))
        elif isinstance(record, End):
            end = record
    return found, end


# Many at once


@dataclasses.dataclass(frozen=True)
class Click:
    """One click and what came of it.

    Args:
        person: who clicked.
        number: of the click.
        seconds: until the mask was there.
        mask_rc: the mask.
    """

    person: int
    number: int
    seconds: float
    mask_rc: PackedMask


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a crowd met with.

    Args:
        clicks: those that succeeded.
        faults: everything else, in words.
        seconds: from the first click to the last mask.
    """

    clicks: list[Click]
    faults: list[str]
    seconds: float


def scan_of(person: int) -> Volume:
    """A person's own volume of 64 x 64 x 64."""
    return moving_ball((SIDE, SIDE, SIDE), seed=person)[0]


def script_of(person: int, clicks: int) -> Iterator[tuple[int, ObjectPrompts]]:
    """What a person clicks: slice, and the object's prompts with the new click and all before."""
    draw = random.Random(1000 + person)
    given: tuple[PointPrompt, ...] = ()
    for index in draw.sample(range(SIDE), clicks):
        point_rc = draw.uniform(24, 40), draw.uniform(24, 40)
        given = (*given, PointPrompt(index, point_rc, positive=not given or draw.random() < 0.8))
        yield index, ObjectPrompts(given)


def crowd(
    port: int, tokens: Sequence[str], people: int, clicks: int, think_s: tuple[float, float]
) -> Outcome:
    """Has many people open a session each, and then click and think in turn.

    Args:
        port: of the server.
        tokens: of the tenants; people share them in turn.
        people: how many.
        clicks: of each.
        think_s: shortest and longest time before a click.
    """
    done: list[Click] = []
    faults: list[str] = []
    first = [0.0]
    opened = threading.Barrier(people, action=lambda: first.__setitem__(0, time.monotonic()))

    def one(person: int) -> None:
        draw = random.Random(person)
        with Visitor(port, tokens[person % len(tokens)]) as visitor:
            try:
                visit = visitor.open(scan_of(person))
            finally:
                opened.wait(120)
            for number, (index, given) in enumerate(script_of(person, clicks)):
                time.sleep(draw.uniform(*think_s))
                begun = time.perf_counter()
                visit.put(given)
                result = visit.predict(index)
                seconds = time.perf_counter() - begun
                done.append(Click(person, number, seconds, result.mask_rc))
            visit.close()

    together([lambda person=person: one(person) for person in range(people)], faults)
    return Outcome(done, faults, time.monotonic() - first[0])


def together(
    actions: Sequence[Callable[[], object]], faults: list[str], timeout_s: float = 600.0
) -> None:
    """Runs actions in threads of their own and waits for all; what they raise becomes faults."""

    def run(action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 (each one is counted)
            faults.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    faults += ["an action did not end"] * sum(thread.is_alive() for thread in threads)


@contextlib.contextmanager
def propagating(port: int, token: str) -> Iterator[list[bool]]:
    """Propagates again and again, each time from another box, while the block runs.

    Yields:
        Whether each job so far was done completely; the first that wasn't is the last.
    """
    over = threading.Event()
    done: list[bool] = []

    def run(visit: Visit) -> None:
        for number in range(10_000):
            if over.is_set():
                return
            row = 20 + number % 40
            try:
                visit.put(ObjectPrompts((BoxPrompt(32, (row, 30, row + 40, 90)),)))
                done.append(len(visit.propagate()) == SIDE)
            except (OSError, UnexpectedError):
                done.append(False)
                return

    with Visitor(port, token) as visitor:
        visit = visitor.open(moving_ball((SIDE, 128, 128))[0])
        thread = threading.Thread(target=run, args=(visit,), daemon=True)
        thread.start()
        try:
            yield done
        finally:
            over.set()
            thread.join(60)
