"""What the routes ask for: volumes, sessions, prompts and jobs, within every limit.

Everything here runs on the event loop. Long work goes to threads (decoding, hashing) or to the worker
(all that needs the model).
"""

from __future__ import annotations

import asyncio
import secrets
import time

from medsam2.core.backend import ModelInfo
from medsam2.core.errors import WorkerLostError
from medsam2.wire import names
from medsam2.wire.limits import MOST_OBJECTS
from medsam2.wire.messages import (
    ObjectState,
    SessionRequest,
    SessionState,
    fingerprint,
)
from medsam2.wire.volumes import UploadState, VolumeHeader

from .budget import Budget
from .desk import Desk
from .link import Header
from .logs import Log
from .metrics import Metrics
from .objects import read_object
from .refusals import Refused
from .sessions import OpenSession, SessionStore, salted
from .settings import Settings
from .volumes import StoredVolume, VolumeStore

LOADING_S = 20.0
"""How long a request waits for a worker that is starting."""

MOST_TRIES = 4
"""How often a request is sent to another worker when the worker is lost."""

SWEEP_S = 1.0


class Service:
    """All of the server's state.

    Args:
        settings: limits and model.
        log: for events.
        metrics: for counts.
    """

    def __init__(self, settings: Settings, log: Log, metrics: Metrics) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.run = names.new_id()
        self.closing = asyncio.Event()
        self.draining = False
        self._log = log
        self._metrics = metrics
        self._salt = secrets.token_bytes(16)
        self._budget = Budget(self.limits)
        self.volumes = VolumeStore(self.limits, self._budget, self._dropped)
        self.sessions = SessionStore(self.limits)
        self.desk = Desk(settings, self.sessions, self._budget, log, metrics)
        self.worker = self.desk.worker
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes of voxels, prompts and results."""
        return self._budget.total

    def start(self) -> None:
        """Starts the worker and the sweeper; must be called on the running loop."""
        self.worker.start()
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self) -> None:
        """Ends streams and worker, and frees all memory."""
        self.close_streams()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self.worker.stop()
        for session in self.sessions:
            session.close()
        self.volumes.close()

    def close_streams(self) -> None:
        """Ends every stream with a ``shutdown`` record."""
        self.closing.set()
        self.desk.close_streams()

    async def drain(self) -> None:
        """Takes no more jobs, and waits a while for those that run."""
        self.draining = True
        self._log.event("stopping")
        deadline = time.monotonic() + self.limits.drain_s
        while self.desk.scheduler.length and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self.close_streams()

    async def model(self) -> ModelInfo:
        """The model that the worker runs.

        Raises:
            Refused: it is not loaded (``not_ready``).
        """
        if self.worker.model is None and not await self.worker.wait_ready(LOADING_S):
            raise Refused("not_ready", self.worker.reason, retry_after_s=2)
        if self.worker.model is None:
            raise Refused("not_ready", retry_after_s=2)
        return self.worker.model

    # Volumes

    async def begin_upload(self, tenant: str, sha256: str, header: VolumeHeader) -> UploadState:
        """Makes room for a volume, or tells what is there.

        Raises:
            Refused: it is too large, or there is no room.
        """
        found = self.volumes.find(tenant, sha256)
        if found is None:
            if header.size_bytes > self.limits.volume_bytes:
                most = self.limits.volume_bytes >> 20
                raise Refused("too_large", f"A volume may have {most} MiB here at most.")
            self._make_room(tenant, header.size_bytes)
            found = await self.volumes.create(tenant, sha256, header)
        if found.header != header:
            raise Refused("volume_hash")
        return found.state()

    async def write_chunk(
        self, tenant: str, sha256: str, number: int, frame: bytes | bytearray | memoryview
    ) -> UploadState:
        """Takes a chunk.

        Raises:
            Refused: the volume is unknown, or is not what was named; then it is dropped.
            WireError: the chunk is damaged.
        """
        volume = self.volumes.get(tenant, sha256)
        try:
            return await volume.write(number, frame)
        except Refused as refused:
            if refused.code == "volume_hash":
                self.volumes.drop(volume)
            raise

    def _make_room(self, tenant: str, size: int) -> None:
        """Closes idle sessions and drops unused volumes, the oldest first, until there is room."""
        for mine_only, code in ((True, "quota"), (False, "no_memory")):
            for volume in self.volumes.idle():
                if self._budget.lacks(tenant, size) != code:
                    break
                if volume.tenant == tenant or not mine_only:
                    self.volumes.drop(volume)
            for session in self.sessions.idle():
                if self._budget.lacks(tenant, size) != code:
                    break
                if session.tenant == tenant or not mine_only:
                    self._evict(session)

    def _dropped(self, volume: StoredVolume) -> None:
        known_hash = salted(self._salt, volume)
        self.worker.send({"kind": "forget", "known_hash": known_hash})

    def _evict(self, session: OpenSession) -> None:
        self.close_session(session, "evicted")
        if session.stored.complete:
            self.volumes.drop(session.stored)

    # Sessions

    async def open_session(self, tenant: str, key: str, request: SessionRequest) -> SessionState:
        """Opens a session, or tells that it is open.

        Raises:
            Refused: it is open with other options, its volume isn't there, or there are too many.
            MedSAM2Error: its geometry or window can't be used.
        """
        model = await self.model()
        found = self.sessions.find(tenant, key)
        if found is not None:
            if found.request != request:
                raise Refused("session_conflict")
            return self.session_state(found)
        volume = self.volumes.get(tenant, request.volume)
        if not volume.complete:
            raise Refused("incomplete_volume")
        session = OpenSession(
            tenant, key, request, volume, fingerprint(request, model), salted(self._salt, volume)
        )
        self._make_place(tenant)
        self.sessions.add(session)
        return self.session_state(session)

    def session_state(self, session: OpenSession) -> SessionState:
        """A session as a message."""
        held = {str(number): held.digest for number, held in sorted(session.objects.items())}
        return SessionState(session.fingerprint, held, self.run)

    def _make_place(self, tenant: str) -> None:
        mine = [session for session in self.sessions.idle() if session.tenant == tenant]
        if len(self.sessions.of(tenant)) >= self.limits.tenant_sessions:
            if not mine:
                raise Refused("quota", retry_after_s=5)
            self.close_session(mine[0], "evicted")
        elif len(self.sessions) >= self.limits.sessions:
            idle = self.sessions.idle()
            if not idle:
                raise Refused("quota", retry_after_s=5)
            self.close_session(idle[0], "evicted")

    def close_session(self, session: OpenSession, reason: str = "") -> None:
        """Closes a session and cancels its jobs."""
        for job in list(session.jobs.values()):
            self.desk.forget(session, job)
        for object_id in list(session.objects):
            self._forget_object(session, object_id)
        self.sessions.remove(session, reason)
        self.worker.send({"kind": "close", "session": session.name})
        session.close()
        if reason:
            self._metrics.evicted(reason)
            self._log.event("session_closed", session=session.key, reason=reason)

    async def put_object(
        self, session: OpenSession, object_id: int, data: bytes | bytearray
    ) -> ObjectState:
        """Sets an object's prompts, given as JSON.

        Raises:
            WireError: the message is malformed.
            PromptError: they don't fit the volume or the model; nothing was changed.
            Refused: there are too many objects, or no memory for them.
        """
        model = await self.model()
        if session.volume is None:
            raise Refused("unknown_session")
        axis = session.options.axis
        held = await asyncio.to_thread(read_object, data, session.volume, axis, model)
        if object_id not in session.objects and len(session.objects) >= MOST_OBJECTS:
            raise Refused("quota", "A session may have no more objects; remove some.")
        lacking = self._budget.lacks(session.tenant, len(held.prompts))
        if lacking:
            raise Refused(lacking, retry_after_s=5)
        await self._ask(session, {"kind": "put", "object": object_id}, held.prompts)
        if self.sessions.by_name(session.name) is not session:
            raise Refused("unknown_session")
        self._forget_object(session, object_id)
        self._budget.take(session.tenant, len(held.prompts))
        session.objects[object_id] = held
        return ObjectState(held.digest)

    def remove_object(self, session: OpenSession, object_id: int) -> None:
        """Forgets an object, if it is there."""
        if self._forget_object(session, object_id):
            self.worker.send({"kind": "remove", "session": session.name, "object": object_id})

    def _forget_object(self, session: OpenSession, object_id: int) -> bool:
        held = session.objects.pop(object_id, None)
        if held is not None:
            self._budget.give(session.tenant, len(held.prompts))
        return held is not None

    async def _ask(self, session: OpenSession, header: Header, body: bytes) -> None:
        """Asks the worker about a session, and its successor if it is lost."""
        for _ in range(MOST_TRIES):
            if not await self.worker.wait_ready(LOADING_S):
                raise Refused("not_ready", self.worker.reason, retry_after_s=2)
            if self.sessions.by_name(session.name) is not session:
                raise Refused("unknown_session")
            try:
                await self.worker.ask({**header, "session": session.opening()}, body)
            except WorkerLostError:
                continue
            return
        raise Refused("not_ready", self.worker.reason, retry_after_s=2)

    async def _sweep(self) -> None:
        """Closes what nobody uses any more."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for session in self.sessions.idle():
                if now - session.touched > self.limits.idle_s:
                    self.close_session(session, "expired")
            self.desk.forget_old()
            self.volumes.drop_abandoned()
