"""The worker's loop: tenants take turns, one unit of work each.

A unit is one slice of a propagation or one prediction. Within a tenant predictions go first, then its
propagations in turn. Between units, messages are handled; when nothing is left to do, slices around
the latest prompts are encoded, so that the user's next step finds them ready.

Sessions here are a cache: every message about one says how to open it, and every job brings its
prompts, so a new worker takes over from a lost one without being told anything special.
"""

from __future__ import annotations

import os
import queue
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from medsam2.core.backend import (
    Backend,
    CancelToken,
    Direction,
    Session,
    SliceResult,
)
from medsam2.core.errors import CancelledError, MedSAM2Error
from medsam2.wire import prompts, records, strict
from medsam2.wire.messages import JobRequest

from .link import Header
from .openings import Openings

OUT_OF_MEMORY = {"MemoryError", "OutOfMemoryError"}
"""Python's own and torch's, which is not imported here."""

Send = Callable[[Header, bytes], None]
Inbox = queue.SimpleQueue[tuple[Header, bytes]]


class Run:
    """One job under way.

    Args:
        header: the message that brought it.
        session: where it runs.
        results: yields the slices; each step is a unit.
    """

    def __init__(self, header: Header, session: Session, results: Iterator[SliceResult]) -> None:
        self.job: str = header["job"]
        self.tenant: str = header["tenant"]
        self.session_name: str = header["session"]["name"]
        self.session = session
        self.results = results
        self.number: int = header["first"]
        self.known = {(int(n), int(index)) for n, index in header["known"]}


class Turns:
    """Everything that the worker does; use from the thread that owns the model.

    Args:
        backend: the model.
        inbox: messages of the API process.
        tokens: one for each job, made when its message arrives.
        send: answers the API process.
    """

    def __init__(
        self, backend: Backend, inbox: Inbox, tokens: dict[str, CancelToken], send: Send
    ) -> None:
        self._inbox = inbox
        self._tokens = tokens
        self._send = send
        self._openings = Openings(backend)
        self._tenants: OrderedDict[str, tuple[deque[Run], deque[Run]]] = OrderedDict()
        self._told = ""
        self._warming: deque[tuple[str, Iterator[object]]] = deque(maxlen=64)

    def run(self) -> None:
        """Works until told to stop."""
        while True:
            idle = not (self._tenants or self._warming)
            if not self._tenants:
                self._tell_turn("")
            try:
                while True:
                    header, body = self._inbox.get(block=idle)
                    idle = False
                    if header["kind"] == "stop":
                        return
                    self._handle(header, body)
            except queue.Empty:
                pass
            self._unit()

    def _handle(self, header: Header, body: bytes) -> None:
        match header["kind"]:
            case "put":
                self._tell_turn("")
                self._answer(header, lambda: self._put(header, body))
            case "job":
                self._tell_turn(header["job"])
                self._begin(header, body)
            case "remove" if not self._runs_in(header["session"]):
                self._openings.remove(header["session"], header["object"])
            case "close":
                self._close(header["session"])
            case "forget":
                self._openings.forget(header["known_hash"])

    def _answer(self, header: Header, action: Callable[[], None]) -> None:
        code, message = _outcome(action)
        answer = {"kind": "answer", "ask": header["ask"], "code": code, "message": message}
        self._send(answer, b"")

    def _put(self, header: Header, body: bytes) -> None:
        session = self._openings.open(header["session"])
        object_id = int(header["object"])
        session.put(object_id, prompts.decode(body))
        warm = getattr(session, "warm", None)
        if warm is not None:
            self._warming.append((header["session"]["name"], warm(object_id)))

    def _begin(self, header: Header, body: bytes) -> None:
        job = header["job"]
        token = self._tokens[job]

        def begin() -> None:
            session = self._openings.open(header["session"])
            start = 0
            for object_id, size in header["objects"]:
                session.put(object_id, prompts.decode(body[start : start + size]))
                start += size
            request = strict.build(JobRequest, header["request"])
            run = Run(header, session, _results(session, request, token))
            predictions, propagations = self._tenants.setdefault(run.tenant, (deque(), deque()))
            (predictions if request.kind == "predict" else propagations).append(run)

        code, message = _outcome(begin)
        if code:
            self._over(job, code, message)

    def _runs(self) -> Iterator[Run]:
        for predictions, propagations in self._tenants.values():
            yield from predictions
            yield from propagations

    def _runs_in(self, session: str) -> list[Run]:
        return [run for run in self._runs() if run.session_name == session]

    def _close(self, session: str) -> None:
        for run in self._runs_in(session):
            self._tokens[run.job].cancel()
            self._finish(run, "cancelled", "")
        for tenant in [name for name, queues in self._tenants.items() if not any(queues)]:
            del self._tenants[tenant]
        self._warming = deque((entry for entry in self._warming if entry[0] != session), maxlen=64)
        self._openings.close(session)

    def _unit(self) -> None:
        """Gives the tenant whose turn it is one unit, and the next tenant the turn after it."""
        if not self._tenants:
            self._warm()
            return
        tenant, (predictions, propagations) = next(iter(self._tenants.items()))
        self._tenants.move_to_end(tenant)
        line = predictions or propagations
        run = line[0]
        line.rotate(-1)
        self._tell_turn(run.job)
        code, message = _outcome(lambda: self._step(run))
        if code:
            self._finish(run, code, message)
        if not (predictions or propagations):
            del self._tenants[tenant]

    def _tell_turn(self, job: str) -> None:
        """Says which job to blame should this process be lost now."""
        if job != self._told:
            self._told = job
            self._send({"kind": "turn", "job": job}, b"")

    def _step(self, run: Run) -> None:
        """Makes one slice, and sends it if the API process has it not yet."""
        result = next(run.results, None)
        if result is None:
            self._finish(run, "", "")
        elif (result.object_id, result.index) not in run.known:
            run.number += 1
            made = {"object": result.object_id, "index": result.index}
            record = records.pack_slice(run.number, result)
            self._send({"kind": "slice", "job": run.job, **made}, record)

    def _finish(self, run: Run, code: str, message: str) -> None:
        for line in self._tenants[run.tenant]:
            if run in line:
                line.remove(run)
        close = getattr(run.results, "close", None)
        if close is not None:
            close()
        self._over(run.job, code, message)

    def _over(self, job: str, code: str, message: str) -> None:
        self._tokens.pop(job, None)
        state = {"": "done", "cancelled": "cancelled"}.get(code, "failed")
        over = {"kind": "over", "job": job, "state": state, "code": code, "message": message}
        self._send(over, b"")

    def _warm(self) -> None:
        """Encodes one slice around the latest prompt."""
        if self._warming:
            _, slices = self._warming[-1]
            code, _ = _outcome(lambda: next(slices))
            if code:
                self._warming.pop()


def _results(session: Session, request: JobRequest, token: CancelToken) -> Iterator[SliceResult]:
    """Yields a job's slices; nothing is computed before the first step."""
    if request.kind == "predict" and request.index is not None:
        token.check()
        yield session.predict(request.ids()[0], request.index)
        return
    yield from session.propagate(request.ids(), Direction(request.direction), token)


def _outcome(action: Callable[[], object]) -> tuple[str, str]:
    """Runs an action; returns the code and the message of its error, or nothing twice.

    A CUDA error leaves the process unusable: it ends here, and a new one takes over.
    """
    try:
        action()
    except StopIteration:
        return "exhausted", ""
    except CancelledError as error:
        return "cancelled", str(error)
    except MedSAM2Error as error:
        return error.code, str(error)
    except Exception as error:  # noqa: BLE001 (a defect must cost one job, not all of them)
        if type(error).__name__ in OUT_OF_MEMORY:
            return "out_of_memory", "The server's memory did not suffice; try a smaller ROI."
        if "CUDA" in f"{type(error).__name__} {error}":
            os._exit(70)
        return "internal", _where(error)
    return "", ""


def _where(error: Exception) -> str:
    """Names an unexpected error's type and place, without any of its data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} in {place}"
