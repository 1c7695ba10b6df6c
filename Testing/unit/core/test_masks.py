from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from medsam2.core.geometry import SliceAxis
from medsam2.core.masks import PackedMask, bounding_box_rc, stack_slices

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20))


@given(masks)
def test_packing_and_unpacking_keep_every_pixel(mask_rc):
    np.testing.assert_array_equal(PackedMask.pack(mask_rc).unpack(), mask_rc)


@given(masks)
def test_the_bounding_box_holds_all_true_pixels_and_touches_them(mask_rc):
    box = bounding_box_rc(mask_rc)
    if box is None:
        assert not mask_rc.any()
        return
    row0, col0, row1, col1 = box
    inside = mask_rc[row0 : row1 + 1, col0 : col1 + 1]
    assert inside.sum() == mask_rc.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_slices_are_put_back_across_their_axis():
    mask_rc = np.array([[True, False, True], [False, True, False]])
    mask_kji = stack_slices({1: PackedMask.pack(mask_rc)}, SliceAxis.J, (2, 4, 3))
    np.testing.assert_array_equal(mask_kji[:, 1, :], mask_rc)
    assert mask_kji.sum() == 3
