"""Open sessions, by tenant and the identifier that the client chose."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator

from medsam2.core.backend import SessionOptions
from medsam2.wire.messages import SessionRequest

from .jobs import Job
from .link import Header
from .refusals import Refused
from .settings import Limits
from .shared import SharedVolume, shared_volume
from .volumes import StoredVolume

MOST_TOMBSTONES = 10_000


@dataclasses.dataclass(frozen=True)
class HeldObject:
    """An object's prompts: as JSON, and their digest."""

    prompts: bytes
    digest: str
    slices: int


class OpenSession:
    """One session; use from the event loop alone.

    Args:
        tenant: whose it is.
        key: its identifier.
        request: what it was opened with.
        volume: its voxels.
        fingerprint: of all that its results depend on but the prompts.
        known_hash: names the volume in the worker; see :func:`salted`.
    """

    def __init__(
        self,
        tenant: str,
        key: str,
        request: SessionRequest,
        volume: StoredVolume,
        fingerprint: str,
        known_hash: str,
    ) -> None:
        self.tenant = tenant
        self.key = key
        self.request = request
        self.stored = volume
        self.fingerprint = fingerprint
        self.options: SessionOptions = request.options()
        self._known_hash = known_hash
        self.volume: SharedVolume | None = shared_volume(
            volume.voxels, request.affine(), self._known_hash
        )
        self.objects: dict[int, HeldObject] = {}
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.touched = time.monotonic()

    @property
    def name(self) -> str:
        """The session's name in the worker, where sessions of all tenants live."""
        return f"{self._known_hash[:16]}-{self.key}"

    @property
    def count(self) -> int:
        """Number of slices."""
        return int(self.stored.header.shape[self.options.axis.value])

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return any(not job.over for job in self.jobs.values())

    def opening(self) -> Header:
        """All that the worker needs to open the session."""
        header = self.stored.header
        return {
            "name": self.name,
            "block": self.stored.voxels.name,
            "dtype": header.dtype,
            "shape": list(header.shape),
            "known_hash": self._known_hash,
            "request": dataclasses.asdict(self.request),
        }

    def close(self) -> None:
        """Lets go of the voxels."""
        self.volume = None
        self.stored.users.discard(self.name)


def salted(salt: bytes, volume: StoredVolume) -> str:
    """A volume's name in the worker's caches: its tenant's own, and another one in every run."""
    parts = salt, volume.tenant.encode(), volume.sha256.encode()
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


class SessionStore:
    """All sessions, and why those that are gone were closed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[tuple[str, str], OpenSession] = {}
        self._names: dict[str, OpenSession] = {}
        self._gone: OrderedDict[tuple[str, str], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[OpenSession]:
        return iter(list(self._sessions.values()))

    def find(self, tenant: str, key: str) -> OpenSession | None:
        """Returns a tenant's session and marks it as used."""
        session = self._sessions.get((tenant, key))
        if session is not None:
            session.touched = time.monotonic()
        return session

    def get(self, tenant: str, key: str) -> OpenSession:
        """Returns a tenant's session.

        Raises:
            Refused: there is none; the code says whether it expired or was evicted.
        """
        session = self.find(tenant, key)
        if session is None:
            raise Refused(self._gone.get((tenant, key), "unknown_session"))
        return session

    def by_name(self, name: str) -> OpenSession | None:
        """Returns a session by its name in the worker."""
        return self._names.get(name)

    def of(self, tenant: str) -> list[OpenSession]:
        """A tenant's sessions."""
        return [session for session in self if session.tenant == tenant]

    def add(self, session: OpenSession) -> None:
        """Keeps a session."""
        self._sessions[session.tenant, session.key] = session
        self._names[session.name] = session
        self._gone.pop((session.tenant, session.key), None)
        session.stored.users.add(session.name)

    def remove(self, session: OpenSession, reason: str = "") -> None:
        """Forgets a session; ``reason`` is the code that later requests are answered."""
        place = session.tenant, session.key
        self._sessions.pop(place, None)
        self._names.pop(session.name, None)
        if reason:
            self._gone[place] = reason
            while len(self._gone) > MOST_TOMBSTONES:
                self._gone.popitem(last=False)

    def idle(self) -> list[OpenSession]:
        """Sessions without a job, the longest unused first."""
        unused = [session for session in self if not session.busy]
        return sorted(unused, key=lambda session: session.touched)
