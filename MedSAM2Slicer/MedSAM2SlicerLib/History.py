"""Undo and redo: one step per action of the user, masks, prompts and locks together.

Slicer's own segmentation history copies whole labelmaps and knows no prompts. Here a step holds what
it changed, slice by slice and compressed, so that a hundred steps cost a few megabytes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .PromptStore import Snapshot
from .SliceMemory import Frozen

MAX_STEPS = 100

SliceKey = tuple[str, str, int]
"""Segment id, axis name and index of a slice."""


@dataclasses.dataclass
class Step:
    """One action: what it changed, before and after.

    Args:
        label: what the user did, for the menu and the message.
    """

    label: str
    slices: dict[SliceKey, tuple[Frozen, Frozen]] = dataclasses.field(default_factory=dict)
    facts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = dataclasses.field(
        default_factory=dict
    )
    prompts: tuple[Snapshot, Snapshot] | None = None

    def noteSlice(self, key: SliceKey, before: Frozen, after: Frozen) -> None:
        """Adds a change; of several on one slice the first ``before`` counts."""
        first = self.slices[key][0] if key in self.slices else before
        self.slices[key] = (first, after)

    def noteFacts(self, segmentId: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Adds a change of a segment's tags; of several the first ``before`` counts."""
        first = self.facts[segmentId][0] if segmentId in self.facts else before
        self.facts[segmentId] = (first, after)

    @property
    def changed(self) -> bool:
        """Whether anything differs afterwards."""
        pairs = [*self.slices.values(), *self.facts.values()]
        pairs += [self.prompts] if self.prompts else []
        return any(before != after for before, after in pairs)

    def reversed(self) -> Step:
        """The step that takes this one back."""
        return Step(
            self.label,
            {key: (after, before) for key, (before, after) in self.slices.items()},
            {segment: (after, before) for segment, (before, after) in self.facts.items()},
            (self.prompts[1], self.prompts[0]) if self.prompts else None,
        )


class History:
    """The steps done and those undone; the last ``limit`` are kept."""

    def __init__(self, limit: int = MAX_STEPS) -> None:
        self._limit = limit
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def undoLabel(self) -> str | None:
        """What :meth:`undo` would take back, or None."""
        return self._done[-1].label if self._done else None

    @property
    def redoLabel(self) -> str | None:
        """What :meth:`redo` would do again, or None."""
        return self._undone[-1].label if self._undone else None

    def record(self, step: Step) -> None:
        """Adds a step that was done; one that changed nothing is dropped."""
        if step.changed:
            self._done = [*self._done, step][-self._limit :]
            self._undone.clear()

    def undo(self) -> Step | None:
        """Returns the step to apply to take the last one back, or None."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1].reversed()

    def redo(self) -> Step | None:
        """Returns the step to apply to do the last undone one again, or None."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    def clear(self) -> None:
        """Forgets all steps."""
        self._done.clear()
        self._undone.clear()
