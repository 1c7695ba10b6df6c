"""Options put onto a volume's slices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsam2.cli import gather
from medsam2.cli.values import BoxValue, LineValue, PointValue, SliceValue
from medsam2.core.errors import OutsideVolumeError, PromptError
from medsam2.core.geometry import SliceAxis, transform_points
from medsam2.core.prompts import BoxPrompt, LinePrompt, PointPrompt, RoiBox
from medsam2.core.volume import Volume

AFFINE = np.array([[0, 0, -2.0, 10], [-0.5, 0, 0, 4], [0, 0.5, 0, -30], [0, 0, 0, 1]])


def a_grid(axis: SliceAxis = SliceAxis.K) -> gather.Grid:
    return gather.Grid(Volume(np.zeros((10, 20, 30), dtype=np.uint8), AFFINE), axis)


def mm(*at_ijk: float) -> tuple[float, float, float]:
    x, y, z = transform_points(AFFINE, at_ijk)
    return float(x), float(y), float(z)


def values(box: BoxValue, *slices: SliceValue, axis: SliceAxis = SliceAxis.K) -> list[object]:
    (given,) = gather.boxes(a_grid(axis), [box], [], slices)
    assert given.own
    return list(given.values)


def test_a_box_in_millimetres_is_the_box_in_voxels() -> None:
    box = BoxValue("x", (*mm(4, 5, 1), *mm(20, 12, 6)))
    (given,) = gather.boxes(a_grid(), [], [box], [])
    assert given.values == (RoiBox(1, 6, (5, 4, 12, 20)),)
    assert given.name == "x"


def test_a_box_may_be_given_by_any_two_opposite_corners() -> None:
    assert values(BoxValue(None, (20, 5, 6, 4, 12, 1))) == [RoiBox(1, 6, (5, 4, 12, 20))]


@pytest.mark.parametrize(
    ("axis", "box_rc"),
    [
        (SliceAxis.K, (2, 1, 4, 3)),  # i, j given; rows are j
        (SliceAxis.J, (2, 1, 4, 3)),  # i, k given; rows are k
        (SliceAxis.I, (2, 1, 4, 3)),  # j, k given; rows are k
    ],
)
def test_a_flat_box_lies_on_its_slice(axis: SliceAxis, box_rc: tuple[int, int, int, int]) -> None:
    found = values(BoxValue(None, (1, 2, 3, 4)), SliceValue(None, 7), axis=axis)
    assert found == [BoxPrompt(7, box_rc)]


def test_a_slice_within_a_3d_box_is_where_tracking_starts() -> None:
    found = values(BoxValue("x", (4, 5, 1, 20, 12, 6)), SliceValue("x", 3))
    assert found == [RoiBox(1, 6, (5, 4, 12, 20)), BoxPrompt(3, (5, 4, 12, 20))]


@pytest.mark.parametrize(
    ("box", "slices", "says"),
    [
        (BoxValue(None, (1, 2, 3, 4)), [], "--slice N"),
        (BoxValue(None, (4, 5, 1, 20, 12, 6)), [SliceValue(None, 8)], "1 to 6"),
        (BoxValue("a", (4, 5, 1, 20, 12, 6)), [SliceValue("b", 3)], "of b has no box"),
    ],
)
def test_slices_and_boxes_that_do_not_fit_are_refused(
    box: BoxValue, slices: list[SliceValue], says: str
) -> None:
    with pytest.raises(PromptError, match=says):
        list(gather.boxes(a_grid(), [box], [], slices))


def test_a_box_beside_the_volume_is_refused() -> None:
    with pytest.raises(OutsideVolumeError, match="outside the volume"):
        values(BoxValue(None, (40, 5, 1, 50, 12, 6)))


@given(
    st.tuples(st.floats(0, 29), st.floats(0, 19), st.floats(0, 9)),
    st.sampled_from(list(SliceAxis)),
)
def test_a_click_in_millimetres_is_the_click_in_voxels(
    at: tuple[float, float, float], axis: SliceAxis
) -> None:
    (by_mm,) = gather.points(a_grid(axis), [PointValue(None, mm(*at), False)], in_mm=True)
    (prompt,) = by_mm.values
    assert isinstance(prompt, PointPrompt)
    assert not prompt.positive
    across, point_rc = axis.split_ijk(at)
    assert abs(prompt.index - across) <= 0.5 + 1e-6
    np.testing.assert_allclose(prompt.point_rc, point_rc, atol=1e-6)


def test_a_line_lies_on_the_slice_of_its_middle() -> None:
    ends = (mm(3, 4, 5), mm(9, 8, 5))
    (found,) = gather.lines(a_grid(), [LineValue(None, ends)], in_mm=True)
    (prompt,) = found.values
    assert isinstance(prompt, LinePrompt)
    assert prompt.index == 5
    np.testing.assert_allclose(prompt.ends_rc, [(4, 3), (8, 9)], atol=1e-9)


@pytest.mark.parametrize(("at", "in_mm"), [((30, 0, 0), False), ((500, 0, 0), True)])
def test_a_click_outside_says_where_the_volume_ends(
    at: tuple[float, float, float], in_mm: bool
) -> None:
    with pytest.raises(OutsideVolumeError, match="0,0,0 to 29,19,9"):
        list(gather.points(a_grid(), [PointValue(None, at, True)], in_mm=in_mm))
