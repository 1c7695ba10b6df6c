"""What of the last runs the user has still to look at: slices that changed or are uncertain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .SliceStates import SliceState, sliceStates

if TYPE_CHECKING:
    from .History import Step
    from .Run import Run
    from .SliceMemory import Frozen
    from .Workspace import Workspace

Slice = tuple[str, int]
"""Segment id and slice index."""


class Review:
    """Marks of slices; main thread only."""

    def __init__(self) -> None:
        self._scores: dict[Slice, float] = {}
        self._replaced: dict[Slice, Frozen] = {}

    def clear(self) -> None:
        """Forgets all marks; for another volume or segmentation."""
        self._scores.clear()
        self._replaced.clear()

    def take(self, run: Run) -> None:
        """Marks what a run made, in place of what earlier runs of its segments left to look at."""
        self._scores.update(run.scores)
        others = {key: held for key, held in self._replaced.items() if key[0] not in run.segmentIds}
        self._replaced = others | {
            (segmentId, index): before
            for (segmentId, _, index), (before, after) in run.step.slices.items()
            if before and before != after
        }

    def replacedOn(self, segmentId: str, index: int) -> Frozen | None:
        """What the last run replaced on a slice; None where it replaced nothing."""
        return self._replaced.get((segmentId, index))

    def accept(self, slices: Iterable[Slice]) -> None:
        """Takes the marks off these slices."""
        for key in slices:
            self._replaced.pop(key, None)
            self._scores.pop(key, None)

    def acceptStep(self, step: Step) -> None:
        """Takes the marks off the slices of a step that is undone or done again."""
        self.accept((segmentId, index) for segmentId, _, index in step.slices)

    def states(self, workspace: Workspace, segmentId: str) -> list[SliceState]:
        """What is worth knowing of each slice of a segment."""
        return sliceStates(
            workspace.sliceCount,
            filled=workspace.memory.occupied(segmentId),
            locked=workspace.locked(segmentId),
            prompted=workspace.promptedIndices(segmentId),
            changed=[index for (s, index) in self._replaced if s == segmentId],
            scores={index: score for (s, index), score in self._scores.items() if s == segmentId},
        )
