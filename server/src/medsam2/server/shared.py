"""Voxels in shared memory: written by the API process, read by the worker, never on a disk."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from medsam2.core.geometry import FloatArray
from medsam2.core.volume import Volume
from medsam2.wire.volumes import VolumeHeader

from .refusals import Refused


class SharedVoxels:
    """A block of shared memory that holds a volume's voxels.

    The process that created it unlinks it; should that process be killed, Python's resource tracker
    does.

    Args:
        header: type and shape.
        name: of an existing block, or None to make one.

    Raises:
        Refused: the machine has no memory left for it (``no_memory``).
    """

    def __init__(self, header: VolumeHeader, name: str | None = None) -> None:
        self.header = header
        self._owner = name is None
        if name is None:
            self._block = _reserved(header.size_bytes)
        else:
            self._block = SharedMemory(name)

    @property
    def name(self) -> str:
        """By which another process finds the block."""
        return self._block.name

    @property
    def array_kji(self) -> npt.NDArray[Any]:
        """The voxels ``[K, J, I]`` or ``[K, J, I, 3]``; a view, not to be kept beyond :meth:`close`."""
        dtype = np.dtype(self.header.dtype).newbyteorder("<")
        return np.ndarray(self.header.shape, dtype, self._block.buf)

    def close(self) -> None:
        """Lets go of the block; its creator also frees it."""
        if self._owner:
            with contextlib.suppress(FileNotFoundError):
                self._block.unlink()
        try:
            self._block.close()
        except BufferError:  # a view is still alive, in a cycle perhaps
            gc.collect()
            with contextlib.suppress(BufferError):
                self._block.close()


@dataclasses.dataclass(frozen=True, eq=False)
class SharedVolume(Volume):
    """A volume on shared voxels that were checked when they arrived.

    Args:
        known_hash: stands for the content in the caches; salted, so that tenants share nothing.
    """

    known_hash: str = ""

    def __post_init__(self) -> None:
        """Takes the voxels as they are."""

    @property
    def content_hash(self) -> str:
        """The hash it was given."""
        return self.known_hash


def shared_volume(
    voxels: SharedVoxels, affine_ijk_to_ras: FloatArray, known_hash: str
) -> SharedVolume:
    """Makes a volume on shared voxels."""
    return SharedVolume(voxels.array_kji, affine_ijk_to_ras, known_hash=known_hash)


def _reserved(size: int) -> SharedMemory:
    """Takes the memory at once: writing to a block that the system can't back would be fatal."""
    try:
        block = SharedMemory(create=True, size=size)
    except OSError:
        raise Refused("no_memory") from None
    try:
        descriptor = getattr(block, "_fd", -1)
        if descriptor >= 0 and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    except OSError:
        block.unlink()
        block.close()
        raise Refused("no_memory") from None
    return block
