from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medsam2.core.errors import (
    BadGeometryError,
    EmptyRangeError,
    OutsideVolumeError,
    ShearedGeometryError,
)
from medsam2.core.geometry import (
    SliceAxis,
    box_corners,
    box_from_corners_ras,
    check_affine,
    check_box_ijk,
    check_range,
    default_axis,
    flip_ras_lps,
    ras_to_ijk,
    spacing_ijk,
    transform_points,
)

SHAPE_KJI = (20, 30, 40)
indices = st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(0, 19))


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Right-angled affines: any orientation, left-handed too, anisotropic, anywhere."""
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    spacing = np.array(draw(st.tuples(*[st.floats(0.2, 6.0)] * 3)))
    flips = np.array(draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing * flips
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return affine


@given(affines(), indices)
def test_millimetres_and_indices_are_each_others_inverse(affine, point_ijk):
    points_ras = transform_points(affine, [point_ijk])
    np.testing.assert_allclose(ras_to_ijk(affine, points_ras), [point_ijk], atol=1e-6)


@given(affines(), indices, indices)
def test_the_corners_of_a_box_give_the_box_back_on_any_grid(affine, a, b):
    low, high = np.minimum(a, b), np.maximum(a, b)
    corners_ras = transform_points(affine, box_corners(low - 0.4, high + 0.4))
    assert box_from_corners_ras(corners_ras, affine, SHAPE_KJI) == (*low, *high)


@given(affines())
def test_right_angled_grids_pass_the_check_whatever_their_orientation(affine):
    checked = check_affine(affine)
    np.testing.assert_array_equal(checked, affine)
    assert np.allclose(spacing_ijk(checked), np.linalg.norm(affine[:3, :3], axis=0))


@given(affines(), st.floats(0.05, 0.5))
def test_a_sheared_grid_is_refused_with_its_angle(affine, shear):
    sheared = affine.copy()
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sheared[:3, 2] += directions[:, 1] * shear * np.linalg.norm(affine[:3, 2])
    with pytest.raises(ShearedGeometryError, match="degrees"):
        check_affine(sheared)


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([1, 0, 1, 1.0]), "spacing is zero"),
        (np.full((4, 4), np.nan), "finite 4x4"),
        (np.eye(3), "finite 4x4"),
    ],
)
def test_a_broken_grid_is_refused(affine, words):
    with pytest.raises(BadGeometryError, match=words):
        check_affine(affine)


def test_a_rotated_box_uses_all_eight_corners():
    affine = np.eye(4)
    turn = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    corners_ras = box_corners([-5, -5, -2], [5, 5, 2]) @ turn.T + [20, 15, 10]
    assert box_from_corners_ras(corners_ras, affine, SHAPE_KJI) == (13, 8, 8, 27, 22, 12)


def test_a_box_thinner_than_a_voxel_holds_that_voxel():
    corners_ras = box_corners([10.1, 3, 4], [10.3, 8, 9])
    assert box_from_corners_ras(corners_ras, np.eye(4), SHAPE_KJI) == (10, 3, 4, 10, 8, 9)


def test_a_box_outside_says_where_the_volume_is():
    with pytest.raises(OutsideVolumeError, match="coordinate system"):
        box_from_corners_ras(box_corners([100, 0, 0], [120, 5, 5]), np.eye(4), SHAPE_KJI)
    with pytest.raises(OutsideVolumeError, match="39,29,19"):
        check_box_ijk((0, 0, 20, 5, 5, 30), SHAPE_KJI)


@given(indices, indices)
def test_corners_may_be_given_in_any_order_and_are_clipped(a, b):
    box = check_box_ijk((*a, *b), SHAPE_KJI)
    assert box == check_box_ijk((*b, *a), SHAPE_KJI)
    assert check_box_ijk((-5, -5, -5, 99, 99, 99), SHAPE_KJI) == (0, 0, 0, 39, 29, 19)


def test_ranges_are_clipped_and_empty_ones_refused():
    assert check_range(-3, 99, 20) == (0, 19)
    with pytest.raises(EmptyRangeError, match=r"5\.\.4"):
        check_range(5, 4, 20)
    with pytest.raises(OutsideVolumeError, match=r"0\.\.19"):
        check_range(20, 25, 20)


@given(st.sampled_from(SliceAxis), indices)
def test_splitting_and_joining_keep_a_point_and_match_the_arrays_slices(axis, point_ijk):
    index, point_rc = axis.split_ijk(point_ijk)
    assert axis.join_ijk(index, point_rc) == point_ijk
    marked = np.zeros(SHAPE_KJI, bool)
    marked[point_ijk[::-1]] = True
    plane = np.moveaxis(marked, axis.value, 0)[int(index)]
    assert plane[int(point_rc[0]), int(point_rc[1])]


@given(st.sampled_from(SliceAxis), indices, indices)
def test_a_box_splits_into_its_range_and_its_footprint(axis, a, b):
    low, high = np.minimum(a, b), np.maximum(a, b)
    (first, last), (r0, c0, r1, c1) = axis.split_box((*low, *high))
    inside = np.zeros(SHAPE_KJI, bool)
    inside[low[2] : high[2] + 1, low[1] : high[1] + 1, low[0] : high[0] + 1] = True
    again = np.zeros_like(inside)
    np.moveaxis(again, axis.value, 0)[first : last + 1, r0 : r1 + 1, c0 : c1 + 1] = True
    np.testing.assert_array_equal(inside, again)


def test_axes_are_named_as_users_type_them():
    assert [SliceAxis.parse(name) for name in "ijk"] == [SliceAxis.I, SliceAxis.J, SliceAxis.K]


def test_lps_is_ras_with_two_signs_turned():
    np.testing.assert_array_equal(flip_ras_lps([[1, 2, 3]]), [[-1, -2, 3]])


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 5), SliceAxis.K), ((4, 1, 1), SliceAxis.I), ((1, 1, 1), SliceAxis.K)],
)
def test_slices_are_taken_across_the_coarsest_axis_or_else_head_to_foot(spacing, axis):
    assert default_axis(np.diag([*spacing, 1.0])) is axis


def test_an_isotropic_sagittal_stack_is_scrolled_head_to_foot():
    sagittal = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    assert default_axis(sagittal) is SliceAxis.J
