"""What is worth knowing of each slice: locked, prompted, changed, uncertain. Pure Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

UNCERTAIN_BELOW = 0.8
"""A model's own confidence below this asks for a look; locked slices are never uncertain."""


@dataclasses.dataclass(frozen=True)
class SliceState:
    """One slice of one segment.

    Args:
        filled: whether it holds voxels of the segment.
        locked: the user's own.
        prompted: carries a prompt.
        changed: the last run replaced something else on it, and nobody has looked yet.
        uncertain: the model is not sure of it.
    """

    filled: bool = False
    locked: bool = False
    prompted: bool = False
    changed: bool = False
    uncertain: bool = False


def sliceStates(
    count: int,
    *,
    filled: Collection[int],
    locked: Collection[int],
    prompted: Collection[int],
    changed: Collection[int],
    scores: Mapping[int, float],
) -> list[SliceState]:
    """Collects the states of ``count`` slices."""
    filled, locked, prompted, changed = set(filled), set(locked), set(prompted), set(changed)
    return [
        SliceState(
            filled=index in filled,
            locked=index in locked,
            prompted=index in prompted,
            changed=index in changed and index not in locked,
            uncertain=index not in locked
            and index in filled
            and scores.get(index, 1.0) < UNCERTAIN_BELOW,
        )
        for index in range(count)
    ]


def nextUncertain(states: Sequence[SliceState], after: int) -> int | None:
    """The next uncertain slice after one, going round; None where there is none."""
    order = [*range(after + 1, len(states)), *range(after + 1)]
    return next((index for index in order if states[index].uncertain), None)


def describe(state: SliceState) -> str:
    """One slice in a few words."""
    words = [
        word
        for word, holds in (
            ("locked", state.locked),
            ("prompted", state.prompted),
            ("changed", state.changed),
            ("uncertain", state.uncertain),
        )
        if holds
    ]
    return ", ".join(words) or ("segmented" if state.filled else "empty")
