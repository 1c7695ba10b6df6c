from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medsam2.engine.appearance import LIMIT, Appearance
from medsam2.engine.chain import (
    Known,
    box_mask,
    candidates,
    cleaned,
    from_box,
    next_slice,
    seed_rank,
    shrunk,
)

SHAPE = (40, 50)


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
