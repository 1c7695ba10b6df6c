"""Following objects by box chaining, for models without memory: LiteMedSAM, MedSAM, SAM1.

Slices are encoded once; only the small mask decoder runs per object, direction and candidate box.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medsam2.core.backend import Origin
from medsam2.core.errors import NoPromptError, UnsupportedPromptError
from medsam2.core.geometry import BoxRC
from medsam2.core.masks import BoolArray, bounding_box_rc
from medsam2.core.prompts import BoxPrompt, LinePrompt, MaskPrompt, ObjectPrompts, PointPrompt

from .appearance import Appearance
from .chain import Found, Known, area_around, from_box, next_slice, seed_rank, shrunk
from .frame import SliceFrame, whole_slice
from .orientation import display_orientation
from .sam1_model import SAM1Model
from .source import SliceSource
from .tracker import Estimate, Evidence, Run, Target

FloatArray = npt.NDArray[np.floating[Any]]

CONTEXT = 2.0
"""What an enlarging crop shows on each side of the object, in parts of its longer side."""
SMALL_PIXELS = 20
"""An object of fewer pixels of the model's input than this is seen enlarged; larger ones do better
with the whole slice, for where a crop cuts the body sways the model."""
SEED_SLICES, SEED_SPAN = 5, 0.4
"""How many slices are tried as the start, over which middle part of a 3D box."""


@dataclasses.dataclass(eq=False)
class ChainRun:
    """One object followed in one direction."""

    target: Target
    step: int
    near: Known
    far: Evidence | None
    origin: int


class ChainTracker:
    """A single-slice model on one opened volume.

    Args:
        model: shared with other sessions.
        source: the volume's encoded slices.
        crop: whether objects are seen enlarged.
    """

    def __init__(self, model: SAM1Model, source: SliceSource, *, crop: bool = True) -> None:
        self._model = model
        self._source = source
        self._crop = crop
        volume, axis = source.volume, source.axis
        self._shape_rc = volume.shape_rc(axis)
        self._spacing_rc = volume.spacing_rc(axis)
        self._orientation = display_orientation(volume.affine_ijk_to_ras, axis)
        self._seeds: dict[object, int] = {}

    def target(self, prompts: ObjectPrompts, first: int, last: int) -> Target:
        """Chooses the crop: the whole slice, or around a tiny object a square five times its size."""
        if any(isinstance(p, PointPrompt) for p in prompts.prompts):
            msg = (
                f"{prompts.name} has points, which this model can't take; give a box, a line or a "
                "mask, or take a SAM2 model (medsam2 models list)."
            )
            raise UnsupportedPromptError(msg)
        box = self._extent(prompts)
        if box is None:
            msg = f"{prompts.name} has an empty mask only; draw a box or a mask with pixels."
            raise NoPromptError(msg)
        frame = self._frame(whole_slice(self._shape_rc))
        x0, y0, x1, y1 = frame.boxes_to_model([box])[0]
        if self._crop and max(x1 - x0, y1 - y0) + 1 < SMALL_PIXELS:
            frame = self._frame(self._square(box))
        return Target(prompts, frame, first, last)

    @torch.inference_mode()
    def anchors(self, target: Target) -> list[int]:
        """Prompted slices, and with a ROI the slice of its middle part that is segmented best."""
        found = set(target.prompts.prompted_indices())
        roi = target.prompts.roi
        if roi is not None:
            key = roi, target.first, target.last, target.frame
            if key not in self._seeds:
                self._seeds[key] = self._choose_seed(target, roi.box_rc)
            found.add(self._seeds[key])
        return sorted(found)

    @torch.inference_mode()
    def evidence(self, target: Target, index: int, anchors: Sequence[Evidence]) -> Evidence:
        """Segments a prompted slice from its mask, its box, its line or the ROI's footprint.

        A slice without any of these is segmented from the nearest anchor's mask.
        """
        prompts = list(target.prompts.on_slice(index))
        mask = next((p for p in reversed(prompts) if isinstance(p, MaskPrompt)), None)
        if mask is not None:
            mask_rc = mask.mask_rc.unpack()
            known = self._known(target, index, target.frame.crop(mask_rc), Appearance())
            return Evidence(index, mask_rc, 1.0, Origin.LOCKED, known)
        box = self._prompt_box(prompts)
        if box is None and target.prompts.roi is not None:
            box = target.prompts.roi.box_rc
        if box is not None:
            found = from_box(
                self._decoder(target, index), self._inside(target, box), target.frame.crop_shape_rc
            )
            appearance = Appearance()
        else:
            nearest = min(anchors, key=lambda piece: abs(piece.index - index))
            found, appearance = self._follow(target, index, nearest.state, None)
        known = self._known(target, index, found.mask_rc, appearance)
        mask_rc = self.mask(target, torch.from_numpy(found.logits_rc))
        return Evidence(index, mask_rc, found.score, Origin.PROMPTED, known)

    def start(
        self, target: Target, origin: Evidence, others: Sequence[Evidence], step: int
    ) -> ChainRun:
        """Begins a run; the nearest of ``others`` ahead of it draws the shape towards itself."""
        ahead = [piece for piece in others if (piece.index - origin.index) * step > 0]
        far = min(ahead, key=lambda piece: abs(piece.index - origin.index), default=None)
        return ChainRun(target, step, origin.state, far, origin.index)

    @torch.inference_mode()
    def step(self, runs: Sequence[Run], index: int, ahead: Sequence[int]) -> list[Estimate]:
        """Moves runs to a slice, one after the other; they share its features."""
        moving = [run for run in runs if isinstance(run, ChainRun)]
        made = [self._step_one(run, index, ahead) for run in moving]
        # Runs advance only once all are through: a step that fails can be taken again.
        for run, (_, near) in zip(moving, made, strict=True):
            run.near = near
        return [estimate for estimate, _ in made]

    def mask(self, target: Target, logits: torch.Tensor) -> BoolArray:
        """Puts logits over the crop's pixels into the whole slice."""
        row0, col0, row1, col1 = target.frame.crop_rc
        mask_rc = np.zeros(self._shape_rc, dtype=bool)
        mask_rc[row0 : row1 + 1, col0 : col1 + 1] = (logits > 0).numpy()
        return mask_rc

    @torch.inference_mode()
    def warm(self, target: Target, index: int) -> None:
        """Encodes a slice ahead of need; see the protocol."""
        self._source.features(target.frame, index)

    def use_less_memory(self) -> None:
        """Frees kept features and encodes one slice at a time from now on."""
        self._source.shrink()

    def _step_one(self, run: ChainRun, index: int, ahead: Sequence[int]) -> tuple[Estimate, Known]:
        """Finds the object on a slice; returns what to look for next, too."""
        target, near, far = run.target, run.near, None
        if run.far is not None:
            progress = (index - run.origin) / (run.far.index - run.origin)
            far = run.far.state.mask_rc, progress
        self._source.features(target.frame, index, ahead)
        found, appearance = self._follow(target, index, run.near, far)
        mask_rc = found.mask_rc
        if not mask_rc.any() and run.near.mask_rc.any() and self._footprint(target) is not None:
            mask_rc = shrunk(run.near.mask_rc)
            found = Found(mask_rc, np.where(mask_rc, 0.1, -0.1), 0.0)
        present = bool(mask_rc.any())
        if present:
            near = self._known(target, index, mask_rc, appearance)
        return Estimate(torch.from_numpy(found.logits_rc).float(), found.score, present), near

    def _follow(
        self, target: Target, index: int, near: Known, far: tuple[BoolArray, float] | None
    ) -> tuple[Found, Appearance]:
        ratio_rc = near.appearance.log_ratio(self._image(target, index))
        decode = self._decoder(target, index)
        found = next_slice(decode, near, ratio_rc, self._footprint(target), far)
        return found, near.appearance

    def _known(
        self, target: Target, index: int, mask_rc: BoolArray, appearance: Appearance
    ) -> Known:
        area_rc = area_around(mask_rc, self._footprint(target))
        return Known(mask_rc, appearance.updated(self._image(target, index), mask_rc, area_rc))

    def _image(self, target: Target, index: int) -> FloatArray:
        plane = target.frame.crop(self._source.volume.slice_rc(self._source.axis, index))
        image_rc = self._source.window.apply(plane)
        return image_rc.mean(axis=-1) if image_rc.ndim == 3 else image_rc

    def _decoder(self, target: Target, index: int) -> Any:
        frame = target.frame
        features = self._source.features(frame, index)
        corner = np.tile(np.array(frame.crop_rc[:2], dtype=np.float64), 2)

        def decode(boxes_crop: FloatArray) -> tuple[FloatArray, FloatArray]:
            boxes_xy = torch.from_numpy(frame.boxes_to_model(boxes_crop + corner))
            logits, quality = self._model.decode(features, boxes_xy)
            return frame.logits_to_crop(logits).cpu().numpy(), quality.cpu().numpy()

        return decode

    def _choose_seed(self, target: Target, box_rc: BoxRC) -> int:
        first, last = target.first, target.last
        middle, half = (first + last) / 2, (last - first) * SEED_SPAN / 2
        tried = np.unique(np.rint(np.linspace(middle - half, middle + half, SEED_SLICES)))
        box, shape = self._inside(target, box_rc), target.frame.crop_shape_rc

        def rank(index: int) -> float:
            return seed_rank(self._decoder(target, index), box, shape)

        return max((int(index) for index in tried), key=rank)

    def _footprint(self, target: Target) -> FloatArray | None:
        roi = target.prompts.roi
        return None if roi is None else self._inside(target, roi.box_rc)

    @staticmethod
    def _inside(target: Target, box_rc: BoxRC) -> FloatArray:
        """A box of the slice in the pixels of the crop, cut at its border."""
        row0, col0, row1, col1 = target.frame.crop_rc
        box = np.clip(box_rc, (row0, col0, row0, col0), (row1, col1, row1, col1))
        return box - np.array((row0, col0, row0, col0), dtype=np.float64)

    def _prompt_box(self, prompts: Sequence[object]) -> BoxRC | None:
        for prompt in reversed(prompts):
            if isinstance(prompt, BoxPrompt):
                return prompt.box_rc
            if isinstance(prompt, LinePrompt):
                return prompt.box_rc(self._spacing_rc, self._shape_rc)
        return None

    def _extent(self, prompts: ObjectPrompts) -> BoxRC | None:
        """The box to centre the crop on: the ROI's, else that of all boxes, else a mask's."""
        if prompts.roi is not None:
            return prompts.roi.box_rc
        drawn = [self._prompt_box([p]) for p in prompts.prompts]
        boxes = [box for box in drawn if box is not None]
        if not boxes:
            masks = (p.mask_rc.unpack() for p in prompts.prompts if isinstance(p, MaskPrompt))
            boxes = [box for box in map(bounding_box_rc, masks) if box is not None][:1]
        if not boxes:
            return None
        corners = np.array(boxes)
        low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _frame(self, crop_rc: BoxRC) -> SliceFrame:
        return SliceFrame.fit(
            crop_rc, self._shape_rc, self._spacing_rc, self._model.size, self._orientation
        )

    def _square(self, box_rc: BoxRC) -> BoxRC:
        spacing = np.array(self._spacing_rc)
        box = np.array(box_rc, dtype=np.float64).reshape(2, 2)
        side_mm = float(((box[1] - box[0] + 1) * spacing).max()) * (1 + 2 * CONTEXT)
        centre = (box[0] + box[1] + 1) / 2
        low = np.maximum(np.floor(centre - side_mm / 2 / spacing), 0).astype(int)
        high = np.ceil(centre + side_mm / 2 / spacing).astype(int) - 1
        high = np.minimum(high, np.array(self._shape_rc) - 1)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])
