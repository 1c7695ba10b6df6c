from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsam2.core.geometry import LPS_FROM_RAS, SliceAxis
from medsam2.engine.orientation import Orientation, display_orientation

orientations = st.builds(Orientation, st.booleans(), st.booleans(), st.booleans())


@given(orientations, st.integers(1, 6), st.integers(1, 6))
def test_turning_and_undoing_keep_every_pixel(orientation, rows, columns):
    plane = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    view = orientation.apply(plane)
    assert view.shape == orientation.shape((rows, columns))
    np.testing.assert_array_equal(orientation.undo(torch.from_numpy(view)).numpy(), plane)


@given(orientations, st.integers(0, 4), st.integers(0, 6))
def test_points_turn_with_their_pixels(orientation, row, column):
    plane = np.zeros((5, 7))
    plane[row, column] = 1.0
    place = orientation.points((row, column), plane.shape).astype(int)
    assert orientation.apply(plane)[tuple(place)] == 1.0


@pytest.mark.parametrize("axis", SliceAxis)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (1, 0, 2)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_views_look_as_on_a_reading_station_however_the_volume_is_stored(axis, order, signs):
    directions_lps = np.zeros((4, 4))
    directions_lps[3, 3] = 1
    for place, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        directions_lps[patient_axis, place] = sign
    orientation = display_orientation(LPS_FROM_RAS @ directions_lps, axis)
    row, column = (directions_lps[:3, place] for place in axis.rc_positions_ijk)
    if orientation.transpose:
        row, column = column, row
    down = -row if orientation.flip_rows else row
    right = -column if orientation.flip_columns else column
    normal = int(np.argmax(np.abs(directions_lps[:3, axis.ijk_position])))
    expected = {0: ((0, 0, -1), (0, 1, 0)), 1: ((0, 0, -1), (1, 0, 0)), 2: ((0, 1, 0), (1, 0, 0))}
    np.testing.assert_array_equal((down, right), expected[normal])
