"""Moving all runs of a propagation over the slices, in both directions in turn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from medsam2.core.backend import CancelToken, Origin, SliceResult
from medsam2.core.masks import BoolArray, PackedMask

from .plan import Interval
from .retry import retrying
from .tracker import Estimate, Run, Target, Tracker

LOGIT_LIMIT = 10.0
"""Beyond this a pixel is certain; it keeps one end's certainty from drowning the other's."""


@dataclasses.dataclass(eq=False)
class Follower:
    """One interval of one object while it is followed from its end or ends.

    Args:
        object_id: the object.
        interval: its slices.
        target: the object's prompts and crop.
        to_mask: turns logits into a mask of the whole slice.
        runs: by step, 1 from below and -1 from above.
    """

    object_id: int
    interval: Interval
    target: Target
    to_mask: Callable[[Target, torch.Tensor], BoolArray]
    runs: dict[int, Run]
    waiting: dict[int, Estimate] = dataclasses.field(default_factory=dict)
    """Slices of a two-sided interval that one end has reached."""
    empty: int = 0
    """Slices in a row on which the object was not seen."""

    def __post_init__(self) -> None:
        first, last = self.interval.first, self.interval.last
        self.next = {step: first if step == 1 else last for step in self.runs}

    def active(self, step: int) -> bool:
        """Whether slices are left in this direction."""
        return step in self.next and self.interval.first <= self.next[step] <= self.interval.last

    def take(self, step: int, estimate: Estimate) -> SliceResult | None:
        """Notes what a run found on its next slice; returns the slice's result once it is final."""
        index = self.next[step]
        self.next[step] = index + step
        if not self.interval.two_sided:
            self.empty = 0 if estimate.present else self.empty + 1
            return self._result(index, estimate, Origin.TRACKED)
        if index not in self.waiting:
            self.waiting[index] = estimate
            return None
        ends = {step: estimate, -step: self.waiting.pop(index)}
        blended = blend(ends[1], ends[-1], self.interval.weight_above(index))
        return self._result(index, blended, Origin.BLENDED)

    def give_up(self, step: int) -> Iterator[SliceResult]:
        """Ends an open-ended interval whose object has gone: the rest of its slices are empty."""
        nothing = PackedMask.pack(np.zeros(self.target.frame.shape_rc, dtype=bool))
        while self.active(step):
            index = self.next[step]
            self.next[step] = index + step
            yield SliceResult(self.object_id, index, nothing, 0.0, Origin.TRACKED)

    def _result(self, index: int, estimate: Estimate, origin: Origin) -> SliceResult:
        mask = PackedMask.pack(self.to_mask(self.target, estimate.logits))
        return SliceResult(self.object_id, index, mask, estimate.score, origin)


def blend(below: Estimate, above: Estimate, weight_above: float) -> Estimate:
    """Averages two estimates' logits by weight."""
    low, high = (e.logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) for e in (below, above))
    logits = torch.lerp(low, high, weight_above)
    score = (1 - weight_above) * below.score + weight_above * above.score
    return Estimate(logits, score, below.present or above.present)


def sweep(
    tracker: Tracker, followers: Sequence[Follower], stop_after: int, cancel: CancelToken
) -> Iterator[tuple[Interval, SliceResult]]:
    """Follows all intervals to their ends, one slice upwards and one downwards in turn.

    Args:
        tracker: moves the runs.
        followers: the intervals.
        stop_after: slices without the object that end an open-ended interval; 0 never does.
        cancel: looked at before every slice.

    Raises:
        CancelledError: the token was set.
        OutOfMemoryError: the device's memory did not suffice.
    """
    while any(f.active(step) for f in followers for step in (1, -1)):
        for step in (1, -1):
            waiting = [f for f in followers if f.active(step)]
            if not waiting:
                continue
            cancel.check()
            index = step * min(step * f.next[step] for f in waiting)
            moving = [f for f in waiting if f.next[step] == index]
            furthest = max(
                step * (f.interval.last if step == 1 else f.interval.first) for f in moving
            )
            ahead = range(index, step * furthest + step, step)
            runs = [f.runs[step] for f in moving]
            estimates = retrying(tracker, functools.partial(tracker.step, runs, index, ahead))
            for follower, estimate in zip(moving, estimates, strict=True):
                result = follower.take(step, estimate)
                if result is not None:
                    yield follower.interval, result
                if stop_after and follower.empty >= stop_after:
                    for nothing in follower.give_up(step):
                        yield follower.interval, nothing
