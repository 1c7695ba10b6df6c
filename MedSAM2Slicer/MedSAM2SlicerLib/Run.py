"""One run: some segments, one direction, from the first slice to the last or to the cancel."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .History import Step
from .SegmentationBridge import Surfaces, dropSurfaces, showSurfaces
from .SliceMemory import Frozen

if TYPE_CHECKING:
    from medsam2.core.backend import SliceResult

    from .Jobs import Job
    from .Workspace import Workspace


@dataclasses.dataclass
class Progress:
    """How far a run is; counts are slices of all segments together.

    Args:
        total: slices planned at most; 0 until that is known.
        started: when the first slice was asked for, in seconds of the monotonic clock.
    """

    total: int = 0
    done: int = 0
    started: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def slicesPerSecond(self) -> float:
        """The rate since the start; 0 before the first slice."""
        elapsed = time.monotonic() - self.started
        return self.done / elapsed if self.done and elapsed > 0 else 0.0

    @property
    def secondsLeft(self) -> float | None:
        """The time left at that rate; None where it can't be told yet."""
        rate = self.slicesPerSecond
        return max(0, self.total - self.done) / rate if rate and self.total else None


class Run:
    """Writes a run's slices into the scene and remembers what it replaced.

    Args:
        workspace: where it writes.
        segmentIds: the segments it segments.
        label: what the user did, for undo.
        limited: those of them for which a range or a direction of the user's leaves other slices
            alone.

    Threading: main thread only.
    """

    def __init__(
        self, workspace: Workspace, segmentIds: list[str], label: str, limited: Collection[str]
    ) -> None:
        self.workspace = workspace
        self.segmentIds = segmentIds
        self.fingerprint = workspace.volume.fingerprint()
        self.progress = Progress()
        self.step = Step(label)
        self.cancelled = self.over = False
        self._job: Job | None = None
        self.scores: dict[tuple[str, int], float] = {}
        self.kept: list[tuple[str, int]] = []
        """Slices left alone because they are the user's."""
        self._limited = frozenset(limited)
        self._facts: dict[str, dict[str, Any]] = {}
        self._surfaces: Surfaces = {}
        self._made: dict[str, dict[int, Frozen]] = {segmentId: {} for segmentId in segmentIds}

    def prepare(self) -> None:
        """Notes what is to be put back, once all that the user did before is taken up."""
        self._surfaces = dropSurfaces(self.workspace.segmentation.node)
        ids = self.workspace.segmentation.segmentIds
        self._facts = {segmentId: self.workspace.facts(segmentId) for segmentId in ids}

    def begin(self, job: Job) -> None:
        """Notes the job that computes."""
        self._job = job
        self.progress = Progress()

    def cancel(self) -> None:
        """Ends the job within one slice, or keeps it from being started."""
        self.cancelled = True
        if self._job is not None:
            self._job.cancel()

    @property
    def valid(self) -> bool:
        """Whether volume and segmentation are still those that the run began with."""
        there = self.workspace.intact and self.workspace.inPlace
        return there and self.workspace.volume.fingerprint() == self.fingerprint

    def write(self, result: SliceResult) -> bool:
        """Puts one slice into the scene; False where it was left alone.

        A segment that was removed meanwhile is passed over.
        """
        segmentId = self.workspace.segmentIdOf(result.object_id)
        self.progress.done += 1
        if self.workspace.segmentation.segment(segmentId) is None:
            return False
        self.scores[segmentId, result.index] = result.score
        return self._write(segmentId, result.index, result.mask_rc.unpack())

    def _write(self, segmentId: str, index: int, mask_rc: np.ndarray) -> bool:
        changes = self.workspace.writeModelSlice(segmentId, index, mask_rc)
        if changes is None:
            self.kept.append((segmentId, index))
            return False
        for changed, change in changes.items():
            self.step.noteSlice(self.workspace.key(changed, index), *change)
        self._made[segmentId][index] = changes[segmentId][1]
        return True

    def finish(self, *, complete: bool) -> Iterator[None]:
        """Notes who made what; clears what earlier runs left where the object no longer is.

        Does a little at each step of the iterator; :attr:`step` is complete at its end.

        Args:
            complete: whether the run reached its end; a cancelled one clears nothing.
        """
        for segmentId in self.segmentIds:
            if complete and segmentId not in self._limited:
                yield from self._clearLeftovers(segmentId)
            if self.workspace.segmentation.segment(segmentId) is not None:
                self.workspace.credit(segmentId, self._made[segmentId])
                self.workspace.segmentation.setStatus(segmentId, completed=False)
            yield
        yield from showSurfaces(self.workspace.segmentation.node, self._surfaces)
        for segmentId, before in self._facts.items():
            self.step.noteFacts(segmentId, before, self.workspace.facts(segmentId))

    def _clearLeftovers(self, segmentId: str) -> Iterator[None]:
        visited = {index for segment, index in self.scores if segment == segmentId}
        for index in self.workspace.memory.occupied(segmentId):
            if index not in visited and self.workspace.isModels(segmentId, index):
                self._write(segmentId, index, np.zeros(self.workspace.shape_rc, dtype=bool))
            yield
