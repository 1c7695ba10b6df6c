"""Cleaning masks in 3D."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medsam2.core.geometry import SliceAxis
from medsam2.core.masks import BoolArray
from medsam2.engine.postprocess import fill_holes, keep_largest

masks = hnp.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3))


def a_shell() -> BoolArray:
    mask_kji = np.zeros((7, 8, 9), dtype=bool)
    mask_kji[1:6, 1:7, 1:8] = True
    mask_kji[2:5, 2:6, 2:7] = False
    return mask_kji


def test_the_largest_piece_is_kept() -> None:
    mask_kji = np.zeros((5, 6, 7), dtype=bool)
    mask_kji[0, 0, :3] = True
    mask_kji[3:, 3:, 3:] = True
    kept = keep_largest(mask_kji)
    assert not kept[0].any()
    np.testing.assert_array_equal(kept[3:], mask_kji[3:])


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    mask_kji = np.zeros((2, 2, 2), dtype=bool)
    mask_kji[0, 0, 0] = mask_kji[1, 1, 1] = True
    np.testing.assert_array_equal(keep_largest(mask_kji), mask_kji)


def test_an_enclosed_hole_is_filled_in_3d() -> None:
    filled = fill_holes(a_shell())
    assert filled[1:6, 1:7, 1:8].all()
    assert np.count_nonzero(filled) == 5 * 6 * 7


def test_a_tube_is_filled_only_across_its_axis() -> None:
    tube = a_shell()[2:5]
    np.testing.assert_array_equal(fill_holes(tube), tube)
    assert fill_holes(tube, SliceAxis.K)[:, 1:7, 1:8].all()
    np.testing.assert_array_equal(fill_holes(tube, SliceAxis.J), tube)


@pytest.mark.parametrize("clean", [keep_largest, fill_holes])
def test_an_empty_mask_stays_empty(clean: object) -> None:
    assert not clean(np.zeros((3, 4, 5), dtype=bool)).any()  # type: ignore[operator]


@given(masks)
def test_cleaning_twice_is_cleaning_once_and_the_input_stays(mask_kji: BoolArray) -> None:
    before = mask_kji.copy()
    largest, filled = keep_largest(mask_kji), fill_holes(mask_kji)
    np.testing.assert_array_equal(mask_kji, before)
    assert not (largest & ~mask_kji).any()
    assert not (mask_kji & ~filled).any()
    np.testing.assert_array_equal(keep_largest(largest), largest)
    np.testing.assert_array_equal(fill_holes(filled), filled)
    for axis in SliceAxis:
        assert not (mask_kji & ~fill_holes(mask_kji, axis)).any()
