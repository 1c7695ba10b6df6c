"""What each slice of each segment held when it was last looked at, and whether the model made it.

The scene may be painted on at any time, by the embedded Segment Editor or by anything else. Comparing
the scene with this memory tells which slices were changed by hand, so that they are kept and undone
like everything else. Masks are kept compressed, one to two kilobytes each.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import SegmentTags

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis

    from .SegmentationBridge import SegmentationBridge

Frozen = bytes
"""A mask of one slice: packed bits, compressed; empty for a mask without voxels."""


def freeze(mask_rc: np.ndarray) -> Frozen:
    """Packs a mask; equal masks give equal bytes."""
    return zlib.compress(np.packbits(mask_rc).tobytes(), 1) if mask_rc.any() else b""


def thaw(frozen: Frozen, shape_rc: tuple[int, int]) -> np.ndarray:
    """Undoes :func:`freeze`, booleans ``[rows, columns]``."""
    if not frozen:
        return np.zeros(shape_rc, dtype=bool)
    bits = np.frombuffer(zlib.decompress(frozen), dtype=np.uint8)
    return np.unpackbits(bits, count=shape_rc[0] * shape_rc[1]).reshape(shape_rc).astype(bool)


class SliceMemory:
    """The last known slices of one segmentation along one axis.

    Args:
        bridge: where the slices are read.
        axis: the axis that slices are taken across.

    Threading: main thread only.
    """

    def __init__(self, bridge: SegmentationBridge, axis: SliceAxis) -> None:
        self._bridge = bridge
        self.axis = axis
        self._known: dict[str, dict[int, Frozen]] = {}
        self._seen: dict[str, Any] = {}
        self._versions: dict[str, int] = {}

    def known(self, segmentId: str, index: int) -> Frozen:
        """What the slice held when it was last looked at."""
        return self._known.get(segmentId, {}).get(index, b"")

    def occupied(self, segmentId: str) -> list[int]:
        """Slices that held voxels when they were last looked at, ascending."""
        return sorted(index for index, frozen in self._known.get(segmentId, {}).items() if frozen)

    def version(self, segmentId: str) -> int:
        """Grows whenever a slice of the segment turns out different."""
        return self._versions.get(segmentId, 0)

    def _keep(self, segmentId: str, index: int, frozen: Frozen) -> Frozen:
        """Notes what a slice holds; returns what it was known to hold before."""
        known = self._known.setdefault(segmentId, {})
        before, known[index] = known.get(index, b""), frozen
        if before != frozen:
            self._versions[segmentId] = self.version(segmentId) + 1
        return before

    def learn(self, segmentId: str, index: int, mask_rc: np.ndarray) -> Frozen:
        """Notes what was just written to a slice, so that it does not count as a change."""
        frozen = freeze(mask_rc)
        self._keep(segmentId, index, frozen)
        return frozen

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A block in which nothing changes but what :meth:`learn` is told.

        Segments that nobody had touched before need not be looked at again for it.
        """
        untouched = [
            segmentId
            for segmentId in self._bridge.segmentIds
            if self._seen.get(segmentId) == self._stamp(segmentId)
        ]
        yield
        for segmentId in untouched:
            self._seen[segmentId] = self._stamp(segmentId)

    def changes(self, segmentId: str) -> Iterator[tuple[int, Frozen, Frozen] | None]:
        """Looks at the segment again, a slice at each step.

        Costs next to nothing where the segment was not touched since.

        Yields:
            ``index, before, after`` for a slice that differs, None for one that does not.
        """
        stamp = self._stamp(segmentId)
        if self._seen.get(segmentId) == stamp:
            return
        known = self._known.setdefault(segmentId, {})
        indices = set(self._bridge.occupied(segmentId, self.axis)) | set(known)
        for index in sorted(indices):
            after = self._read(segmentId, index)
            before = self._keep(segmentId, index, after)
            yield None if after == before else (index, before, after)
        self._seen[segmentId] = stamp

    def _read(self, segmentId: str, index: int) -> Frozen:
        return freeze(self._bridge.readSlice(segmentId, self.axis, index))

    def _stamp(self, segmentId: str) -> Any:
        return self._bridge.stamp(segmentId)

    def modelMade(self, segmentId: str) -> dict[int, int]:
        """Checksums of the slices that the model made, by index."""
        held = SegmentTags.read(self._bridge.tags(segmentId), SegmentTags.MODEL, self.axis.name, {})
        return {int(index): int(checksum) for index, checksum in held.items()}

    def saveModelMade(self, segmentId: str, made: dict[int, int]) -> None:
        """Keeps those checksums with the segment; any across other axes are out of date now."""
        held = {str(index): checksum for index, checksum in made.items()}
        entries = {self.axis.name: held} if held else {}
        SegmentTags.writeAll(self._bridge.tags(segmentId), SegmentTags.MODEL, entries)


def checksum(frozen: Frozen) -> int:
    """Tells one content of a slice from another."""
    return zlib.crc32(frozen)
