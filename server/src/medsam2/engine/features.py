"""Encoded slices, computed once and kept while there is room."""

from __future__ import annotations

import collections
import dataclasses
import mmap
import threading
from collections.abc import Callable, Sequence

import torch

from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window

from .device import release_freed_memory
from .frame import SliceFrame

Features = tuple[torch.Tensor, ...]

TIDY_EVERY = 16
"""Slices encoded between two releases of freed memory."""


@dataclasses.dataclass(frozen=True)
class FeatureKey:
    """All that an encoded slice depends on."""

    volume: str
    axis: SliceAxis
    index: int
    frame: SliceFrame
    window: Window
    weights: str
    dtype: torch.dtype


class FeatureCache:
    """Least-recently-used store of encoded slices under a budget of bytes; safe across threads.

    Features are handed out as they are stored, so results are the same with a cold, a warm or a
    full cache.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._kept: collections.OrderedDict[FeatureKey, Features] = collections.OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.encoded = 0

    @property
    def used_bytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._kept

    def get(
        self,
        keys: Sequence[FeatureKey],
        encode: Callable[[Sequence[FeatureKey]], list[Features]],
    ) -> list[Features]:
        """Returns the features of ``keys`` in order, encoding in one call those that are missing."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            made = {
                key: tuple(_apart(level) for level in features)
                for key, features in zip(missing, encode(missing), strict=True)
            }
            found |= made
            with self._lock:
                if (self.encoded + len(missing)) // TIDY_EVERY > self.encoded // TIDY_EVERY:
                    release_freed_memory()
                self.encoded += len(missing)
                for key, features in made.items():
                    self._put(key, features)
        return [found[key] for key in keys]

    def shrink(self) -> None:
        """Frees all that is kept and halves the budget: the answer to a full device."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0
            self._budget //= 2

    def forget(self, volume: str) -> None:
        """Frees what is kept of one volume, named by its content hash."""
        with self._lock:
            for key in [key for key in self._kept if key.volume == volume]:
                self._bytes -= _nbytes(self._kept.pop(key))

    def clear(self) -> None:
        """Frees all that is kept."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _put(self, key: FeatureKey, features: Features) -> None:
        self._kept[key] = features
        self._bytes += _nbytes(features)
        while self._bytes > self._budget and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _nbytes(oldest)


def _apart(level: torch.Tensor) -> torch.Tensor:
    """Moves a level that will stay into memory of its own, away from the heap.

    Activations of a hundred megabytes come and go on the heap with every slice; small blocks that
    stay between them would split it into pieces and double what the process holds.
    """
    if level.device.type != "cpu" or level.nbytes < mmap.PAGESIZE:
        return level
    buffer = torch.frombuffer(mmap.mmap(-1, level.nbytes), dtype=level.dtype)
    return buffer.view(level.shape).copy_(level)


def _nbytes(features: Features) -> int:
    return sum(level.nbytes for level in features)
