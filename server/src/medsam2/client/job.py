"""One job, from the first request to its last slice, whatever happens on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from medsam2.core.backend import SliceResult
from medsam2.core.errors import CancelledError, ServerAnswerError, ServerError
from medsam2.wire import routes, strict
from medsam2.wire.messages import JobRequest, prompts_digest
from medsam2.wire.names import new_id
from medsam2.wire.problems import error_of
from medsam2.wire.records import End, Head

from .answer import Answer, Lost
from .http import SOON, Call
from .link import FORGOTTEN, Forgotten
from .opened import Opened
from .retry import Replays
from .stream import Asked, read_results

WAIT_S = 20
"""How long one request waits for results."""

_SHORTEST_S = 0.2
"""Requests that brought nothing follow one another no faster."""


class RemoteJob:
    """A job on a server.

    :meth:`results` is for one thread, :meth:`cancel` and :meth:`hang_up` may be called from another.

    Args:
        opened: its session.
        request: what to compute.
    """

    def __init__(self, opened: Opened, request: JobRequest) -> None:
        self._opened = opened
        self._key = new_id()
        self._body = strict.to_json(request)
        self._asked = Asked(
            self._key,
            request.session,
            prompts_digest(request),
            frozenset(request.ids()),
            opened.slice_count,
            opened.shape_rc,
            request.index,
        )
        self._request = request
        self._stop = threading.Event()
        self._patience = opened.link.patience(self._stop)
        self._replays = Replays(self._stop)
        self._seen: dict[tuple[int, int], SliceResult] = {}
        self._here: set[tuple[int, int]] = set()
        self._last = 0
        self._lock = threading.RLock()
        self._answer: Answer | None = None
        self._under_way = False
        """Whether the server has said that it has the job."""
        self._sent = False
        self._deleted = False
        self.over = False
        """Whether the server has said that the job is over."""

    def results(self) -> Iterator[SliceResult]:
        """Yields every slice once, as it arrives.

        Raises:
            CancelledError: by :meth:`cancel`, or by somebody else on the server.
            ServerAnswerError: what came belongs to something else, or contradicts what came before.
            MedSAM2Error: the job failed, or the server can't be reached any more.
        """
        forgotten: int | None = None
        while not self.over:
            generation = self._opened.generation
            try:
                if forgotten is not None:
                    self._restore(forgotten)
                    generation, forgotten = self._opened.generation, None
                yield from self._attempt()
            except Lost as lost:
                self._patience.pause(self._opened.link.lost(str(lost)))
            except Forgotten as gone:
                self._replays.again(gone.code)
                self._under_way = False
                forgotten = generation
        if self._request.kind == "predict" and len(self._seen) != 1:
            msg = "The server sent no mask for the slice; try again."
            raise ServerAnswerError(msg)

    def cancel(self) -> None:
        """Makes :meth:`results` end, and tells the server without waiting for its answer."""
        self._stop.set()
        with self._lock:
            if self.over or self._deleted or not self._under_way:
                return
            self._deleted = True
        try:
            threading.Thread(target=self._delete, name="medsam2-cancel", daemon=True).start()
        except RuntimeError:
            return  # the interpreter is going down

    def hang_up(self) -> None:
        """Ends a read that waits for the server."""
        with self._lock:
            answer = self._answer
        if answer is not None:
            answer.abort()

    def finish(self) -> None:
        """For the thread of :meth:`results`, at its end: cancels what was begun but never confirmed."""
        with self._lock:
            if not self._stop.is_set() or self.over or self._deleted or not self._sent:
                return
            self._deleted = True
        self._delete()

    def _restore(self, generation: int) -> None:
        if self._opened.digests(self._asked.object_ids) != self._request.objects:
            msg = "The prompts changed while the server lost the job; propagate again."
            raise ServerError(msg)
        self._opened.restore(generation, self._stop)
        self._patience.progress()

    def _attempt(self) -> Iterator[SliceResult]:
        """Yields what one request brings."""
        begun = time.monotonic()
        came = False
        with self._open() as answer:
            self._patience.check()
            for record in read_results(answer, self._asked, self._last):
                self._patience.check()
                match record:
                    case Head():
                        self._under_way = True
                    case SliceResult():
                        came = True
                        if self._accept(record):
                            yield record
                    case End():
                        end = record
        self._conclude(end)
        if not came and not self.over:
            self._patience.rest(_SHORTEST_S - (time.monotonic() - begun))

    def _open(self) -> Answer:
        """Starts the job, or asks how it goes on."""
        if self._under_way:
            query = f"?after={self._last}&wait={WAIT_S}"
            path = routes.RESULTS.format(session=self._opened.name, job=self._key) + query
            call = Call("GET", path, expects=routes.RECORDS, headers=self._opened.headers)
        else:
            self._last = 0
            self._here.clear()
            path = routes.JOBS.format(session=self._opened.name) + f"?wait={WAIT_S}"
            headers = {**self._opened.headers, routes.IDEMPOTENCY_KEY: self._key}
            call = Call("POST", path, self._body, expects=routes.RECORDS, headers=headers)
            with self._lock:
                self._sent, self._deleted = True, False
        answer = self._opened.link.open(call, self._patience)
        with self._lock:
            self._answer = answer
        return answer

    def _accept(self, result: SliceResult) -> bool:
        """Notes a slice; returns whether it is new."""
        place = result.object_id, result.index
        if place in self._here:
            msg = f"The server sent slice {result.index} twice; nothing of the second was used."
            raise ServerAnswerError(msg)
        self._here.add(place)
        self._last += 1
        known = self._seen.get(place)
        if known is not None:
            if known.mask_rc.bits.tobytes() != result.mask_rc.bits.tobytes():
                msg = (
                    f"The server made another mask of slice {result.index} after it had lost the "
                    "session; propagate again."
                )
                raise ServerAnswerError(msg)
            return False
        self._seen[place] = result
        self._patience.progress()
        self._replays.progress()
        return True

    def _conclude(self, end: End) -> None:
        if end.state == "running":
            if end.shutdown:
                msg = "it is going down"
                raise Lost(msg)
            self._patience.progress()
            return
        if end.state == "failed" and end.code in FORGOTTEN:
            raise Forgotten(end.code)
        with self._lock:
            self.over = True
        if end.state == "cancelled":
            raise CancelledError(end.message or "Cancelled; the slices made so far were kept.")
        if end.state == "failed":
            raise error_of(end.code or "server", end.message)

    def _delete(self) -> None:
        path = routes.JOB.format(session=self._opened.name, job=self._key)
        headers = self._opened.headers
        self._opened.link.tell(Call("DELETE", path, expects="", headers=headers, timeout_s=SOON))
