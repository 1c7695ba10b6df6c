"""The worker process: started, listened to, and replaced when it is lost.

All methods run on the event loop. A thread reads the pipe, another one writes it, so that a busy
worker never holds up the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from medsam2.core.backend import ModelInfo
from medsam2.core.errors import WorkerLostError
from medsam2.wire import strict
from medsam2.wire.messages import WireModel
from medsam2.wire.problems import error_of

from . import link
from .link import Header
from .logs import Log
from .settings import Settings
from .worker import work

BACK_OFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Waits before a new worker, by how often in a row one was lost before it was ready."""

STOP_S = 1.0
"""How long a worker may take to end by itself."""

Outbox = queue.SimpleQueue["tuple[Header, bytes] | None"]


class Supervisor:
    """Keeps one worker alive.

    Args:
        settings: the model, and how long a slice may take.
        log: for starts and losses.
        on_message: called with each message that is no answer.
        on_lost: called with the job that was being computed, or nothing, when the worker is lost.
        on_ready: called when a new worker has loaded the model.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        on_message: Callable[[Header, bytes], None],
        on_lost: Callable[[str], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._log = log
        self._on_message, self._on_lost, self._on_ready = on_message, on_lost, on_ready
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._outbox: Outbox = queue.SimpleQueue()
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._asks = 0
        self._turn = ""
        self._moved = self._started = 0.0
        self._failures = 0
        self._ready = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self._model: ModelInfo | None = None
        self.restarts = 0
        self.reason = "The model is loading."

    @property
    def ready(self) -> bool:
        """Whether the worker lives and has loaded the model."""
        return self._ready.is_set()

    @property
    def model(self) -> ModelInfo | None:
        """The model, once a worker has loaded it."""
        return self._model

    @property
    def pid(self) -> int | None:
        """The worker's process."""
        return None if self._process is None else self._process.pid

    @property
    def _busy(self) -> bool:
        """Whether the worker owes a sign of life."""
        return bool(self._turn or self._asked)

    async def wait_ready(self, seconds: float) -> bool:
        """Waits for a worker; returns whether there is one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        return self.ready

    def start(self) -> None:
        """Starts the first worker; must be called on the running loop."""
        self._spawn()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Ends the worker: politely, unless it is still loading, then by force."""
        self._stopping = True
        polite = self.ready
        self._ready.clear()
        if self._watching is not None:
            self._watching.cancel()
        self._outbox.put(({"kind": "stop"}, b""))
        process = self._process
        if process is not None and process.is_alive():
            await asyncio.to_thread(process.join, STOP_S if polite else 0.0)
            if process.is_alive():
                process.kill()
                await asyncio.to_thread(process.join, 5.0)
        self._outbox.put(None)
        self._fail_asked()

    def send(self, header: Header, body: bytes = b"") -> None:
        """Sends a message without waiting; lost with the worker."""
        if not self._busy:  # new work is no sign of life
            self._moved = time.monotonic()
        self._outbox.put((header, body))

    async def ask(self, header: Header, body: bytes = b"") -> None:
        """Sends a message and waits for the answer.

        Raises:
            MedSAM2Error: the worker's own refusal.
            WorkerLostError: the worker was lost before it answered.
        """
        self._asks += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send({**header, "ask": self._asks}, body)
        self._asked[self._asks] = future
        await future

    def kill(self) -> None:
        """Ends the worker at once; it will be replaced."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def _spawn(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._settings.factory, self._settings.model)
        process = context.Process(target=work, args=arguments, name="medsam2-worker", daemon=True)
        loop = asyncio.get_running_loop()
        self._outbox = queue.SimpleQueue()
        self._process, self._connection = process, ours
        self._turn, self._started = "", time.monotonic()
        threading.Thread(
            target=_run,
            args=(process, theirs, ours, self._outbox, loop, self._receive, self._lost),
            daemon=True,
            name="medsam2-worker-link",
        ).start()

    def _receive(self, connection: Connection, header: Header, body: bytes) -> None:
        if connection is not self._connection:
            return
        self._moved = time.monotonic()
        match header["kind"]:
            case "turn":
                self._turn = header["job"]
            case "answer":
                future = self._asked.pop(header["ask"], None)
                if future is not None and not future.done():
                    if header["code"]:
                        future.set_exception(error_of(header["code"], header["message"]))
                    else:
                        future.set_result(None)
            case "ready":
                self._model = strict.build(WireModel, header["model"]).info()
                self._failures = 0
                self._ready.set()
                self._log.event("worker_ready", pid=self.pid, device=self._model.device)
                self._on_ready()
            case "unusable":
                self.reason = header["message"]
                self._log.event("worker_unusable", code=header["code"])
            case _:
                self._on_message(header, body)

    def _lost(self, connection: Connection) -> None:
        if connection is not self._connection or self._stopping:
            return
        was_ready, turn = self.ready, self._turn
        self._ready.clear()
        self._connection = None
        self._fail_asked()
        self.restarts += 1
        if was_ready:
            self.reason = "The computing process was lost; a new one is starting."
        else:
            self._failures += 1
        self._log.event("worker_lost", seconds=round(time.monotonic() - self._started, 3))
        self._respawn_later()
        self._on_lost(turn)

    def _respawn_later(self) -> None:
        delay = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        asyncio.get_running_loop().call_later(delay, self._respawn)

    def _respawn(self) -> None:
        if self._stopping:
            return
        try:
            self._spawn()
        except (OSError, RuntimeError):  # no descriptor or no thread is left just now
            self._failures += 1
            self._respawn_later()

    def _fail_asked(self) -> None:
        for future in self._asked.values():
            if not future.done():
                future.set_exception(WorkerLostError("The computing process was lost."))
        self._asked.clear()

    async def _watch(self) -> None:
        """Replaces a worker that hangs in one slice."""
        while True:
            await asyncio.sleep(1.0)
            overdue = time.monotonic() - self._moved > self._settings.limits.slice_s
            if self.ready and overdue and self._busy:
                self._log.event("worker_overdue", pid=self.pid)
                self.kill()


def _run(
    process: SpawnProcess,
    theirs: Connection,
    ours: Connection,
    outbox: Outbox,
    loop: asyncio.AbstractEventLoop,
    receive: Callable[[Connection, Header, bytes], None],
    lost: Callable[[Connection], None],
) -> None:
    """Starts a worker and passes its messages on until it is gone; runs in a thread of its own."""
    try:
        process.start()
    except OSError:
        theirs.close()
        ours.close()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lost, ours)
        return
    theirs.close()
    writer = threading.Thread(target=_write, args=(ours, outbox), daemon=True)
    writer.start()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        try:
            while True:
                loop.call_soon_threadsafe(receive, ours, *link.receive(ours))
        except (EOFError, OSError):
            loop.call_soon_threadsafe(lost, ours)
    outbox.put(None)
    writer.join()
    ours.close()
    process.join()


def _write(connection: Connection, outbox: Outbox) -> None:
    with contextlib.suppress(OSError):
        while (message := outbox.get()) is not None:
            link.send(connection, *message)
