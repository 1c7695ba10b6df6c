"""Which slices are followed from which evidence.

*Evidence* is a slice whose mask the user's prompts determine. The slices between two neighbouring
pieces of evidence, or between one and the range's end, are an :class:`Interval`; each is followed
outward from its ends, and never through evidence. Pure integers, no torch.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from medsam2.core.backend import Direction


@dataclasses.dataclass(frozen=True)
class Interval:
    """Slices ``first..last`` (inclusive) without evidence, and the evidence beside them.

    Args:
        first: lowest slice.
        last: highest slice.
        below: evidence just below ``first`` to follow forward from, if any.
        above: evidence just above ``last`` to follow backward from, if any.
    """

    first: int
    last: int
    below: int | None
    above: int | None

    @property
    def two_sided(self) -> bool:
        """Whether it is followed from both ends."""
        return self.below is not None and self.above is not None

    def weight_above(self, index: int) -> float:
        """How much the evidence above counts at a slice, 0 to 1, linear in distance."""
        if self.below is None or self.above is None:
            return 0.0 if self.above is None else 1.0
        return (index - self.below) / (self.above - self.below)


def intervals(
    evidence: Sequence[int],
    first: int,
    last: int,
    direction: Direction = Direction.BOTH,
) -> list[Interval]:
    """Cuts ``first..last`` at the evidence (ascending) into the intervals to follow.

    ``direction`` drops one of the two ways: with ``FORWARD`` nothing below the lowest evidence is
    followed, and slices between two pieces come from the lower one alone.
    """
    forward = direction is not Direction.BACKWARD
    backward = direction is not Direction.FORWARD
    fences: list[int | None] = [None, *evidence, None]
    made = []
    for below, above in itertools.pairwise(fences):
        start = first if below is None else max(first, below + 1)
        stop = last if above is None else min(last, above - 1)
        lower = below if forward else None
        upper = above if backward else None
        if start <= stop and (lower is not None or upper is not None):
            made.append(Interval(start, stop, lower, upper))
    return made


def nearest(evidence: Sequence[int], interval: Interval, most: int) -> tuple[int, ...]:
    """Returns up to ``most`` pieces of evidence, those closest to the interval, ascending."""

    def distance(index: int) -> int:
        return max(interval.first - index, index - interval.last)

    return tuple(sorted(sorted(evidence, key=distance)[:most]))
