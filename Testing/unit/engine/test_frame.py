from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from medsam2.core.intensity import Window
from medsam2.engine.frame import SliceFrame, crop_around, whole_slice
from medsam2.engine.orientation import Orientation

shapes = st.tuples(st.integers(8, 60), st.integers(8, 60))
spacings = st.tuples(st.floats(0.3, 4.0), st.floats(0.3, 4.0))


@st.composite
def crops(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    rows, columns = draw(shapes)
    r0, r1 = sorted(draw(st.tuples(st.integers(0, rows - 1), st.integers(0, rows - 1))))
    c0, c1 = sorted(draw(st.tuples(st.integers(0, columns - 1), st.integers(0, columns - 1))))
    return (rows, columns), (r0, c0, r1, c1)


orientations = st.builds(Orientation, st.booleans(), st.booleans(), st.booleans())


@example(((8, 8), (0, 0, 0, 6)), (0.375, 4.0), Orientation(transpose=True))
@given(crops(), spacings, orientations)
def test_a_point_and_its_pixel_go_to_the_same_place_however_the_slice_is_turned(
    crop, spacing_rc, orientation
):
    shape_rc, crop_rc = crop
    frame = SliceFrame.fit(crop_rc, shape_rc, spacing_rc, 96, orientation)
    point_rc = (crop_rc[0] + crop_rc[2]) // 2, (crop_rc[1] + crop_rc[3]) // 2
    plane = np.zeros(shape_rc, np.float32)
    plane[point_rc] = 1.0
    image = frame.image(plane, Window(0, 1))[0].numpy()
    assume(image.any())  # pixels a hundred times as long as wide fall between those of the model
    weights = image / image.sum()
    rows, columns = np.mgrid[:96, :96]
    centre = (weights * rows).sum(), (weights * columns).sum()
    view_shape = orientation.shape(frame.crop_shape_rc)
    tolerance = 0.6 * max(1.0, *np.divide(frame.fitted_model, view_shape))
    np.testing.assert_allclose(frame.to_model(point_rc), centre, atol=tolerance)


@given(crops(), spacings, orientations)
def test_a_box_goes_to_the_pixels_that_its_voxels_fill(crop, spacing_rc, orientation):
    shape_rc, box_rc = crop
    frame = SliceFrame.fit(whole_slice(shape_rc), shape_rc, spacing_rc, 256, orientation)
    plane = np.zeros(shape_rc, np.float32)
    plane[box_rc[0] : box_rc[2] + 1, box_rc[1] : box_rc[3] + 1] = 1.0
    inside = frame.image(plane, Window(0, 1))[0].numpy() > 0.5
    if not inside.any():
        return
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    expected = [columns[0], rows[0], columns[-1], rows[-1]]
    np.testing.assert_allclose(frame.boxes_to_model([box_rc])[0], expected, atol=1.5)


@given(crops(), spacings)
def test_a_crops_corners_fall_on_the_corners_of_its_part_of_the_input(crop, spacing_rc):
    shape_rc, crop_rc = crop
    frame = SliceFrame.fit(crop_rc, shape_rc, spacing_rc, 64)
    low = frame.to_model((crop_rc[0] - 0.5, crop_rc[1] - 0.5))
    high = frame.to_model((crop_rc[2] + 0.5, crop_rc[3] + 0.5))
    np.testing.assert_allclose(low, -0.5)
    np.testing.assert_allclose(high, np.array(frame.fitted_model) - 0.5)
    assert max(frame.fitted_model) == 64


@settings(max_examples=30, deadline=None)
@given(crops(), spacings, orientations, st.integers(0, 5))
def test_a_smooth_shape_survives_the_way_to_the_model_and_back(crop, spacing_rc, turned, seed):
    shape_rc, _ = crop
    frame = SliceFrame.fit(whole_slice(shape_rc), shape_rc, spacing_rc, 256, turned)
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.4, 0.6, 2) * shape_rc
    rows, columns = np.mgrid[: shape_rc[0], : shape_rc[1]]
    reach = np.array(shape_rc) * 0.3
    mask_rc = ((rows - centre[0]) / reach[0]) ** 2 + ((columns - centre[1]) / reach[1]) ** 2 < 1
    image = frame.image(mask_rc.astype(np.float32), Window(0, 1))
    back = frame.mask_from_logits(image[0] - 0.5)
    assert (back != mask_rc).sum() <= 0.04 * mask_rc.size


def test_what_lies_outside_the_crop_is_never_in_the_mask():
    frame = SliceFrame.fit((10, 12, 20, 25), (40, 50), (1.0, 1.0), 64)
    mask_rc = frame.mask_from_logits(torch.ones(16, 16))
    assert mask_rc.sum() == 11 * 14
    assert mask_rc[10:21, 12:26].all()


def test_the_physical_shape_is_kept_and_the_rest_is_black():
    frame = SliceFrame.fit(whole_slice((20, 20)), (20, 20), (3.0, 1.0), 60)
    assert frame.fitted_model == (60, 20)
    image = frame.image(np.ones((20, 20), np.float32), Window(0, 1))
    assert image.shape == (1, 60, 60)
    assert float(image[0, :, 20:].max()) == 0.0


def test_colour_slices_keep_three_channels():
    frame = SliceFrame.fit(whole_slice((10, 12)), (10, 12), (1.0, 1.0), 32)
    assert frame.image(np.zeros((10, 12, 3), np.uint8), Window(0, 255)).shape == (3, 32, 32)


@given(crops(), spacings)
def test_the_crop_around_a_box_holds_it(crop, spacing_rc):
    shape_rc, box_rc = crop
    r0, c0, r1, c1 = crop_around(box_rc, shape_rc, spacing_rc)
    assert 0 <= r0 <= box_rc[0] <= box_rc[2] <= r1 < shape_rc[0]
    assert 0 <= c0 <= box_rc[1] <= box_rc[3] <= c1 < shape_rc[1]


def test_neighbouring_small_objects_share_a_crop_and_large_ones_see_the_whole_slice():
    shape_rc, spacing_rc = (512, 512), (0.8, 0.8)
    first = crop_around((200, 200, 230, 230), shape_rc, spacing_rc)
    assert first == crop_around((198, 201, 227, 229), shape_rc, spacing_rc)
    assert first[2] - first[0] + 1 == 64
    assert crop_around((100, 100, 300, 300), shape_rc, spacing_rc) == whole_slice(shape_rc)
