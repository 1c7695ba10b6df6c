from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medsam2.engine.appearance import FEWEST_PIXELS, LIMIT, Appearance

WHOLE_RC = np.ones((20, 20), dtype=bool)

images = hnp.arrays(np.float32, (12, 12), elements=st.floats(0, 1, width=32))
masks = hnp.arrays(np.bool_, (12, 12))


def disc(radius: float = 6.0) -> np.ndarray:
    row, column = np.mgrid[:20, :20] - 9.5
    return np.hypot(row, column) < radius


def test_nothing_learned_says_nothing():
    assert not Appearance().log_ratio(np.random.default_rng(0).random((5, 7))).any()


def test_bright_object_on_dark_ground_is_told_apart():
    mask_rc = disc()
    image_rc = np.where(mask_rc, 0.8, 0.2)
    ratio_rc = Appearance().updated(image_rc, mask_rc, WHOLE_RC).log_ratio(image_rc)
    assert (ratio_rc[mask_rc] > 1).all()
    assert (ratio_rc[~mask_rc] < -1).all()


def test_equal_intensities_inside_and_outside_count_for_nothing():
    mask_rc, image_rc = disc(), np.full((20, 20), 0.5)
    ratio_rc = Appearance().updated(image_rc, mask_rc, WHOLE_RC).log_ratio(image_rc)
    np.testing.assert_allclose(ratio_rc, 0, atol=1e-9)


@settings(deadline=None)
@given(images, masks, masks, images)
def test_evidence_is_bounded_and_finite(image_rc, mask_rc, area_rc, other_rc):
    appearance = Appearance()
    for _ in range(3):
        appearance = appearance.updated(image_rc, mask_rc, area_rc | mask_rc)
    ratio_rc = appearance.log_ratio(other_rc)
    assert ratio_rc.shape == other_rc.shape
    assert np.isfinite(ratio_rc).all()
    assert np.abs(ratio_rc).max() <= LIMIT


def test_too_few_pixels_teach_nothing():
    mask_rc = np.zeros((20, 20), dtype=bool)
    mask_rc[0, : FEWEST_PIXELS - 1] = True
    image_rc = np.where(mask_rc, 0.8, 0.2)
    appearance = Appearance()
    assert appearance.updated(image_rc, mask_rc, WHOLE_RC) is appearance
    assert appearance.updated(image_rc, ~mask_rc, WHOLE_RC) is appearance


def test_only_the_area_around_the_object_counts_as_surroundings():
    mask_rc = disc(4)
    image_rc = np.where(mask_rc, 0.8, np.where(disc(8), 0.2, 0.8))
    near = Appearance().updated(image_rc, mask_rc, disc(8)).log_ratio(image_rc)
    whole = Appearance().updated(image_rc, mask_rc, WHOLE_RC).log_ratio(image_rc)
    assert near[mask_rc].mean() > whole[mask_rc].mean() + 0.5


def test_recent_slices_count_most():
    mask_rc = disc()
    early_rc, late_rc = np.where(mask_rc, 0.5, 0.1), np.where(mask_rc, 0.9, 0.1)
    appearance = Appearance()
    for image_rc in (early_rc, late_rc):
        appearance = appearance.updated(image_rc, mask_rc, WHOLE_RC)
    assert appearance.inside[int(0.9 * 16)] > appearance.inside[8]
    for _ in range(20):
        appearance = appearance.updated(late_rc, mask_rc, WHOLE_RC)
    assert appearance.inside[8] < 0.01 * appearance.inside[int(0.9 * 16)]
