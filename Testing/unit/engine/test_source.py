from __future__ import annotations

import torch
from phantoms import moving_ball

from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.engine.features import FeatureCache
from medsam2.engine.frame import SliceFrame, whole_slice
from medsam2.engine.source import SliceSource

VOLUME = moving_ball((6, 32, 32))[0]
FRAME = SliceFrame.fit(whole_slice((32, 32)), (32, 32), (1.0, 1.0), 16)


def source(calls: list[int], batch: int = 1) -> SliceSource:
    def encode(images: torch.Tensor) -> list[tuple[torch.Tensor]]:
        calls.append(len(images))
        return [(image.mean(dim=0),) for image in images]

    return SliceSource(
        VOLUME,
        SliceAxis.K,
        Window(0, 255),
        weights="w",
        dtype=torch.float32,
        encode=encode,
        cache=FeatureCache(1 << 20),
        batch=batch,
    )


def test_each_slice_is_encoded_once():
    calls: list[int] = []
    slices = source(calls)
    first = slices.features(FRAME, 2)[0]
    torch.testing.assert_close(slices.features(FRAME, 2)[0], first)
    assert calls == [1]


def test_slices_ahead_are_encoded_in_one_batch():
    calls: list[int] = []
    slices = source(calls, batch=4)
    for index in range(6):
        slices.features(FRAME, index, ahead=range(index, 6))
    assert calls == [4, 2]


def test_after_a_lack_of_memory_slices_are_encoded_one_by_one():
    calls: list[int] = []
    slices = source(calls, batch=4)
    slices.shrink()
    slices.features(FRAME, 0, ahead=range(6))
    assert calls == [1]
