from __future__ import annotations

import numpy as np
import pytest
import torch
from phantoms import moving_ball

from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.volume import Volume
from medsam2.engine.features import FeatureCache, Features
from medsam2.engine.frame import SliceFrame, whole_slice
from medsam2.engine.source import Encode, SliceSource

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


def encoding(calls: list[int]) -> Encode:
    """Gives each image back as its features and notes how many came at once."""

    def encode(images: torch.Tensor) -> list[Features]:
        calls.append(len(images))
        return [(image.clone(),) for image in images]

    return encode


def changed(calls: list[int], **changes) -> SliceSource:
    given = {
        "volume": VOLUME,
        "axis": SliceAxis.K,
        "window": Window(0, 255),
        "weights": "w",
        "dtype": torch.float32,
        "encode": encoding(calls),
        "cache": FeatureCache(1 << 20),
    }
    return SliceSource(**{**given, **changes})


@pytest.mark.parametrize("axis", SliceAxis)
def test_the_encoder_sees_the_windowed_crop_of_the_asked_slice_on_every_axis(axis):
    slices = changed([], axis=axis, batch=3)
    shape_rc, spacing_rc = VOLUME.shape_rc(axis), VOLUME.spacing_rc(axis)
    frame = SliceFrame.fit(whole_slice(shape_rc), shape_rc, spacing_rc, 16)
    for index in (4, 1, 5):
        plane = np.moveaxis(VOLUME.voxels_kji, axis.value, 0)[index]
        (seen,) = slices.features(frame, index, ahead=range(6))
        torch.testing.assert_close(seen, frame.image(plane, Window(0, 255)), rtol=0, atol=0)


def test_a_batch_is_filled_with_slices_that_are_not_there_yet():
    calls: list[int] = []
    slices = source(calls, batch=3)
    slices.features(FRAME, 1)
    slices.features(FRAME, 0, ahead=range(6))
    for index in (2, 3):
        slices.features(FRAME, index, ahead=range(6))
    assert calls == [1, 3]


def test_slices_ahead_wait_where_one_is_encoded_at_a_time():
    calls: list[int] = []
    source(calls).features(FRAME, 0, ahead=range(6))
    assert calls == [1]


def test_shrinking_frees_what_is_kept_and_changes_no_feature():
    calls: list[int] = []
    cache = FeatureCache(1 << 20)
    slices = changed(calls, cache=cache, batch=4)
    before = slices.features(FRAME, 0, ahead=range(6))[0].clone()
    slices.shrink()
    assert cache.used_bytes == 0
    assert torch.equal(slices.features(FRAME, 0, ahead=range(6))[0], before)
    assert calls == [4, 1]


def test_sources_of_equal_images_share_a_cache():
    calls: list[int] = []
    cache = FeatureCache(1 << 20)
    copy = Volume(VOLUME.voxels_kji.copy(), VOLUME.affine_ijk_to_ras, name="a copy")
    for volume in (VOLUME, copy):
        changed(calls, volume=volume, cache=cache).features(FRAME, 2)
    assert calls == [1]


@pytest.mark.parametrize(
    "change",
    [{"weights": "other"}, {"window": Window(0, 100)}, {"dtype": torch.bfloat16}],
    ids=["weights", "window", "number format"],
)
def test_what_features_depend_on_keeps_them_apart(change):
    calls: list[int] = []
    cache = FeatureCache(1 << 20)
    changed(calls, cache=cache).features(FRAME, 2)
    changed(calls, cache=cache, **change).features(FRAME, 2)
    assert calls == [1, 1]


def test_crops_of_one_slice_are_kept_apart():
    calls: list[int] = []
    slices = source(calls)
    slices.features(FRAME, 2)
    slices.features(SliceFrame.fit((5, 5, 24, 24), (32, 32), (1.0, 1.0), 16), 2)
    assert calls == [1, 1]
