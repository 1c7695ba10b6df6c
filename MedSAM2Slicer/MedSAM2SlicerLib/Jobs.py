"""Long work off the main thread: one worker, a queue each way, results delivered by polling.

Slicer's own pattern: nothing here touches Qt or MRML, the worker never calls back by itself. A timer
of the main thread calls :meth:`Jobs.poll`, and only inside that call do callbacks run, so they may
change the scene. One thread for everything keeps the GPU libraries' per-thread caches warm.

Slicer's main thread keeps Python's lock while it waits for events, so the same timer has to lend it to
the worker, by :meth:`Jobs.giveWay`.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

Work = Callable[["Job"], Any]
Callback = Callable[[Any], Any]

POLL_BUDGET_SECONDS = 0.02
EXIT_SECONDS = 10.0
"""How long Python's end waits for a worker: killed inside torch, it would take Slicer down with it."""


class JobCancelled(Exception):
    """Raised in the worker by :meth:`Job.checkCancelled`."""


class Job:
    """One piece of work and where its events go; made by :meth:`Jobs.submit`."""

    def __init__(
        self,
        work: Work,
        deliver: Callable[[Job, str, Any], None],
        callbacks: dict[str, Callback | None],
    ) -> None:
        self._work = work
        self._deliver = deliver
        self._callbacks = callbacks
        self._cancelled = threading.Event()
        self._onCancel: list[Callable[[], None]] = []
        self.finished = False
        """Whether its last callback was delivered (main thread)."""

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called; any thread."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Asks the work to end; its ``onError`` still comes. Any thread."""
        self._cancelled.set()
        for callback in tuple(self._onCancel):
            callback()

    def onCancel(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` when the job is cancelled, at once if it was; any thread."""
        self._onCancel.append(callback)
        if self.cancelled:
            callback()

    def checkCancelled(self) -> None:
        """Raises :class:`JobCancelled` once cancelled; worker thread."""
        if self.cancelled:
            msg = "Cancelled."
            raise JobCancelled(msg)

    def emit(self, event: Any) -> None:
        """Sends an event to ``onEvent``; worker thread."""
        self._deliver(self, "onEvent", event)

    def run(self) -> None:
        """Does the work; called by the worker."""
        try:
            self.checkCancelled()
            result = self._work(self)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the main thread must hear of it)
            self._deliver(self, "onError", error)
        else:
            self._deliver(self, "onDone", result)

    def receive(self, kind: str, payload: Any) -> None:
        """Calls the callback of that kind; main thread."""
        self.finished = self.finished or kind != "onEvent"
        callback = self._callbacks.get(kind)
        if callback is not None:
            callback(payload)


class Jobs:
    """The worker thread and its two queues.

    Example::

        jobs = Jobs()
        job = jobs.submit(lambda job: slow(), onDone=show, onError=report)
        ...
        jobs.poll()  # by a timer

    The thread starts with the first job and ends with :meth:`stop`.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._deliveries: queue.SimpleQueue[tuple[Job, str, Any]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open: list[Job] = []

    @property
    def busy(self) -> bool:
        """Whether a job's last callback is still to come."""
        return bool(self._open)

    def submit(
        self,
        work: Work,
        onEvent: Callback | None = None,
        onDone: Callback | None = None,
        onError: Callback | None = None,
    ) -> Job:
        """Queues ``work(job)``; callbacks run inside :meth:`poll`. Main thread."""
        callbacks = {"onEvent": onEvent, "onDone": onDone, "onError": onError}
        deliveries = self._deliveries
        job = Job(work, lambda *delivery: deliveries.put(delivery), callbacks)
        self._open.append(job)
        if self._thread is None:
            self._thread = threading.Thread(
                target=_serve, args=(self._waiting,), name="MedSAM2Slicer", daemon=True
            )
            self._thread.start()
            atexit.register(self._atExit, self._thread)
        self._waiting.put(job)
        return job

    def poll(self, budgetSeconds: float = POLL_BUDGET_SECONDS) -> None:
        """Delivers what the worker sent, for at most about ``budgetSeconds``. Main thread."""
        deadline = time.monotonic() + budgetSeconds
        while time.monotonic() < deadline:
            try:
                job, kind, payload = self._deliveries.get_nowait()
            except queue.Empty:
                return
            if kind != "onEvent" and job in self._open:
                self._open.remove(job)
            job.receive(kind, payload)

    def giveWay(self, seconds: float) -> None:
        """Lends Python's lock to the worker for so long, if it has work. Main thread.

        In Slicer the worker would otherwise have it only in the moments in which a slot of the main
        thread runs, and wait for the next such moment after every call into torch or a socket.
        """
        if self.busy and seconds > 0:
            time.sleep(seconds)

    def stop(self, last: Callable[[], Any] | None = None) -> None:
        """Cancels everything and lets the thread end; what it sends from now on is not delivered.

        Args:
            last: called in the worker as the last thing it does.
        """
        for job in self._open:
            job.cancel()
        self._open.clear()
        if last is not None and self._thread is not None:
            self._waiting.put(Job(lambda _: last(), lambda *_: None, {}))
        self._waiting.put(None)
        self._thread = None
        self._waiting, self._deliveries = queue.SimpleQueue(), queue.SimpleQueue()

    def _atExit(self, thread: threading.Thread) -> None:
        self.stop()
        thread.join(EXIT_SECONDS)


def _serve(waiting: queue.SimpleQueue[Job | None]) -> None:
    while (job := waiting.get()) is not None:
        job.run()
