"""The proof that the engine is SAM2: our logits against the stock predictor's."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from phantoms import moving_ball
from PIL import Image
from tiny_engine import tiny_model, tiny_tracker

from medsam2.core.backend import SessionOptions
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import BoxPrompt, ObjectPrompts, PointPrompt, mask_on_slice
from medsam2.core.volume import Volume
from medsam2.engine.device import Compute
from medsam2.engine.sam2_model import SAM2Model
from medsam2.models.sam2_builder import build_stock_predictor, random_weights
from medsam2.models.sam2_config import SAM2_1_TINY

COUNT = 5
TOLERANCE = 1e-3


@functools.cache
def weights(size: int) -> dict[str, torch.Tensor]:
    """Random weights, with memory's share made large enough that any mistake in it shows."""
    state = random_weights(SAM2_1_TINY.with_image_size(size), 11).state_dict()
    for name in ("maskmem_tpos_enc", "no_obj_embed_spatial"):
        state[name] = state[name] * 20
    for name in list(state):
        if "cross_attn_image" in name and name.endswith("weight"):
            state[name] = state[name] * 3
    return state


@functools.cache
def stock_predictor(size: int) -> torch.nn.Module:
    predictor = build_stock_predictor(SAM2_1_TINY.with_image_size(size))
    predictor.load_state_dict(weights(size))
    return predictor


@functools.cache
def our_model(size: int) -> SAM2Model:
    module = random_weights(SAM2_1_TINY.with_image_size(size), 11)
    module.load_state_dict(weights(size))
    return SAM2Model(module, Compute(torch.device("cpu"), torch.float32))


@functools.cache
def frames(size: int) -> tuple[Path, Volume]:
    """JPEG frames, and the very same decoded pixels as a volume."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    volume, _ = moving_ball((COUNT, size, size), drift=size / 40)
    decoded = []
    for index, plane in enumerate(volume.voxels_kji):
        path = folder / f"{index:03}.jpg"
        Image.fromarray(np.repeat(plane[..., None], 3, axis=2)).save(path, quality=95)
        decoded.append(np.array(Image.open(path).convert("RGB")))
    return folder, Volume(np.stack(decoded), np.diag([-1.0, -1.0, 1.0, 1.0]))


def prompts(kind: str, size: int, index: int) -> ObjectPrompts:
    half = size // 2
    disc = np.hypot(*(np.mgrid[:size, :size] - half)) < size / 5
    made = {
        "box": (BoxPrompt(index, (size // 4, size // 3, half + 30, half + 44)),),
        "point": (PointPrompt(index, (half, half + 2)),),
        "points": (
            PointPrompt(index, (half, half)),
            PointPrompt(index, (half - 9, half + 7)),
            PointPrompt(index, (5.0, 9.0), positive=False),
        ),
        "box and point": (
            BoxPrompt(index, (size // 4, size // 3, half + 30, half + 44)),
            PointPrompt(index, (half + 3, half)),
        ),
        "mask": (mask_on_slice(index, disc),),
    }
    return ObjectPrompts(made[kind])


def stock_logits(
    folder: Path, size: int, given: ObjectPrompts, index: int, *, reverse: bool
) -> dict[int, torch.Tensor]:
    predictor = stock_predictor(size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = predictor.init_state(str(folder))
        points, labels, box = [], [], None
        for prompt in given.prompts:
            if isinstance(prompt, BoxPrompt):
                r0, c0, r1, c1 = prompt.box_rc
                box = np.array([c0, r0, c1, r1], np.float32)
            elif isinstance(prompt, PointPrompt):
                points.append(prompt.point_rc[::-1])
                labels.append(int(prompt.positive))
            else:
                predictor.add_new_mask(state, index, 1, prompt.mask_rc.unpack())
        if points or box is not None:
            predictor.add_new_points_or_box(
                state,
                index,
                1,
                points=np.array(points, np.float32) if points else None,
                labels=np.array(labels, np.int32) if points else None,
                box=box,
            )
        tracked = predictor.propagate_in_video(state, start_frame_idx=index, reverse=reverse)
        return {frame: logits[0, 0] for frame, _, logits in tracked}


def our_logits(
    volume: Volume, size: int, given: ObjectPrompts, index: int, *, reverse: bool
) -> dict[int, torch.Tensor]:
    options = SessionOptions(window="0:255", crop=False)
    tracker = tiny_tracker(our_model(size), volume, options)
    target = tracker.target(given.checked(volume, SliceAxis.K), 0, COUNT - 1)
    run = tracker.start(target, tracker.evidence(target, index, []), [], -1 if reverse else 1)
    order = range(index - 1, -1, -1) if reverse else range(index + 1, COUNT)
    made = {}
    for i in order:
        logits = tracker.step([run], i, ())[0].logits
        made[i] = F.interpolate(logits[None, None], (size, size), mode="bilinear")[0, 0]
    return made


KINDS = ["box", "point", "points", "box and point", "mask"]
STARTS = [(0, False), (COUNT - 1, True)]
CASES = [(256, kind, index, reverse) for kind in KINDS for index, reverse in [*STARTS, (2, True)]]
CASES += [(512, "box", 0, False), (512, "points", COUNT - 1, True), (512, "mask", COUNT - 1, True)]


@pytest.mark.parametrize(("size", "kind", "index", "reverse"), CASES)
def test_logits_equal_the_stock_predictors(size, kind, index, reverse):
    folder, volume = frames(size)
    given = prompts(kind, size, index)
    ours = our_logits(volume, size, given, index, reverse=reverse)
    theirs = stock_logits(folder, size, given, index, reverse=reverse)
    for i, logits in ours.items():
        torch.testing.assert_close(logits, theirs[i], atol=TOLERANCE, rtol=0)


def test_the_parity_test_would_notice_a_memory_of_the_wrong_age():
    size = 256
    _, volume = frames(size)
    model = our_model(size)
    ages = model.attention._age_keys
    right = our_logits(volume, size, prompts("box", size, 0), 0, reverse=False)
    model.attention._age_keys = [keys[::-1] for keys in ages]
    try:
        wrong = our_logits(volume, size, prompts("box", size, 0), 0, reverse=False)
    finally:
        model.attention._age_keys = ages
    assert (right[COUNT - 1] - wrong[COUNT - 1]).abs().max() > 10 * TOLERANCE


def test_objects_moved_as_one_batch_get_the_logits_they_get_alone():
    volume, _ = moving_ball()
    given = [
        ObjectPrompts((BoxPrompt(3, (20, 20, 44, 44)),)),
        ObjectPrompts((BoxPrompt(3, (4, 30, 30, 60)),)),
    ]

    def follow(batch: int) -> list[torch.Tensor]:
        tracker = tiny_tracker(tiny_model(object_batch=batch), volume)
        runs = []
        for one in given:
            target = tracker.target(one, 0, 11)
            runs.append(tracker.start(target, tracker.evidence(target, 3, []), [], 1))
        made = [tracker.step(runs, index, ()) for index in range(4, 12)]
        return [e.logits for e in made[-1]]

    for together, alone in zip(follow(8), follow(1), strict=True):
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_encoding_ahead_in_batches_changes_nothing_but_rounding():
    volume, _ = moving_ball()
    given = ObjectPrompts((BoxPrompt(3, (20, 20, 44, 44)),))

    def follow(batch: int) -> torch.Tensor:
        tracker = tiny_tracker(tiny_model(), volume, batch=batch)
        target = tracker.target(given, 0, 11)
        run = tracker.start(target, tracker.evidence(target, 3, []), [], 1)
        return [tracker.step([run], i, range(i, 12))[0].logits for i in range(4, 12)][-1]

    torch.testing.assert_close(follow(4), follow(1), atol=1e-4, rtol=1e-4)


def test_bfloat16_follows_float32_closely():
    volume, _ = moving_ball()
    given = ObjectPrompts((BoxPrompt(3, (20, 20, 44, 44)),))

    def follow(dtype: torch.dtype) -> torch.Tensor:
        tracker = tiny_tracker(tiny_model(dtype), volume)
        target = tracker.target(given, 0, 11)
        run = tracker.start(target, tracker.evidence(target, 3, []), [], 1)
        return torch.stack([tracker.step([run], i, ())[0].logits for i in range(4, 8)])

    exact, rounded = follow(torch.float32), follow(torch.bfloat16)
    assert (exact - rounded).abs().mean() < 0.05 * exact.abs().mean()
