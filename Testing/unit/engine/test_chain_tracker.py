from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from chain_engine import ThresholdModel, chain_session, chain_tracker
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
from medsam2.engine.features import FeatureCache
from medsam2.engine.session import LocalSession

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


def threshold_session(volume: Volume, options: SessionOptions | None = None) -> LocalSession:
    return chain_session(volume, options, model=ThresholdModel())


def darkened(volume: Volume, *indices: int) -> Volume:
    """The same volume with slices that show nothing."""
    voxels = volume.voxels_kji.copy()
    voxels[list(indices)] = 60
    return Volume(voxels, volume.affine_ijk_to_ras)


@pytest.mark.parametrize(
    "prompts",
    [
        ObjectPrompts(roi=RoiBox(0, 11, (10, 10, 54, 54))),
        ObjectPrompts((BoxPrompt(6, (17, 17, 47, 47)),)),
        ObjectPrompts((BoxPrompt(0, (17, 14, 47, 44)),)),
        ObjectPrompts((LinePrompt(11, ((32, 20), (32, 47))),), slice_range=(0, 11)),
    ],
    ids=["roi", "box", "box at the end", "line"],
)
def test_with_a_model_that_sees_a_drifting_ball_is_found_exactly(volume, prompts):
    _, truth_kji = moving_ball(drift=0.5)
    with threshold_session(volume) as session:
        session.put(1, prompts)
        results = list(session.propagate())
        np.testing.assert_array_equal(session.mask_kji(1), truth_kji)
    assert all(0 < r.score <= 1 for r in results)


def test_a_colour_volume_is_followed_as_a_grey_one(volume):
    colour = Volume(np.repeat(volume.voxels_kji[..., None], 3, -1), volume.affine_ijk_to_ras)
    with threshold_session(colour) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(0, 11, (10, 10, 54, 54))))
        list(session.propagate())
        np.testing.assert_array_equal(session.mask_kji(1), moving_ball(drift=0.5)[1])


def test_inside_a_roi_a_slice_that_shows_nothing_gets_its_neighbours_mask_pulled_in(volume):
    _, truth_kji = moving_ball(drift=0.5)
    with threshold_session(darkened(volume, 9)) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(1, 10, (10, 10, 54, 54))))
        results = {r.index: r for r in session.propagate()}
    guess_rc = results[9].mask_rc.unpack()
    assert 0 < guess_rc.sum() < truth_kji[8].sum()
    assert not (guess_rc & ~truth_kji[8]).any()
    assert results[9].score == 0
    np.testing.assert_array_equal(results[10].mask_rc.unpack(), truth_kji[10])


def test_without_a_roi_such_a_slice_is_empty_and_the_object_is_found_again_behind_it(volume):
    _, truth_kji = moving_ball(drift=0.5)
    with threshold_session(darkened(volume, 9)) as session:
        session.put(1, ObjectPrompts((BoxPrompt(6, (17, 17, 47, 47)),)))
        results = {r.index: r.mask_rc.unpack() for r in session.propagate()}
    assert not results[9].any()
    np.testing.assert_array_equal(results[10], truth_kji[10])


def test_following_starts_on_a_slice_that_shows_the_object(volume):
    roi = ObjectPrompts(roi=RoiBox(1, 10, (17, 14, 47, 50)))
    tracker = chain_tracker(darkened(volume, 5, 6), model=ThresholdModel())
    (seed,) = tracker.anchors(tracker.target(roi, 1, 10))
    assert 3 <= seed <= 8
    assert seed not in {5, 6}


def test_slices_between_two_corrections_come_from_both_and_are_the_preview_on_them(volume):
    _, truth_kji = moving_ball(drift=0.5)
    locks = tuple(mask_on_slice(i, truth_kji[i]) for i in (2, 8))
    with threshold_session(volume) as session:
        session.put(1, ObjectPrompts(locks))
        preview = session.predict(1, 8)
        results = {r.index: r for r in session.propagate()}
    np.testing.assert_array_equal(preview.mask_rc.unpack(), truth_kji[8])
    assert {results[i].origin for i in range(3, 8)} == {Origin.BLENDED}
    for index in range(12):
        np.testing.assert_array_equal(results[index].mask_rc.unpack(), truth_kji[index])


def test_the_preview_of_a_slice_without_prompts_follows_from_the_nearest(volume):
    _, truth_kji = moving_ball(drift=0.5)
    with threshold_session(volume) as session:
        session.put(1, ObjectPrompts((BoxPrompt(6, (17, 17, 47, 47)),)))
        found_rc = session.predict(1, 7).mask_rc.unpack()
    np.testing.assert_array_equal(found_rc, truth_kji[7])


def test_only_a_tiny_object_is_seen_enlarged():
    volume, _ = moving_ball((3, 512, 512))
    tiny = ObjectPrompts((BoxPrompt(1, (100, 200, 109, 207)),))
    large = ObjectPrompts((BoxPrompt(1, (100, 200, 400, 420)),))
    tracker = chain_tracker(volume)
    row0, col0, row1, col1 = tracker.target(tiny, 0, 2).frame.crop_rc
    assert (row0, row1) == (80, 129)
    assert col0 < 200 < 207 < col1 < 240
    whole_rc = (0, 0, 511, 511)
    assert tracker.target(large, 0, 2).frame.crop_rc == whole_rc
    uncropped = chain_tracker(volume, SessionOptions(crop=False))
    assert uncropped.target(tiny, 0, 2).frame.crop_rc == whole_rc


def test_a_tiny_object_seen_enlarged_is_put_back_where_it_lies():
    mask_kji = np.zeros((3, 256, 256), bool)
    mask_kji[:, 100:108, 200:207] = True
    volume = Volume(np.where(mask_kji, 200, 20).astype(np.uint8), np.eye(4))
    with threshold_session(volume) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(0, 2, (97, 197, 110, 209))))
        list(session.propagate())
        assert dice(session.mask_kji(1), mask_kji) > 0.9


def test_masks_are_the_same_with_a_cold_a_warm_and_a_full_cache(volume):
    def follow(cache: FeatureCache) -> bytes:
        with chain_session(volume, cache=cache) as session:
            session.put(1, ObjectPrompts(roi=ROI))
            list(session.propagate())
            return session.mask_kji(1).tobytes()

    roomy = FeatureCache(64 << 20)
    cold, warm, starved = follow(roomy), follow(roomy), follow(FeatureCache(1))
    assert roomy.encoded == ROI.last - ROI.first + 1
    assert cold == warm == starved


def test_the_axis_a_volume_is_stored_along_does_not_change_what_is_segmented(volume):
    _, expected = segment("tiny-random-chain", volume, ObjectPrompts(roi=ROI))
    turned = Volume(
        np.ascontiguousarray(volume.voxels_kji.transpose(2, 1, 0)),
        volume.affine_ijk_to_ras[:, [2, 1, 0, 3]],
    )
    row0, col0, row1, col1 = ROI.box_rc
    roi = RoiBox(ROI.first, ROI.last, (col0, row0, col1, row1))
    _, found = segment("tiny-random-chain", turned, ObjectPrompts(roi=roi), SliceAxis.I)
    np.testing.assert_array_equal(found.transpose(2, 1, 0), expected)


def test_an_oblique_volume_is_segmented_as_the_same_voxels_upright(volume):
    _, expected = segment("tiny-random-chain", volume, ObjectPrompts(roi=ROI))
    angle = np.radians(20)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = Volume(volume.voxels_kji, tilt @ volume.affine_ijk_to_ras)
    _, found = segment("tiny-random-chain", oblique, ObjectPrompts(roi=ROI))
    np.testing.assert_array_equal(found, expected)


def test_litemedsam_finds_a_ball_in_pixels_that_are_not_square_however_they_are_stored():
    j, i = np.ogrid[:40, :80]
    mask_kji = np.repeat((np.hypot((j - 20) * 1.6, (i - 40) * 0.8) < 14)[None], 2, axis=0)
    noise = np.random.default_rng(0).normal(60, 8, mask_kji.shape)
    voxels = (noise + 120 * mask_kji).astype(np.uint8)
    upright = Volume(voxels, np.diag([0.8, 1.6, 2.0, 1.0]))
    roi = RoiBox(0, 1, (10, 20, 30, 60))
    _, found = segment("litemedsam", upright, ObjectPrompts(roi=roi))
    assert dice(found, mask_kji) > 0.9
    affine = upright.affine_ijk_to_ras[:, [1, 0, 2, 3]].copy()
    affine[:3, 3] += 79 * affine[:3, 1]
    affine[:3, 1] *= -1
    turned = Volume(np.ascontiguousarray(voxels[:, :, ::-1].transpose(0, 2, 1)), affine)
    turned_roi = RoiBox(0, 1, (79 - 60, 10, 79 - 20, 30))
    _, again = segment("litemedsam", turned, ObjectPrompts(roi=turned_roi))
    np.testing.assert_array_equal(again.transpose(0, 2, 1)[:, :, ::-1], found)
