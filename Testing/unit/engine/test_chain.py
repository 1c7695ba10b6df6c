from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from medsam2.core.masks import bounding_box_rc
from medsam2.engine.appearance import LIMIT, Appearance
from medsam2.engine.chain import (
    ABSENT,
    Known,
    box_mask,
    candidates,
    cleaned,
    clipped,
    dice,
    from_box,
    next_slice,
    seed_rank,
    shrunk,
)

SHAPE = (40, 50)
LEVEL = np.zeros(SHAPE)
"""Intensities that tell nothing."""

shapes = st.tuples(st.integers(1, 14), st.integers(1, 14))
masks = shapes.flatmap(lambda shape: hnp.arrays(np.bool_, shape))


@st.composite
def boxes_rc(draw: st.DrawFn) -> np.ndarray:
    """Boxes of whole pixels inside a slice."""
    row0, row1 = sorted(draw(st.tuples(*[st.integers(0, SHAPE[0] - 1)] * 2)))
    col0, col1 = sorted(draw(st.tuples(*[st.integers(0, SHAPE[1] - 1)] * 2)))
    return np.array([row0, col0, row1, col1], dtype=np.float64)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(rows - row, columns - column) < radius


def decoder(mask_rc: np.ndarray, quality: float = 0.9):
    """A model that finds the part of a mask that lies in the box."""

    def decode(boxes_rc):
        inside = [np.where(mask_rc & box_mask(box, SHAPE), 5.0, -5.0) for box in boxes_rc]
        return np.array(inside), np.full(len(boxes_rc), quality)

    return decode


def blind(boxes_rc):
    return np.full((len(boxes_rc), *SHAPE), -5.0), np.zeros(len(boxes_rc))


FOOTPRINT = np.array([8.0, 10.0, 30.0, 40.0])


def test_a_drifting_disc_is_followed_exactly():
    known = Known(disc(20, 20, 6), Appearance())
    for step in range(1, 15):
        truth = disc(20, 20 + step, 6)
        found = next_slice(decoder(truth), known, np.zeros(SHAPE), FOOTPRINT)
        np.testing.assert_array_equal(found.mask_rc, truth)
        known = Known(found.mask_rc, known.appearance)


def test_logits_agree_with_the_mask_that_was_found():
    near = Known(disc(20, 20, 6), Appearance())
    found = next_slice(decoder(disc(20, 21, 6)), near, np.zeros(SHAPE), FOOTPRINT)
    np.testing.assert_array_equal(found.logits_rc > 0, found.mask_rc)
    assert 0.0 <= found.score <= 1.0


def test_nothing_is_found_where_the_model_sees_nothing_or_the_neighbour_is_empty():
    near = Known(disc(20, 20, 6), Appearance())
    assert not next_slice(blind, near, np.zeros(SHAPE), FOOTPRINT).mask_rc.any()
    empty = Known(np.zeros(SHAPE, bool), Appearance())
    found = next_slice(decoder(disc(20, 20, 6)), empty, np.zeros(SHAPE), FOOTPRINT)
    assert not found.mask_rc.any()


def test_a_box_prompt_is_never_left_and_is_the_mask_where_the_model_sees_nothing():
    box = np.array([15.0, 15.0, 25.0, 25.0])
    found = from_box(decoder(disc(20, 20, 12)), box, SHAPE)
    assert found.mask_rc.any()
    assert not (found.mask_rc & ~box_mask(box, SHAPE)).any()
    np.testing.assert_array_equal(from_box(blind, box, SHAPE).mask_rc, box_mask(box, SHAPE))


def test_a_slice_that_fills_its_box_is_the_better_start():
    good = seed_rank(decoder(disc(19, 25, 11)), FOOTPRINT, SHAPE)
    poor = seed_rank(decoder(disc(12, 14, 3)), FOOTPRINT, SHAPE)
    assert good > poor > seed_rank(blind, FOOTPRINT, SHAPE)


@given(st.integers(8, 30), st.integers(10, 40), st.floats(1.5, 12))
def test_candidates_stay_inside_the_footprint(row, column, radius):
    boxes = candidates(disc(row, column, radius), FOOTPRINT)
    assert (boxes[:, :2] >= FOOTPRINT[:2]).all()
    assert (boxes[:, 2:] <= FOOTPRINT[2:]).all()
    np.testing.assert_array_equal(boxes[-1], FOOTPRINT)


@settings(deadline=None)
@given(st.integers(0, 100))
def test_a_cleaned_mask_is_one_component_without_holes(seed):
    mask_rc = np.random.default_rng(seed).random(SHAPE) > 0.55
    kept = cleaned(mask_rc, disc(20, 20, 5))
    assert ndimage.label(kept)[1] == 1
    np.testing.assert_array_equal(ndimage.binary_fill_holes(kept), kept)


def test_the_component_at_the_neighbour_is_kept_though_another_is_larger():
    mask_rc = disc(10, 10, 4) | disc(28, 38, 8)
    np.testing.assert_array_equal(cleaned(mask_rc, disc(11, 10, 3)), disc(10, 10, 4))
    np.testing.assert_array_equal(cleaned(mask_rc, None), disc(28, 38, 8))


def test_pulling_a_mask_in_never_empties_it():
    tiny = np.zeros(SHAPE, bool)
    tiny[5, 5] = True
    np.testing.assert_array_equal(shrunk(tiny), tiny)
    assert 0 < shrunk(disc(20, 20, 6)).sum() < disc(20, 20, 6).sum()


def test_appearance_tells_object_from_surroundings_within_its_limit():
    mask_rc, area_rc = disc(20, 20, 6), disc(20, 20, 14)
    image_rc = np.where(mask_rc, 0.8, 0.2)
    ratio = Appearance().updated(image_rc, mask_rc, area_rc).log_ratio(image_rc)
    assert (ratio[mask_rc] > 0).all()
    assert (ratio[~mask_rc] < 0).all()
    assert np.abs(ratio).max() <= LIMIT


def test_appearance_of_too_few_pixels_is_not_learned():
    one = np.zeros(SHAPE, bool)
    one[4, 4] = True
    learned = Appearance().updated(np.zeros(SHAPE), one, np.ones(SHAPE, bool))
    assert learned.log_ratio(np.zeros(SHAPE)) == pytest.approx(0.0)


def filling(boxes_rc):
    """A model that leaks over the whole slice."""
    return np.full((len(boxes_rc), *SHAPE), 5.0), np.full(len(boxes_rc), 0.9)


def known(mask_rc: np.ndarray) -> Known:
    return Known(mask_rc, Appearance())


@settings(deadline=None)
@given(masks.filter(np.any), boxes_rc(), st.none() | st.floats(0, 1))
def test_candidates_stay_inside_any_footprint_with_and_without_a_far_end(near_rc, box_rc, progress):
    tried = candidates(near_rc, box_rc, None if progress is None else (near_rc, progress))
    assert tried.shape == (4 if progress is None else 5, 4)
    assert (tried[:, :2] >= box_rc[:2]).all()
    assert (tried[:, 2:] <= box_rc[2:]).all()
    assert (tried[:, :2] <= tried[:, 2:]).all()


@settings(deadline=None)
@given(masks.filter(np.any))
def test_without_a_footprint_candidates_hold_the_neighbour_and_grow(near_rc):
    tried = candidates(near_rc, None)
    box = np.array(bounding_box_rc(near_rc))
    assert (tried[:, :2] < box[:2]).all()
    assert (tried[:, 2:] > box[2:]).all()
    assert (np.diff(tried[:, 2:] - tried[:, :2], axis=0) >= 0).all()


def test_a_known_far_end_adds_a_box_on_the_way_to_it():
    tried = candidates(disc(20, 15, 6), None, (disc(20, 35, 6), 0.5))
    assert len(tried) == len(candidates(disc(20, 15, 6), None)) + 1
    np.testing.assert_allclose((tried[-1, :2] + tried[-1, 2:]) / 2, (20, 25))


@settings(deadline=None)
@given(masks, st.none() | st.integers(0, 2**32 - 1))
def test_what_cleaning_keeps_is_a_whole_component_filled_or_nothing_of_nothing(mask_rc, seed):
    near_rc = None if seed is None else np.random.default_rng(seed).random(mask_rc.shape) < 0.3
    kept_rc = cleaned(mask_rc, near_rc)
    labels, count = ndimage.label(mask_rc)
    filled = [ndimage.binary_fill_holes(labels == n) for n in range(1, count + 1)]
    assert any(np.array_equal(part, kept_rc) for part in filled or [mask_rc])


def test_the_largest_component_is_kept_where_none_touches_the_neighbour():
    mask_rc = disc(10, 10, 4) | disc(28, 38, 8)
    np.testing.assert_array_equal(cleaned(mask_rc, disc(35, 5, 3)), disc(28, 38, 8))


@settings(deadline=None)
@given(boxes_rc(), st.sampled_from([filling, blind, decoder(disc(20, 25, 12))]))
def test_no_box_is_left_whatever_the_model_says(box_rc, decode):
    found = from_box(decode, box_rc, SHAPE)
    assert found.mask_rc.any()
    assert not (found.mask_rc & ~box_mask(box_rc, SHAPE)).any()
    np.testing.assert_array_equal(found.logits_rc > 0, found.mask_rc)
    assert 0 <= found.score <= 1


def test_a_loose_box_is_segmented_exactly_with_the_models_confidence():
    found = from_box(decoder(disc(20, 25, 9)), np.array([5.0, 9, 36, 42]), SHAPE)
    np.testing.assert_array_equal(found.mask_rc, disc(20, 25, 9))
    assert found.score == pytest.approx(0.9)


def test_a_slowly_drifting_disc_that_grows_and_shrinks_is_followed_exactly_without_a_footprint():
    near = known(disc(20, 10, 5))
    for step, radius in enumerate((5.3, 5.6, 6, 6.4, 6.8, 6.4, 6, 5.5, 5, 4.5)):
        truth = disc(20, 10.5 + 0.5 * step, radius)
        near = known(next_slice(decoder(truth), near, np.zeros(SHAPE), None).mask_rc)
        np.testing.assert_array_equal(near.mask_rc, truth)


def test_another_disc_beside_the_object_is_left_alone():
    truth = disc(20, 18, 7)
    both = decoder(truth | disc(20, 36, 8))
    np.testing.assert_array_equal(next_slice(both, known(truth), LEVEL, None).mask_rc, truth)


def test_a_slice_on_which_the_model_sees_nothing_is_surely_empty():
    found = next_slice(blind, known(disc(20, 20, 6)), LEVEL, None)
    assert (found.logits_rc == ABSENT).all()
    assert found.score == 0


def test_a_leak_ends_at_the_footprint_and_without_one_near_the_neighbour():
    inside = next_slice(filling, known(disc(20, 20, 5)), LEVEL, FOOTPRINT)
    np.testing.assert_array_equal(inside.mask_rc, box_mask(FOOTPRINT, SHAPE))
    free = next_slice(filling, known(disc(20, 20, 5)), LEVEL, None)
    assert bounding_box_rc(free.mask_rc) == (11, 11, 29, 29)


def test_candidates_that_leak_are_outweighed_by_one_that_agrees_with_the_neighbour():
    truth = disc(20, 20, 6)

    def decode(tried_rc):
        logits, quality = decoder(truth)(tried_rc)
        logits[1:], quality[1:] = 5.0, 1.0
        return logits, quality

    np.testing.assert_array_equal(next_slice(decode, known(truth), LEVEL, FOOTPRINT).mask_rc, truth)


def test_intensities_sway_a_doubtful_pixel_and_not_a_sure_one():
    sure, doubtful = disc(20, 20, 6), disc(20, 20, 9)

    def decode(tried_rc):
        logits_rc = np.where(sure, 8.0, np.where(doubtful, -1.0, -8.0))
        return np.stack([logits_rc] * len(tried_rc)), np.full(len(tried_rc), 0.9)

    for evidence, expected in ((0.0, sure), (LIMIT, doubtful), (-LIMIT, sure)):
        found = next_slice(decode, known(sure), np.full(SHAPE, evidence), None)
        np.testing.assert_array_equal(found.mask_rc, expected)


def test_the_models_confidence_decides_between_starts_that_look_alike():
    sure, unsure = (decoder(disc(19, 25, 10), quality) for quality in (0.9, 0.4))
    assert seed_rank(sure, FOOTPRINT, SHAPE) > seed_rank(unsure, FOOTPRINT, SHAPE)


@settings(deadline=None)
@given(boxes_rc(), boxes_rc())
def test_a_clipped_box_lies_in_its_limit(box_rc, limit_rc):
    row0, col0, row1, col1 = clipped(box_rc, limit_rc)
    assert limit_rc[0] <= row0 <= row1 <= limit_rc[2]
    assert limit_rc[1] <= col0 <= col1 <= limit_rc[3]


@settings(deadline=None)
@given(boxes_rc())
def test_a_boxs_mask_holds_exactly_its_pixels(box_rc):
    mask_rc = box_mask(box_rc, SHAPE)
    assert bounding_box_rc(mask_rc) == tuple(box_rc)
    assert mask_rc.sum() == np.prod(box_rc[2:] - box_rc[:2] + 1)


@settings(deadline=None)
@given(masks, st.integers(0, 2**32 - 1))
def test_overlap_is_symmetric_and_one_for_equal_masks_alone(mask_rc, seed):
    other_rc = np.random.default_rng(seed).random(mask_rc.shape) < 0.5
    assert dice(mask_rc, other_rc) == dice(other_rc, mask_rc)
    assert dice(mask_rc, mask_rc) == float(mask_rc.any())
    assert (dice(mask_rc, other_rc) == 1) == (np.array_equal(mask_rc, other_rc) and mask_rc.any())
