"""The engine's side of the seam: puts, plans, sweeps, blends, streams and remembers.

A propagation sweeps upwards and downwards in turn, slice by slice, so that masks stream outward from
the prompts. All objects that need a slice are moved over it together and share its features. A slice
between two pieces of evidence is followed from both ends and its logits are blended by distance.

What was made is kept with a *key* of everything it depends on: its interval, the evidence that
conditions it, the object's crop. Prompts that change a key make its slices anew; all others are
streamed from memory, bit for bit.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

import numpy as np

from medsam2.core.backend import (
    CancelToken,
    Direction,
    Session,
    SessionOptions,
    SliceResult,
)
from medsam2.core.errors import NoPromptError, SessionClosedError
from medsam2.core.intensity import Window
from medsam2.core.masks import BoolArray, PackedMask, stack_slices
from medsam2.core.prompts import MaskPrompt, ObjectPrompts
from medsam2.core.volume import Volume

from .plan import Interval, intervals, nearest
from .retry import retrying
from .sweep import Follower, sweep
from .tracker import Evidence, Run, Target, Tracker

WARM_REACH = 8
"""Slices on each side of a prompt that are worth encoding before they are asked for."""

MOST_EVIDENCE = 4
"""Pieces of evidence that inform one run: more cost memory and time, and make edits reach further."""


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """A result and what it was made from."""

    result: SliceResult
    key: str


@dataclasses.dataclass(eq=False)
class ObjectState:
    """One object: its prompts as put, what follows from them, and what was made."""

    prompts: ObjectPrompts
    target: Target
    evidence: dict[int, tuple[str, Evidence]] = dataclasses.field(default_factory=dict)
    kept: dict[int, Kept] = dataclasses.field(default_factory=dict)


class LocalSession(Session):
    """A session in this process; see :class:`medsam2.core.backend.Session`.

    Args:
        volume: what is segmented.
        options: fixed for the session's life.
        window: the options' window, resolved on the volume.
        tracker: on the same volume, axis and window.
    """

    def __init__(
        self, volume: Volume, options: SessionOptions, window: Window, tracker: Tracker
    ) -> None:
        self._volume = volume
        self._options = options
        self._window = window
        self._tracker = tracker
        self._objects: dict[int, ObjectState] = {}
        self._closed = False

    @property
    def volume(self) -> Volume:
        """The volume it was opened on."""
        return self._volume

    @property
    def options(self) -> SessionOptions:
        """The options it was opened with."""
        return self._options

    @property
    def window(self) -> Window:
        """The intensity window in force."""
        return self._window

    def put(self, object_id: int, prompts: ObjectPrompts) -> None:
        """Sets all prompts of one object; see the protocol."""
        self._check_open()
        checked = prompts.checked(self._volume, self._options.axis)
        first, last = checked.span(self._volume, self._options.axis)
        used = checked.within(first, last)
        target = self._tracker.target(used, first, last)
        state = ObjectState(prompts, target)
        if object_id in self._objects:
            state.evidence = self._objects[object_id].evidence
            state.kept = self._objects[object_id].kept
        self._objects[object_id] = state

    def remove(self, object_id: int) -> None:
        """Forgets an object and its masks."""
        self._objects.pop(object_id, None)

    def objects(self) -> dict[int, ObjectPrompts]:
        """The prompts of every object, as last put."""
        return {object_id: state.prompts for object_id, state in self._objects.items()}

    def predict(self, object_id: int, index: int) -> SliceResult:
        """Segments one slice from the prompts alone; see the protocol."""
        self._check_open()
        state = self._state(object_id)
        found = self._evidence_indices(state)
        if index in found:
            return self._result(object_id, self._make_evidence(state)[index][1])
        anchors = [self._evidence(state, anchor, {}) for anchor in self._anchors(state)]
        pieces = {piece.index: (key, piece) for key, piece in anchors}
        return self._result(object_id, self._evidence(state, index, pieces)[1])

    def warm(self, object_id: int) -> Iterator[int]:
        """Encodes slices around an object's prompts, nearest first, one for each step.

        Not part of the seam: the server's worker does this while it has nothing else to do, so that
        the user's next click or propagation finds the slices encoded. Results don't change.
        """
        self._check_open()
        if object_id not in self._objects:
            return
        target = self._objects[object_id].target
        prompted = target.prompts.prompted_indices() or [(target.first + target.last) // 2]
        last = prompted[-1]
        for index in sorted(range(target.first, target.last + 1), key=lambda n: abs(n - last)):
            if abs(index - last) > WARM_REACH:
                return
            self._tracker.warm(target, index)
            yield index

    def plan(self, object_ids: Collection[int] | None = None) -> int:
        """Returns how many slices a propagation will yield at most."""
        states = [self._state(n) for n in self._ids(object_ids)]
        return sum(state.target.last - state.target.first + 1 for state in states)

    def propagate(
        self,
        object_ids: Collection[int] | None = None,
        direction: Direction = Direction.BOTH,
        cancel: CancelToken | None = None,
    ) -> Iterator[SliceResult]:
        """Yields every slice of the given objects, each once; see the protocol."""
        self._check_open()
        token = cancel or CancelToken()
        ids = self._ids(object_ids)
        for object_id in ids:
            self._state(object_id)
        return self._propagate(ids, direction, token)

    def _propagate(
        self, ids: Collection[int], direction: Direction, cancel: CancelToken
    ) -> Iterator[SliceResult]:
        followers: list[Follower] = []
        keys: dict[tuple[int, Interval], str] = {}
        for object_id in ids:
            state = self._objects[object_id]
            self._drop_outside(state)
            for index in self._evidence_indices(state):
                cancel.check()
                key, piece = self._make_evidence(state, only=index)[index]
                yield self._keep(state, self._result(object_id, piece), key)
            pieces = self._make_evidence(state)
            span = state.target.first, state.target.last
            for interval in intervals(sorted(pieces), *span, direction):
                key = self._interval_key(state, interval, pieces)
                if self._complete(state, interval, key):
                    yield from self._again(state, interval)
                    continue
                keys[object_id, interval] = key
                followers.append(self._follower(object_id, state, interval, pieces))
        stop_after = self._options.stop_after_empty
        for interval, result in sweep(self._tracker, followers, stop_after, cancel):
            state = self._objects[result.object_id]
            yield self._keep(state, result, keys[result.object_id, interval])

    def results(self, object_id: int) -> dict[int, SliceResult]:
        """The slices streamed so far, by index."""
        kept = self._state(object_id).kept
        return {index: kept[index].result for index in sorted(kept)}

    def mask_kji(self, object_id: int) -> BoolArray:
        """The object's mask in the volume, from the slices streamed so far."""
        masks = {index: result.mask_rc for index, result in self.results(object_id).items()}
        return stack_slices(masks, self._options.axis, self._volume.shape_kji)

    def close(self) -> None:
        """Frees what the session holds."""
        self._closed = True
        self._objects.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "The session is closed; open a new one on the volume."
            raise SessionClosedError(msg)

    def _ids(self, object_ids: Collection[int] | None) -> list[int]:
        return sorted(self._objects if object_ids is None else object_ids)

    def _state(self, object_id: int) -> ObjectState:
        self._check_open()
        if object_id not in self._objects:
            msg = f"Object {object_id} has no prompt yet; put one first."
            raise NoPromptError(msg)
        return self._objects[object_id]

    def _anchors(self, state: ObjectState) -> list[int]:
        return retrying(self._tracker, lambda: self._tracker.anchors(state.target))

    def _evidence_indices(self, state: ObjectState) -> list[int]:
        anchors = self._anchors(state)
        others = set(state.target.prompts.prompted_indices()) - set(anchors)
        return [*anchors, *sorted(others)]

    def _make_evidence(
        self, state: ObjectState, only: int | None = None
    ) -> dict[int, tuple[str, Evidence]]:
        """Returns the evidence by slice with its key: all of it, or what slice ``only`` needs."""
        anchors = self._anchors(state)
        wanted = self._evidence_indices(state)
        if only is not None:
            wanted = [only] if only in anchors else [*anchors, only]
        made: dict[int, tuple[str, Evidence]] = {}
        for index in wanted:
            helpers = {} if index in anchors else {i: made[i] for i in anchors}
            made[index] = self._evidence(state, index, helpers)
        state.evidence = {**state.evidence, **made} if only is not None else made
        return made

    def _evidence(
        self, state: ObjectState, index: int, anchors: dict[int, tuple[str, Evidence]]
    ) -> tuple[str, Evidence]:
        chosen = dict(
            sorted(anchors.items(), key=lambda item: abs(item[0] - index))[:MOST_EVIDENCE]
        )
        key = _digest(
            "evidence", index, _describe(state.target, index), [key for key, _ in chosen.values()]
        )
        known = state.evidence.get(index)
        if known is not None and known[0] == key:
            return known
        pieces = [piece for _, piece in chosen.values()]
        tracker = self._tracker
        return key, retrying(tracker, lambda: tracker.evidence(state.target, index, pieces))

    def _interval_key(
        self, state: ObjectState, interval: Interval, pieces: dict[int, tuple[str, Evidence]]
    ) -> str:
        near = nearest(sorted(pieces), interval, MOST_EVIDENCE)
        return _digest("interval", interval, state.target.frame, [pieces[i][0] for i in near])

    def _follower(
        self,
        object_id: int,
        state: ObjectState,
        interval: Interval,
        pieces: dict[int, tuple[str, Evidence]],
    ) -> Follower:
        near = nearest(sorted(pieces), interval, MOST_EVIDENCE)

        def others(origin: int) -> list[Evidence]:
            return [pieces[index][1] for index in near if index != origin]

        def start(origin: int, step: int) -> Run:
            return self._tracker.start(state.target, pieces[origin][1], others(origin), step)

        runs = {
            step: retrying(self._tracker, functools.partial(start, origin, step))
            for step, origin in ((1, interval.below), (-1, interval.above))
            if origin is not None
        }
        return Follower(object_id, interval, state.target, self._tracker.mask, runs)

    def _complete(self, state: ObjectState, interval: Interval, key: str) -> bool:
        span = range(interval.first, interval.last + 1)
        return all(i in state.kept and state.kept[i].key == key for i in span)

    def _again(self, state: ObjectState, interval: Interval) -> Iterator[SliceResult]:
        span = range(interval.first, interval.last + 1)
        for index in span if interval.below is not None else reversed(span):
            yield state.kept[index].result

    @staticmethod
    def _keep(state: ObjectState, result: SliceResult, key: str) -> SliceResult:
        state.kept[result.index] = Kept(result, key)
        return result

    @staticmethod
    def _drop_outside(state: ObjectState) -> None:
        target = state.target
        for index in [i for i in state.kept if not target.first <= i <= target.last]:
            del state.kept[index]

    @staticmethod
    def _result(object_id: int, piece: Evidence) -> SliceResult:
        mask = PackedMask.pack(piece.mask_rc)
        return SliceResult(object_id, piece.index, mask, piece.score, piece.origin)


def _describe(target: Target, index: int) -> list[object]:
    """All of an object's prompts that bear on one slice, as values with exact text."""
    prompts: list[object] = []
    for prompt in target.prompts.on_slice(index):
        if isinstance(prompt, MaskPrompt):
            bits = hashlib.sha256(np.ascontiguousarray(prompt.mask_rc.bits).data)
            prompts.append(("mask", bits.hexdigest()))
        else:
            prompts.append(prompt)
    return [prompts, target.prompts.roi, target.frame]


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
