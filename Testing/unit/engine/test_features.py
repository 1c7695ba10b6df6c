from __future__ import annotations

import pytest
import torch
from phantoms import moving_ball
from tiny_engine import backend_for

from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.prompts import ObjectPrompts, RoiBox
from medsam2.engine.features import FeatureCache, FeatureKey
from medsam2.engine.frame import SliceFrame

FRAME = SliceFrame((0, 0, 7, 7), (8, 8), (8, 8), 8)
BYTES = 400


def key(index: int, **changes) -> FeatureKey:
    values = {
        "volume": "v", "axis": SliceAxis.K, "index": index, "frame": FRAME,
        "window": Window(0, 1), "weights": "w", "dtype": torch.float32,
    }  # fmt: skip
    return FeatureKey(**{**values, **changes})


def encode(keys):
    return [(torch.full((BYTES // 4,), float(k.index)),) for k in keys]


def test_features_are_made_once_and_given_in_the_order_asked():
    cache = FeatureCache(10 * BYTES)
    assert [int(f[0][0]) for f in cache.get([key(2), key(1), key(2)], encode)] == [2, 1, 2]
    cache.get([key(1), key(2)], encode)
    assert cache.encoded == 2


def test_the_least_recently_used_goes_first_and_the_budget_holds():
    cache = FeatureCache(3 * BYTES)
    for index in (0, 1, 2, 0, 3):
        cache.get([key(index)], encode)
    assert [key(n) in cache for n in (0, 1)] == [True, False]
    assert cache.used_bytes <= 3 * BYTES


def test_anything_that_changes_the_encoding_changes_the_key():
    cache = FeatureCache(100 * BYTES)
    changes = [
        {}, {"volume": "u"}, {"axis": SliceAxis.I}, {"window": Window(0, 2)}, {"weights": "x"},
        {"dtype": torch.bfloat16}, {"frame": SliceFrame((0, 0, 3, 3), (8, 8), (8, 8), 8)},
    ]  # fmt: skip
    for change in changes:
        cache.get([key(0, **change)], encode)
    assert cache.encoded == len(changes)


def test_shrinking_frees_all_and_keeps_less_from_then_on():
    cache = FeatureCache(4 * BYTES)
    cache.get([key(i) for i in range(4)], encode)
    cache.shrink()
    assert len(cache) == cache.used_bytes == 0
    for index in range(4):
        cache.get([key(index)], encode)
    assert cache.used_bytes == 2 * BYTES


@pytest.mark.parametrize("name", ["tiny-random", "tiny-random-chain"])
def test_slices_encoded_ahead_of_need_keep_no_activations_alive(name, monkeypatch):
    kept = []

    def get(self, keys, encode):
        made = plain_get(self, keys, encode)
        kept.extend(level for features in made for level in features)
        return made

    plain_get = FeatureCache.get
    monkeypatch.setattr(FeatureCache, "get", get)
    volume, _ = moving_ball()
    with backend_for(name).open(volume) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(2, 9, (18, 14, 46, 50))))
        assert len(list(session.warm(1))) > 1
    assert kept
    assert all(level.grad_fn is None for level in kept)
