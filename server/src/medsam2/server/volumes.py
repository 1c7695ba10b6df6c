"""Uploaded volumes, by tenant and content."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from medsam2.core.errors import NonFiniteVoxelsError
from medsam2.wire import arrays
from medsam2.wire.volumes import UploadState, VolumeHeader

from .budget import Budget
from .refusals import Refused
from .settings import Limits
from .shared import SharedVoxels


class StoredVolume:
    """One volume, complete or on its way.

    Args:
        tenant: whose it is.
        sha256: the content that the client named.
        voxels: the memory for it.
    """

    def __init__(self, tenant: str, sha256: str, voxels: SharedVoxels) -> None:
        self.tenant = tenant
        self.sha256 = sha256
        self.voxels = voxels
        self.header = voxels.header
        self.users: set[str] = set()
        self.touched = time.monotonic()
        self.complete = False
        self._received: set[int] = set()
        self._arriving: set[int] = set()
        dtype = np.dtype(self.header.dtype).newbyteorder("<")
        self._hash = hashlib.sha256(f"{dtype.str}{self.header.shape}".encode())
        self._hashed = 0
        self._hashing = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a chunk is just being written."""
        return bool(self._arriving)

    def state(self) -> UploadState:
        """What has arrived."""
        missing = set(range(self.header.chunk_count)) - self._received
        return UploadState(self.complete, tuple(sorted(missing)))

    async def write(self, number: int, frame: bytes | bytearray | memoryview) -> UploadState:
        """Takes a chunk; one that is there already is ignored.

        Raises:
            Refused: there is no such chunk, or the whole isn't what was named (``volume_hash``).
            WireError: the frame is damaged or of another type or shape.
            NonFiniteVoxelsError: a voxel is NaN or infinite.
        """
        if number >= self.header.chunk_count:
            raise Refused("malformed", "The volume has no chunk of this number.")
        self.touched = time.monotonic()
        if number in self._received or number in self._arriving:
            return self.state()
        self._arriving.add(number)
        try:
            await asyncio.to_thread(self._decode, number, frame)
            self._received.add(number)
            if len(self._received) == self.header.chunk_count:
                await asyncio.to_thread(self._check)
        finally:
            self._arriving.discard(number)
        return self.state()

    def _decode(self, number: int, frame: bytes | bytearray | memoryview) -> None:
        planes = self.voxels.array_kji[self.header.chunk(number)]
        arrays.decode_into(frame, planes)
        if planes.dtype.kind == "f" and not np.isfinite(planes).all():
            msg = "The volume holds NaN or infinite voxels; replace them first."
            raise NonFiniteVoxelsError(msg)
        with self._hashing:
            self._hash_on({*self._received, number})

    def _hash_on(self, received: set[int]) -> None:
        """Hashes what has arrived without a gap, so that little is left to do after the last chunk."""
        while self._hashed in received:
            planes = self.voxels.array_kji[self.header.chunk(self._hashed)]
            self._hash.update(planes.reshape(-1).view(np.uint8).data)
            self._hashed += 1

    def _check(self) -> None:
        with self._hashing:
            self._hash_on(self._received)
            if self._hash.hexdigest() != self.sha256:
                raise Refused("volume_hash")
            self.complete = True


class VolumeStore:
    """All volumes; use from the event loop alone.

    A volume that a session uses stays; others stay until their memory is needed, and unfinished
    uploads until nobody has continued them for a while.

    Args:
        limits: times.
        budget: of memory.
        on_drop: called with each volume that was freed.
    """

    def __init__(
        self,
        limits: Limits,
        budget: Budget,
        on_drop: Callable[[StoredVolume], None] = lambda _volume: None,
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._on_drop = on_drop
        self._volumes: dict[tuple[str, str], StoredVolume] = {}

    def __len__(self) -> int:
        return len(self._volumes)

    def find(self, tenant: str, sha256: str) -> StoredVolume | None:
        """Returns a tenant's volume, complete or not."""
        found = self._volumes.get((tenant, sha256))
        if found is not None:
            found.touched = time.monotonic()
        return found

    def get(self, tenant: str, sha256: str) -> StoredVolume:
        """Returns a tenant's volume.

        Raises:
            Refused: there is none (``unknown_volume``).
        """
        found = self.find(tenant, sha256)
        if found is None:
            raise Refused("unknown_volume")
        return found

    async def create(self, tenant: str, sha256: str, header: VolumeHeader) -> StoredVolume:
        """Takes memory for an upload; returns the volume, which another request may have begun.

        Raises:
            Refused: there is no room (``quota``, ``no_memory``).
        """
        lacking = self._budget.lacks(tenant, header.size_bytes)
        if lacking:
            raise Refused(lacking, retry_after_s=5)
        self._budget.take(tenant, header.size_bytes)
        try:
            voxels = await asyncio.to_thread(SharedVoxels, header)
        except BaseException:
            self._budget.give(tenant, header.size_bytes)
            raise
        found = self.find(tenant, sha256)
        if found is None:
            found = self._volumes[tenant, sha256] = StoredVolume(tenant, sha256, voxels)
        else:
            self._budget.give(tenant, header.size_bytes)
            _free(voxels)
        return found

    def drop(self, volume: StoredVolume) -> None:
        """Frees a volume that nobody uses; others are left alone."""
        if volume.users or volume.busy:
            return
        if self._volumes.pop((volume.tenant, volume.sha256), None) is volume:
            self._budget.give(volume.tenant, volume.header.size_bytes)
            _free(volume.voxels)
            self._on_drop(volume)

    def idle(self) -> Iterator[StoredVolume]:
        """Volumes that no session uses, the longest unused first."""
        unused = [v for v in self._volumes.values() if not (v.users or v.busy)]
        return iter(sorted(unused, key=lambda volume: volume.touched))

    def drop_abandoned(self) -> None:
        """Frees uploads that nobody continues, and volumes that nobody opened again."""
        now = time.monotonic()
        for volume in list(self.idle()):
            patience = self._limits.idle_s if volume.complete else self._limits.upload_idle_s
            if now - volume.touched > patience:
                self.drop(volume)

    def close(self) -> None:
        """Frees everything."""
        for volume in self._volumes.values():
            volume.voxels.close()
        self._volumes.clear()


def _free(voxels: SharedVoxels) -> None:
    """Frees memory; in a thread, for the system takes a while to free gigabytes."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        voxels.close()
    else:
        loop.run_in_executor(None, voxels.close)
