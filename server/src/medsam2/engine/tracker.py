"""What the session asks of a tracker, and the values they exchange.

A tracker knows one model and one opened volume. It never touches the session's results: it turns
prompts into :class:`Evidence`, evidence into *runs*, and moves runs slice by slice. Logits lie on a
grid of the tracker's choice, the same for all of a target's slices, and are above 0 inside the object;
they may be averaged before :meth:`Tracker.mask` turns them into a mask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from medsam2.core.backend import Origin
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import ObjectPrompts

from .frame import SliceFrame


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A tracker's opinion of one object on one slice.

    Args:
        logits: float32 on the tracker's grid, above 0 inside.
        score: confidence, 0 to 1.
        present: whether the object is on the slice at all.
    """

    logits: torch.Tensor
    score: float
    present: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """A slice whose mask the prompts determine.

    Args:
        index: the slice.
        mask_rc: its mask on the whole slice.
        score: confidence, 0 to 1.
        origin: locked (the user's mask) or prompted.
        state: what the tracker needs to start from here; nobody else's business.
    """

    index: int
    mask_rc: BoolArray
    score: float
    origin: Origin
    state: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """One object as a tracker sees it: its checked prompts, its crop and its slices."""

    prompts: ObjectPrompts
    frame: SliceFrame
    first: int
    last: int


class Run(Protocol):
    """One object followed in one direction."""

    @property
    def target(self) -> Target:
        """The object."""
        ...


class Tracker(Protocol):
    """Follows objects through the slices of one opened volume; not safe across threads."""

    def target(self, prompts: ObjectPrompts, first: int, last: int) -> Target:
        """Chooses what the model sees of an object's slices.

        Raises:
            UnsupportedPromptError: the model can't take one of the prompts.
            NoPromptError: the prompts leave nothing to start from.
        """
        ...

    def anchors(self, target: Target) -> list[int]:
        """Slices that prompts determine without help from others, ascending.

        An object with a ROI alone gets the slice that the tracker likes to start from.
        """
        ...

    def evidence(self, target: Target, index: int, anchors: Sequence[Evidence]) -> Evidence:
        """Segments a slice from its prompts; ``anchors`` help where it isn't one itself."""
        ...

    def start(self, target: Target, origin: Evidence, others: Sequence[Evidence], step: int) -> Run:
        """Begins to follow an object from ``origin`` upwards (``step`` 1) or downwards (-1).

        ``others`` are further pieces of evidence that may inform the run.
        """
        ...

    def step(self, runs: Sequence[Run], index: int, ahead: Sequence[int]) -> list[Estimate]:
        """Moves all runs to slice ``index``, one beyond each run's last.

        ``ahead`` lists slices that will be asked for next, for trackers that encode in batches.
        """
        ...

    def mask(self, target: Target, logits: torch.Tensor) -> BoolArray:
        """Turns an estimate's logits, or a blend of two, into a mask of the whole slice."""
        ...

    def warm(self, target: Target, index: int) -> None:
        """Encodes a slice that may be asked for soon, unless it is encoded already."""
        ...

    def use_less_memory(self) -> None:
        """Frees what can be made again and works in smaller batches from now on."""
        ...
