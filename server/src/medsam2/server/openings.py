"""Sessions that the worker has open, on volumes in shared memory."""

from __future__ import annotations

from medsam2.core.backend import Backend, Session
from medsam2.wire import strict
from medsam2.wire.messages import SessionRequest
from medsam2.wire.volumes import VolumeHeader

from .link import Header
from .shared import SharedVoxels, shared_volume


class Openings:
    """Opens sessions on demand and shares voxels between those of one volume.

    Args:
        backend: opens them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sessions: dict[str, tuple[Session, str]] = {}
        self._blocks: dict[str, tuple[SharedVoxels, set[str]]] = {}

    def open(self, opening: Header) -> Session:
        """Returns the session that a message describes, opened if it isn't.

        Raises:
            MedSAM2Error: the backend refuses it.
        """
        name, block = opening["name"], opening["block"]
        if name in self._sessions:
            return self._sessions[name][0]
        if block not in self._blocks:
            fields = {"dtype": opening["dtype"], "shape": opening["shape"]}
            self._blocks[block] = SharedVoxels(strict.build(VolumeHeader, fields), block), set()
        voxels, users = self._blocks[block]
        request = strict.build(SessionRequest, opening["request"])
        volume = shared_volume(voxels, request.affine(), opening["known_hash"])
        session = self._backend.open(volume, request.options())
        self._sessions[name] = session, block
        users.add(name)
        return session

    def remove(self, name: str, object_id: int) -> None:
        """Forgets an object of a session, if that is open."""
        if name in self._sessions:
            self._sessions[name][0].remove(object_id)

    def forget(self, known_hash: str) -> None:
        """Frees what the backend keeps of a volume that was dropped, if it keeps anything."""
        forget = getattr(self._backend, "forget", None)
        if forget is not None:
            forget(known_hash)

    def close(self, name: str) -> None:
        """Closes a session, and lets go of its voxels with the last one that uses them."""
        if name not in self._sessions:
            return
        session, block = self._sessions.pop(name)
        session.close()
        voxels, users = self._blocks[block]
        users.discard(name)
        if not users:
            del self._blocks[block]
            del session  # its volume holds a view of the voxels
            voxels.close()
