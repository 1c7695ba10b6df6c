"""A job: what was asked, what was made so far, and who is told."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

from medsam2.wire import messages, records
from medsam2.wire.messages import JobRequest, JobState
from medsam2.wire.records import End, Head, State

LARGEST_PIECE = 4096
"""Bytes of small records that are sent as one."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    code: str
    message: str


class Job:
    """One job from its arrival until its results are fetched; use from the event loop alone.

    Args:
        key: the job's identifier, chosen by the client.
        tenant: whose it is.
        session: the session's identifier.
        request: what was asked.
        objects: the prompts of each object at that moment, as JSON.
        total: slices at most.
    """

    def __init__(
        self,
        key: str,
        tenant: str,
        session: str,
        request: JobRequest,
        objects: Mapping[int, bytes],
        total: int,
    ) -> None:
        self.key = key
        self.tenant = tenant
        self.session = session
        self.request = request
        self.digest = messages.prompts_digest(request)
        self.objects = dict(objects)
        self.total = total
        self.state: State = "running"
        self.failure = Failure("", "")
        self.records: list[bytes] = []
        self.made: list[tuple[int, int]] = []
        self.bytes = 0
        self.losses = 0
        self.cancelling = False
        self.begun = self.ended = time.monotonic()
        self._changed = asyncio.Event()

    @property
    def ticket(self) -> str:
        """The job's name in the worker: keys are unique within a session only."""
        return f"{self.session}/{self.key}"

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state != "running"

    def add(self, object_id: int, index: int, record: bytes) -> None:
        """Takes a slice's record, numbered by the worker."""
        self.records.append(record)
        self.made.append((object_id, index))
        self.bytes += len(record)
        self.losses = 0
        self.wake()

    def end(self, state: State, failure: Failure = Failure("", "")) -> None:
        """Ends the job; later calls change nothing."""
        if not self.over:
            self.state, self.failure, self.ended = state, failure, time.monotonic()
            self.wake()

    def wake(self) -> None:
        """Makes every stream look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def snapshot(self) -> JobState:
        """The job as a message."""
        last = len(self.records)
        return JobState(
            self.key, self.state, last, self.total, self.failure.code, self.failure.message
        )

    async def stream(
        self, request: str, session: str, after: int, wait_s: float, closing: asyncio.Event
    ) -> AsyncIterator[bytes]:
        """Yields the records after a number, until the job is over or the time is up.

        Args:
            request: the request's identifier, for the head.
            session: the session's fingerprint, for the head.
            after: number of the last record that the client has.
            wait_s: how long to wait for more.
            closing: set when the server goes down.
        """
        head = Head(request, self.key, session, self.digest, self.total, after)
        pending = [records.pack(head)]
        deadline = time.monotonic() + wait_s
        sent = after
        while True:
            changed = self._changed
            pending += self.records[sent:]
            sent = max(sent, len(self.records))
            if pending:
                for piece in _pieces(pending):
                    yield piece
                pending = []
                if len(self.records) > sent:
                    continue
            left = deadline - time.monotonic()
            if self.over or closing.is_set() or left <= 0:
                break
            if not changed.is_set():
                await _either(changed, left)
        shutdown = closing.is_set() and not self.over
        failure = self.failure
        last = len(self.records)
        yield records.pack(End(self.state, last, failure.code, failure.message, shutdown))


def _pieces(pending: Iterable[bytes]) -> Iterator[bytes]:
    """Joins small records. A reader gets whole pieces only: on a bad link, large ones never arrive."""
    piece = b""
    for record in pending:
        if piece and len(piece) + len(record) > LARGEST_PIECE:
            yield piece
            piece = b""
        piece += record
    yield piece


async def _either(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        pass
