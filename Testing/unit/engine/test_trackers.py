from __future__ import annotations

import dataclasses

import pytest
import torch
from phantoms import moving_ball

from medsam2.core.backend import SessionOptions
from medsam2.core.intensity import Window
from medsam2.core.prompts import BoxPrompt, ObjectPrompts, RoiBox
from medsam2.engine.chain_tracker import ChainTracker
from medsam2.engine.device import Compute
from medsam2.engine.features import FeatureCache
from medsam2.engine.memory_tracker import MemoryTracker
from medsam2.engine.trackers import make_model
from medsam2.models.load import load_model

KINDS = {"tiny-random": MemoryTracker, "tiny-random-chain": ChainTracker}
COMPUTE = Compute(torch.device("cpu"), torch.float32)
WINDOW = Window(0, 255)


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_the_registry_decides_how_a_model_follows_objects(name, kind):
    model = make_model(load_model(name), COMPUTE)
    tracker = model.open(moving_ball()[0], SessionOptions(), WINDOW, FeatureCache(1 << 20))
    assert isinstance(tracker, kind)


@pytest.mark.parametrize("name", KINDS)
def test_the_options_crop_reaches_the_tracker(name):
    volume, _ = moving_ball((3, 512, 512))
    model, cache = make_model(load_model(name), COMPUTE), FeatureCache(1 << 20)
    tiny = ObjectPrompts(roi=RoiBox(0, 2, (100, 200, 109, 207)))
    crops = {
        crop: model.open(volume, SessionOptions(crop=crop), WINDOW, cache)
        .target(tiny, 0, 2)
        .frame.crop_rc
        for crop in (True, False)
    }
    assert crops[False] == (0, 0, 511, 511)
    assert crops[True] != crops[False]


@pytest.mark.parametrize("name", KINDS)
def test_slices_are_encoded_in_batches_of_the_devices_size_until_memory_runs_out(name):
    compute = dataclasses.replace(COMPUTE, encoder_batch=4)
    volume, cache = moving_ball()[0], FeatureCache(64 << 20)
    tracker = make_model(load_model(name), compute).open(volume, SessionOptions(), WINDOW, cache)
    target = tracker.target(ObjectPrompts((BoxPrompt(0, (20, 20, 44, 44)),)), 0, 11)
    run = tracker.start(target, tracker.evidence(target, 0, []), [], 1)
    tracker.step([run], 1, range(1, 12))
    assert cache.encoded == 5
    tracker.use_less_memory()
    assert len(cache) == 0
    tracker.step([run], 2, range(2, 12))
    assert cache.encoded == 6


def test_models_of_different_weights_share_a_cache_without_sharing_features():
    volume, cache = moving_ball()[0], FeatureCache(64 << 20)
    box = ObjectPrompts((BoxPrompt(0, (20, 20, 44, 44)),))
    for name in KINDS:
        model = make_model(load_model(name), COMPUTE)
        tracker = model.open(volume, SessionOptions(), WINDOW, cache)
        tracker.evidence(tracker.target(box, 0, 11), 0, [])
    assert cache.encoded == len(cache) == 2
