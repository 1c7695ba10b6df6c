"""Following objects with SAM2's memory: evidence, a short past, and object pointers.

A run attends to up to four pieces of evidence, the last six slices it made and up to fifteen object
pointers; each run has a bank of its own, so directions and objects never influence one another.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from medsam2.core.backend import Origin
from medsam2.core.errors import NoPromptError
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    Prompt,
)

from .attention import MemoryTokens, join_tokens
from .features import Features
from .frame import SliceFrame, crop_around, whole_slice
from .orientation import display_orientation
from .sam2_model import Decoded, Memory, SAM2Model
from .source import SliceSource
from .tracker import Estimate, Evidence, Run, Target

MOST_RUNS_WITH_KEYS = 8
"""More runs than this at once recompute their memories' keys rather than keep 2 MB for each."""


@dataclasses.dataclass(eq=False)
class PromptedSlice:
    """A prompted slice's answer, and its memory once a run needs it: previews never do."""

    index: int
    features: Features | None
    decoded: Decoded
    memory: Memory | None = None

    def remembered(self, model: SAM2Model) -> Memory:
        """Encodes the slice as memory, the first time it is asked for."""
        if self.memory is None and self.features is not None:
            self.memory = model.remember(self.index, self.features, self.decoded, prompted=True)
            self.features = None
        if self.memory is None:
            msg = f"slice {self.index} has neither features nor memory"
            raise RuntimeError(msg)
        return self.memory


@dataclasses.dataclass(eq=False)
class MemoryRun:
    """One object followed in one direction, with its own memory bank."""

    target: Target
    step: int
    evidence: tuple[Memory, ...]
    recent: collections.deque[Memory]
    """The run's own last slices, latest last."""
    pointers: collections.deque[tuple[torch.Tensor, int]]
    """Object pointers of its last slices with the slice's index, latest last."""

    def bank_shape(self) -> tuple[object, ...]:
        """What runs must share to be moved as one batch."""
        indices = tuple(memory.index for memory in self.evidence)
        return self.target.frame, indices, len(self.recent), len(self.pointers), self.step


class MemoryTracker:
    """A SAM2-family model on one opened volume.

    Args:
        model: shared with other sessions.
        source: the volume's encoded slices.
        crop: whether small ROIs are seen enlarged.
    """

    def __init__(self, model: SAM2Model, source: SliceSource, *, crop: bool = True) -> None:
        self._model = model
        self._source = source
        self._crop = crop
        volume, axis = source.volume, source.axis
        self._shape_rc = volume.shape_rc(axis)
        self._spacing_rc = volume.spacing_rc(axis)
        self._orientation = display_orientation(volume.affine_ijk_to_ras, axis)
        pointers = min(volume.count(axis), model.pointers)
        self._most_pointers = pointers - 1
        self._batch = model.compute.object_batch

    def target(self, prompts: ObjectPrompts, first: int, last: int) -> Target:
        """Chooses the crop: around a small ROI, else the whole slice."""
        crop = whole_slice(self._shape_rc)
        if self._crop and prompts.roi is not None:
            crop = crop_around(prompts.roi.box_rc, self._shape_rc, self._spacing_rc)
        frame = SliceFrame.fit(
            crop, self._shape_rc, self._spacing_rc, self._model.size, self._orientation
        )
        target = Target(prompts, frame, first, last)
        self.anchors(target)
        return target

    def anchors(self, target: Target) -> list[int]:
        """Slices with a box, a line or a mask; the ROI's middle; else those with a click inside."""
        prompts = target.prompts.prompts
        found = {p.index for p in prompts if not isinstance(p, PointPrompt)}
        if target.prompts.roi is not None:
            found.add(_roi_seed(target))
        if not found:
            found = {p.index for p in prompts if isinstance(p, PointPrompt) and p.positive}
        if not found:
            msg = f"{target.prompts.name} has clicks outside it only; add one inside, or a box."
            raise NoPromptError(msg)
        return sorted(found)

    @torch.inference_mode()
    def evidence(self, target: Target, index: int, anchors: Sequence[Evidence]) -> Evidence:
        """Segments a prompted slice.

        Clicks on a slice that isn't an anchor refine what the anchors' memories say of it.
        """
        features = self._source.features(target.frame, index)
        prompts = list(target.prompts.on_slice(index))
        mask = next((p for p in reversed(prompts) if isinstance(p, MaskPrompt)), None)
        if mask is not None:
            mask_rc = mask.mask_rc.unpack()
            decoded = self._model.accept(features, target.frame.mask(mask_rc))
            return self._evidence(target, index, features, decoded, Origin.LOCKED, mask_rc)
        points = self._points(target, index, prompts)
        if any(anchor.index == index for anchor in anchors) or not anchors:
            decoded = self._model.decode(features, None, points, first_look=True)
        else:
            conditioned = self._recall(features, self._fresh_run(target, anchors, 1), index)
            decoded = self._model.decode(features, conditioned)
            if points is not None:
                previous = decoded.logits.clamp(-32.0, 32.0)
                decoded = self._model.decode(features, conditioned, points, previous=previous)
        return self._evidence(target, index, features, decoded, Origin.PROMPTED)

    @torch.inference_mode()
    def start(
        self, target: Target, origin: Evidence, others: Sequence[Evidence], step: int
    ) -> MemoryRun:
        """Begins a run; ``others`` are further evidence, nearest ones are best."""
        return self._fresh_run(target, [origin, *others], step)

    @torch.inference_mode()
    def step(self, runs: Sequence[Run], index: int, ahead: Sequence[int]) -> list[Estimate]:
        """Moves runs to a slice; those that share a crop and a bank's size move as one batch."""
        moving = [run for run in runs if isinstance(run, MemoryRun)]
        groups: dict[object, list[int]] = collections.defaultdict(list)
        batch = self._batch
        for place, run in enumerate(moving):
            groups[run.bank_shape() if batch > 1 else place].append(place)
        made: dict[int, tuple[Estimate, Memory]] = {}
        for places in groups.values():
            for start in range(0, len(places), batch):
                part = places[start : start + batch]
                answers = self._step_together([moving[p] for p in part], index, ahead)
                made |= zip(part, answers, strict=True)
        # Banks grow only once all runs are through: a step that fails can be taken again.
        for place, run in enumerate(moving):
            memory = made[place][1]
            run.recent.append(memory)
            run.pointers.append((memory.pointer, index))
        if len(moving) > MOST_RUNS_WITH_KEYS:
            for run in moving:
                for memory in (*run.evidence, *run.recent):
                    memory.tokens.keys = None
        return [made[place][0] for place in range(len(moving))]

    def mask(self, target: Target, logits: torch.Tensor) -> BoolArray:
        """Resizes logits from the model's grid to the slice's pixels, within the ROI."""
        mask_rc = target.frame.mask_from_logits(logits)
        if target.prompts.roi is not None:
            row0, col0, row1, col1 = target.prompts.roi.box_rc
            outside = np.ones_like(mask_rc)
            outside[row0 : row1 + 1, col0 : col1 + 1] = False
            mask_rc[outside] = False
        return mask_rc

    @torch.inference_mode()
    def warm(self, target: Target, index: int) -> None:
        """Encodes a slice ahead of need; see the protocol."""
        self._source.features(target.frame, index)

    def use_less_memory(self) -> None:
        """Frees kept features and tracks one object at a time from now on."""
        self._source.shrink()
        self._batch = 1

    def _step_together(
        self, runs: Sequence[MemoryRun], index: int, ahead: Sequence[int]
    ) -> list[tuple[Estimate, Memory]]:
        features = self._source.features(runs[0].target.frame, index, ahead)
        bank = runs[0] if len(runs) == 1 else _joined(runs)
        decoded = self._model.decode(features, self._recall(features, bank, index))
        memory = self._model.remember(index, features, decoded, prompted=False)
        own = [memory] if len(runs) == 1 else [_part(memory, n) for n in range(len(runs))]
        return [(_estimate(decoded, place), own[place]) for place in range(len(runs))]

    def _fresh_run(self, target: Target, evidence: Sequence[Evidence], step: int) -> MemoryRun:
        memories = tuple(piece.state.remembered(self._model) for piece in evidence)
        recent: collections.deque[Memory] = collections.deque(maxlen=self._model.memories)
        return MemoryRun(
            target, step, memories, recent, collections.deque(maxlen=self._most_pointers)
        )

    def _recall(self, features: Features, run: MemoryRun, index: int) -> torch.Tensor:
        model = self._model
        oldest = model.memories
        spatial = [(memory.tokens, oldest) for memory in run.evidence]
        spatial += [(memory.tokens, abs(index - memory.index) - 1) for memory in run.recent]
        pointers = [
            (memory.pointer, (index - memory.index) * run.step)
            for memory in run.evidence
            if (index - memory.index) * run.step >= 0
        ]
        pointers += [(pointer, abs(index - at)) for pointer, at in reversed(run.pointers)]
        return model.recall(features, spatial, pointers, max(1, self._most_pointers))

    def _evidence(
        self,
        target: Target,
        index: int,
        features: Features,
        decoded: Decoded,
        origin: Origin,
        mask_rc: BoolArray | None = None,
    ) -> Evidence:
        estimate = _estimate(decoded, 0)
        if mask_rc is None:
            mask_rc = self.mask(target, estimate.logits)
        score = 1.0 if origin is Origin.LOCKED else estimate.score
        return Evidence(index, mask_rc, score, origin, PromptedSlice(index, features, decoded))

    def _points(
        self, target: Target, index: int, prompts: Sequence[Prompt]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A slice's prompts as points (x, y) and labels: the last box's corners, then the clicks."""
        places: list[tuple[float, ...]] = []
        labels: list[int] = []
        box = self._box(target, index, prompts)
        if box is not None:
            corners = target.frame.to_model(np.array(box).reshape(2, 2))
            places += [tuple(corners.min(axis=0)), tuple(corners.max(axis=0))]
            labels += [2, 3]
        for prompt in prompts:
            if isinstance(prompt, PointPrompt):
                places.append(tuple(target.frame.to_model(prompt.point_rc)))
                labels.append(int(prompt.positive))
        if not places:
            return None
        xy = np.array(places)[:, ::-1].copy()
        device = self._model.compute.device
        coordinates = torch.tensor(xy, dtype=torch.float32, device=device)[None]
        return coordinates, torch.tensor(labels, dtype=torch.int32, device=device)[None]

    def _box(
        self, target: Target, index: int, prompts: Sequence[Prompt]
    ) -> tuple[int, int, int, int] | None:
        for prompt in reversed(prompts):
            if isinstance(prompt, BoxPrompt):
                return prompt.box_rc
            if isinstance(prompt, LinePrompt):
                return prompt.box_rc(self._spacing_rc, self._shape_rc)
        roi = target.prompts.roi
        return roi.box_rc if roi is not None and index == _roi_seed(target) else None


def _roi_seed(target: Target) -> int:
    """The slice that stands for a 3D box: its middle one."""
    return (target.first + target.last) // 2


def _estimate(decoded: Decoded, place: int) -> Estimate:
    logits = decoded.logits[place, 0]
    presence = float(decoded.presence[place].sigmoid())
    score = presence * min(1.0, max(0.0, float(decoded.quality[place])))
    present = presence > 0.5 and bool((logits > 0).any())
    return Estimate(logits, score, present)


def _joined(runs: Sequence[MemoryRun]) -> MemoryRun:
    """One bank for several objects that are at the same slice with banks of one shape."""

    def join(memories: Sequence[Memory]) -> Memory:
        tokens = join_tokens([memory.tokens for memory in memories])
        return Memory(memories[0].index, tokens, torch.cat([m.pointer for m in memories]))

    first = runs[0]
    evidence = tuple(join(column) for column in zip(*(r.evidence for r in runs), strict=True))
    recent = (join(column) for column in zip(*(r.recent for r in runs), strict=True))
    pointers = (
        (torch.cat([pointer for pointer, _ in column]), column[0][1])
        for column in zip(*(r.pointers for r in runs), strict=True)
    )
    return MemoryRun(
        first.target, first.step, evidence, collections.deque(recent), collections.deque(pointers)
    )


def _part(memory: Memory, place: int) -> Memory:
    """One object's share of a memory made for several."""
    tokens = MemoryTokens(memory.tokens.values[place : place + 1])
    return Memory(memory.index, tokens, memory.pointer[place : place + 1])
