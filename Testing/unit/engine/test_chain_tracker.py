from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from phantoms import moving_ball
from tiny_engine import backend_for

from medsam2.bench.metrics import dice
from medsam2.core.backend import Origin, SessionOptions
from medsam2.core.errors import NoPromptError, UnsupportedPromptError
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    ObjectPrompts,
    PointPrompt,
    RoiBox,
    mask_on_slice,
)
from medsam2.core.volume import Volume
from medsam2.engine.backend import LocalBackend

ROI = RoiBox(2, 9, (18, 14, 46, 50))


@functools.cache
def backend(name: str) -> LocalBackend:
    return backend_for(name)


@pytest.fixture
def volume():
    return moving_ball(drift=0.5)[0]


def segment(name, volume, prompts, axis=SliceAxis.K):
    with backend(name).open(volume, SessionOptions(axis)) as session:
        session.put(1, prompts)
        results = {r.index: r for r in session.propagate()}
        return results, session.mask_kji(1)


def test_litemedsam_finds_a_bright_ball_from_its_box():
    volume, truth = moving_ball((6, 64, 64), drift=0.5)
    results, mask_kji = segment("litemedsam", volume, ObjectPrompts(roi=RoiBox(1, 4, ROI.box_rc)))
    truth[[0, 5]] = False
    assert sorted(results) == [1, 2, 3, 4]
    assert dice(mask_kji, truth) > 0.9


def test_nothing_outside_the_roi_is_segmented(volume):
    _, mask_kji = segment("tiny-random-chain", volume, ObjectPrompts(roi=ROI))
    assert mask_kji.any()
    r0, c0, r1, c1 = ROI.box_rc
    mask_kji[2:10, r0 : r1 + 1, c0 : c1 + 1] = False
    assert not mask_kji.any()


def test_a_corrected_slice_is_kept_bit_for_bit_and_informs_its_neighbours(volume):
    drawn = np.zeros((64, 64), bool)
    drawn[22:40, 30:47] = np.random.default_rng(3).random((18, 17)) > 0.3
    before, _ = segment("tiny-random-chain", volume, ObjectPrompts(roi=ROI))
    corrected = ObjectPrompts((mask_on_slice(4, drawn),), roi=ROI)
    after, _ = segment("tiny-random-chain", volume, corrected)
    np.testing.assert_array_equal(after[4].mask_rc.unpack(), drawn)
    assert after[4].origin is Origin.LOCKED
    changed = [
        i for i in (3, 5) if after[i].mask_rc.bits.tobytes() != before[i].mask_rc.bits.tobytes()
    ]
    assert changed


def test_an_erased_slice_ends_the_object_there(volume):
    empty = mask_on_slice(8, np.zeros((64, 64), bool))
    results, _ = segment("tiny-random-chain", volume, ObjectPrompts((empty,), roi=ROI))
    assert not results[8].mask_rc.unpack().any()
    assert not results[9].mask_rc.unpack().any()


def test_boxes_and_lines_on_a_slice_are_followed_over_the_range(volume):
    box = ObjectPrompts((BoxPrompt(5, (18, 16, 46, 48)),), slice_range=(3, 7))
    line = ObjectPrompts((LinePrompt(5, ((32, 18), (32, 46))),))
    assert sorted(segment("tiny-random-chain", volume, box)[0]) == [3, 4, 5, 6, 7]
    assert 5 in segment("tiny-random-chain", volume, line)[0]


def test_points_are_refused_with_what_to_do_instead(volume):
    points = ObjectPrompts((PointPrompt(5, (32.0, 32.0)),))
    with pytest.raises(UnsupportedPromptError, match="box, a line or a mask"):
        segment("tiny-random-chain", volume, points)


def test_an_empty_mask_alone_is_nothing_to_start_from(volume):
    with pytest.raises(NoPromptError, match="empty mask"):
        segment(
            "tiny-random-chain",
            volume,
            ObjectPrompts((mask_on_slice(5, np.zeros((64, 64), bool)),)),
        )


def test_objects_do_not_change_each_other(volume):
    _, alone = segment("tiny-random-chain", volume, ObjectPrompts(roi=ROI))
    with backend("tiny-random-chain").open(volume) as session:
        session.put(7, ObjectPrompts(roi=RoiBox(0, 11, (4, 4, 30, 30))))
        session.put(1, ObjectPrompts(roi=ROI))
        list(session.propagate())
        np.testing.assert_array_equal(session.mask_kji(1), alone)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    "flips", [(True, False, False), (False, True, True), (False, False, False)]
)
def test_the_way_a_volume_is_stored_does_not_change_what_is_segmented(volume, swap, flips):
    _, expected = segment("tiny-random-chain", volume, ObjectPrompts(roi=ROI))
    voxels, affine = volume.voxels_kji, volume.affine_ijk_to_ras.copy()
    box = [ROI.box_rc[0], ROI.box_rc[1], ROI.box_rc[2], ROI.box_rc[3]]
    first, last = ROI.first, ROI.last

    def restored(mask_kji: np.ndarray) -> np.ndarray:
        if swap:
            mask_kji = mask_kji.transpose(0, 2, 1)
        for axis, flip in enumerate(flips):
            mask_kji = np.flip(mask_kji, axis) if flip else mask_kji
        return mask_kji

    for axis, flip in enumerate(flips):
        if not flip:
            continue
        count, place = voxels.shape[axis], 2 - axis
        voxels = np.flip(voxels, axis)
        affine[:3, 3] += affine[:3, place] * (count - 1)
        affine[:3, place] *= -1
        if axis == 0:
            first, last = count - 1 - last, count - 1 - first
        else:
            low, high = axis - 1, axis + 1
            box[low], box[high] = count - 1 - box[high], count - 1 - box[low]
    if swap:
        voxels = voxels.transpose(0, 2, 1)
        affine = affine[:, [1, 0, 2, 3]]
        box = [box[1], box[0], box[3], box[2]]
    stored = Volume(np.ascontiguousarray(voxels), affine)
    roi = RoiBox(first, last, (box[0], box[1], box[2], box[3]))
    _, found = segment("tiny-random-chain", stored, ObjectPrompts(roi=roi))
    if flips[0]:
        # The order in which slices are followed is reversed, and ties between seeds may fall otherwise.
        assert dice(restored(found), expected) > 0.9
    else:
        np.testing.assert_array_equal(restored(found), expected)


def test_prompts_are_not_changed_by_being_used(volume):
    prompts = ObjectPrompts(roi=ROI)
    copy = dataclasses.replace(prompts)
    segment("tiny-random-chain", volume, prompts)
    assert prompts == copy
