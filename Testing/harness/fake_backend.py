"""A backend without a model: masks follow from the prompts by a plain rule, at once.

A slice's mask is, in this order: the user's own mask where one was put; else all pixels that the
window shows brighter than half, within the footprint of the slice's box, of the ROI, or of the
nearest prompted slice. A point counts as a box of three pixels' reach, a line as its square.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Self

import numpy as np

from medsam2.core.backend import (
    CancelToken,
    Direction,
    ModelInfo,
    Origin,
    SessionOptions,
    SliceResult,
)
from medsam2.core.errors import NoPromptError, SessionClosedError, UnsupportedPromptError
from medsam2.core.geometry import BoxRC
from medsam2.core.intensity import Window, resolve_window
from medsam2.core.masks import BoolArray, PackedMask, bounding_box_rc, stack_slices
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    Prompt,
)
from medsam2.core.volume import Volume

ALL_KINDS = frozenset({"box", "line", "mask", "point", "roi"})
_KINDS = {BoxPrompt: "box", LinePrompt: "line", MaskPrompt: "mask", PointPrompt: "point"}
_REACH = 3


class FakeSession:
    """A session that thresholds; see :class:`medsam2.core.backend.Session`."""

    def __init__(
        self,
        volume: Volume,
        options: SessionOptions,
        kinds: frozenset[str],
        on_slice: Callable[[int], None],
    ) -> None:
        self._volume = volume
        self._kinds = kinds
        self._options = options
        self._window = resolve_window(volume, options.window)
        self._on_slice = on_slice
        self._objects: dict[int, ObjectPrompts] = {}
        self._results: dict[int, dict[int, SliceResult]] = {}
        self._closed = False

    @property
    def volume(self) -> Volume:
        return self._volume

    @property
    def options(self) -> SessionOptions:
        return self._options

    @property
    def window(self) -> Window:
        return self._window

    def put(self, object_id: int, prompts: ObjectPrompts) -> None:
        self._check_open()
        checked = prompts.checked(self._volume, self._options.axis)
        inside = checked.within(*checked.span(self._volume, self._options.axis))
        if not inside.roi and not any(getattr(p, "positive", True) for p in inside.prompts):
            raise NoPromptError(f"{prompts.name} has clicks outside it only; add one inside.")
        used = {_KINDS[type(p)] for p in prompts.prompts} | ({"roi"} if prompts.roi else set())
        if used - self._kinds:
            raise UnsupportedPromptError(f"The fake takes no {', '.join(used - self._kinds)}.")
        self._objects[object_id] = prompts
        self._results.setdefault(object_id, {})

    def remove(self, object_id: int) -> None:
        self._objects.pop(object_id, None)
        self._results.pop(object_id, None)

    def objects(self) -> dict[int, ObjectPrompts]:
        return dict(self._objects)

    def predict(self, object_id: int, index: int) -> SliceResult:
        self._check_open()
        return self._made(object_id, self._prompts(object_id), index)

    def propagate(
        self,
        object_ids: Collection[int] | None = None,
        direction: Direction = Direction.BOTH,
        cancel: CancelToken | None = None,
    ) -> Iterator[SliceResult]:
        self._check_open()
        objects = {object_id: self._prompts(object_id) for object_id in self._ids(object_ids)}
        return self._propagate(objects, direction, cancel or CancelToken())

    def _propagate(
        self, objects: dict[int, ObjectPrompts], direction: Direction, cancel: CancelToken
    ) -> Iterator[SliceResult]:
        for object_id, prompts in objects.items():
            anchors = self._anchors(prompts)
            span = self._span(prompts)
            kept = self._results[object_id]
            for index in [index for index in kept if index not in span]:
                del kept[index]
            for index in sorted(span, key=lambda n: (min(abs(n - a) for a in anchors), n)):
                if direction is Direction.FORWARD and index < min(anchors):
                    continue
                if direction is Direction.BACKWARD and index > max(anchors):
                    continue
                cancel.check()
                self._on_slice(index)
                kept[index] = self._made(object_id, prompts, index)
                yield kept[index]

    def plan(self, object_ids: Collection[int] | None = None) -> int:
        return sum(len(self._span(self._prompts(n))) for n in self._ids(object_ids))

    def results(self, object_id: int) -> dict[int, SliceResult]:
        self._prompts(object_id)
        return dict(sorted(self._results[object_id].items()))

    def mask_kji(self, object_id: int) -> BoolArray:
        masks = {index: result.mask_rc for index, result in self.results(object_id).items()}
        return stack_slices(masks, self._options.axis, self._volume.shape_kji)

    def close(self) -> None:
        self._closed = True

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
            raise SessionClosedError("The session is closed; open a new one.")

    def _ids(self, object_ids: Collection[int] | None) -> list[int]:
        return sorted(self._objects if object_ids is None else set(object_ids))

    def _prompts(self, object_id: int) -> ObjectPrompts:
        self._check_open()
        if object_id not in self._objects:
            raise NoPromptError(f"Object {object_id} has no prompt yet; put one first.")
        return self._objects[object_id].checked(self._volume, self._options.axis)

    def _made(self, object_id: int, prompts: ObjectPrompts, index: int) -> SliceResult:
        own = [p for p in prompts.on_slice(index) if isinstance(p, MaskPrompt)]
        if own:
            return SliceResult(object_id, index, own[-1].mask_rc, 1.0, Origin.LOCKED)
        mask_rc = np.zeros(self._volume.shape_rc(self._options.axis), dtype=bool)
        row0, col0, row1, col1 = self._footprint(prompts, index)
        footprint = slice(max(0, row0), row1 + 1), slice(max(0, col0), col1 + 1)
        grey = self._window.apply(self._volume.slice_rc(self._options.axis, index))
        grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
        mask_rc[footprint] = grey[footprint] > 0.5
        origin = Origin.PROMPTED if index in self._anchors(prompts) else Origin.TRACKED
        return SliceResult(object_id, index, PackedMask.pack(mask_rc), 0.9, origin)

    def _span(self, prompts: ObjectPrompts) -> range:
        first, last = prompts.span(self._volume, self._options.axis)
        return range(first, last + 1)

    def _anchors(self, prompts: ObjectPrompts) -> list[int]:
        span = self._span(prompts)
        return [n for n in prompts.prompted_indices() if n in span] or [span[len(span) // 2]]

    def _footprint(self, prompts: ObjectPrompts, index: int) -> BoxRC:
        if prompts.prompts:
            near = min(prompts.prompted_indices(), key=lambda n: abs(n - index))
            boxes = [box for p in prompts.on_slice(near) if (box := self._box(p))]
            if boxes:
                row0, col0, row1, col1 = zip(*boxes, strict=True)
                return min(row0), min(col0), max(row1), max(col1)
        rows, columns = self._volume.shape_rc(self._options.axis)
        return prompts.roi.box_rc if prompts.roi else (0, 0, rows - 1, columns - 1)

    def _box(self, prompt: Prompt) -> BoxRC | None:
        axis, volume = self._options.axis, self._volume
        match prompt:
            case BoxPrompt():
                return prompt.box_rc
            case PointPrompt() if prompt.positive:
                row, col = (round(x) for x in prompt.point_rc)
                return row - _REACH, col - _REACH, row + _REACH, col + _REACH
            case LinePrompt():
                return prompt.box_rc(volume.spacing_rc(axis), volume.shape_rc(axis))
            case MaskPrompt():
                return bounding_box_rc(prompt.mask_rc.unpack())
        return None


class FakeBackend:
    """Opens sessions that threshold; see :class:`medsam2.core.backend.Backend`.

    Args:
        kinds: of prompts that it takes.
        on_slice: called with a slice's index before it is made, to cancel, wait or fail there.
    """

    def __init__(
        self,
        kinds: frozenset[str] = ALL_KINDS,
        on_slice: Callable[[int], None] = lambda index: None,
    ) -> None:
        self._kinds = kinds
        self._on_slice = on_slice
        self.closed = False
        self.sessions: list[FakeSession] = []

    @property
    def model(self) -> ModelInfo:
        return ModelInfo("fake", self._kinds, "cpu", "0" * 64, "Apache-2.0")

    def open(self, volume: Volume, options: SessionOptions | None = None) -> FakeSession:
        if self.closed:
            raise SessionClosedError("The backend is closed; make a new one.")
        session = FakeSession(volume, options or SessionOptions(), self._kinds, self._on_slice)
        self.sessions.append(session)
        return session

    def close(self) -> None:
        self.closed = True
