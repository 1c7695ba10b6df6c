from __future__ import annotations

import numpy as np
import pytest

from medsam2.core.errors import EmptyRangeError, NoPromptError, OutsideVolumeError
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    ObjectPrompts,
    PointPrompt,
    RoiBox,
    box_3d,
    line_on_slice,
    mask_on_slice,
    point_on_slice,
)
from medsam2.core.volume import Volume

VOLUME = Volume(np.zeros((10, 20, 30), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))


def checked(**fields) -> ObjectPrompts:
    return ObjectPrompts(**fields).checked(VOLUME, SliceAxis.K)


def test_a_volume_box_becomes_a_range_and_a_footprint_clipped_to_the_volume():
    assert box_3d((5, 4, 2, 99, 8, 7), VOLUME, SliceAxis.K) == RoiBox(2, 7, (4, 5, 8, 29))
    assert box_3d((5, 4, 2, 9, 8, 7), VOLUME, SliceAxis.I) == RoiBox(5, 9, (2, 4, 7, 8))


def test_points_and_lines_go_to_the_nearest_slice():
    assert point_on_slice((5.2, 6.3, 2.6), SliceAxis.K).index == 3
    line = line_on_slice(((5, 6, 2.2), (9, 6, 3.2)), SliceAxis.K)
    assert line.index == 3
    assert line.ends_rc == ((6.0, 5.0), (6.0, 9.0))


def test_a_diameter_gives_a_square_in_millimetres_and_a_ball_along_the_axis():
    line = LinePrompt(5, ((10, 11), (10, 19)))
    assert line.length_mm((0.5, 0.5)) == 4.0
    assert line.box_rc((0.5, 0.5), (20, 30)) == (6, 11, 14, 19)
    assert line.box_rc((1.0, 0.5), (20, 30)) == (8, 11, 12, 19)
    assert line.extent((0.5, 0.5), 2.0, 10) == (4, 6)
    assert line.extent((0.5, 0.5), 0.5, 10) == (1, 9)
    assert line.extent((0.5, 0.5), 0.1, 10) == (0, 9)


def test_an_object_without_any_prompt_says_what_to_give():
    with pytest.raises(NoPromptError, match="box, a point, a line or a mask"):
        checked()


@pytest.mark.parametrize(
    "prompt",
    [
        BoxPrompt(10, (0, 0, 3, 3)),
        BoxPrompt(2, (25, 0, 28, 3)),
        PointPrompt(2, (20.0, 4.0)),
        PointPrompt(-1, (2.0, 4.0)),
        LinePrompt(2, ((3, 3), (3, 31))),
        mask_on_slice(2, np.ones((20, 29), bool)),
    ],
)
def test_prompts_outside_the_volume_are_refused(prompt):
    with pytest.raises(OutsideVolumeError):
        checked(prompts=(prompt,))


def test_boxes_are_put_in_order_and_clipped():
    prompts = checked(prompts=(BoxPrompt(2, (8, 40, 3, 5)),)).prompts
    assert prompts == (BoxPrompt(2, (3, 5, 8, 29)),)


def test_a_range_is_cut_to_the_roi_and_must_leave_something_of_it():
    roi = RoiBox(2, 6, (1, 1, 5, 5))
    assert checked(roi=roi, slice_range=(4, 9)).slice_range == (4, 6)
    with pytest.raises(EmptyRangeError, match="slices 2 to 6, outside its range 7 to 9; widen"):
        checked(roi=roi, slice_range=(7, 9))


def test_prompts_of_a_slice_keep_their_order():
    first, second, other = PointPrompt(3, (1, 1)), PointPrompt(3, (2, 2)), PointPrompt(5, (1, 1))
    prompts = ObjectPrompts((first, other, second))
    assert list(prompts.on_slice(3)) == [first, second]
    assert prompts.prompted_indices() == [3, 5]


@pytest.mark.parametrize(
    ("fields", "span"),
    [
        ({"prompts": (PointPrompt(3, (1, 1)),)}, (0, 9)),
        ({"prompts": (LinePrompt(5, ((10, 11), (10, 19))),)}, (4, 6)),
        ({"prompts": (LinePrompt(5, ((10, 11), (10, 19))), PointPrompt(8, (1, 1)))}, (4, 8)),
        ({"roi": RoiBox(2, 7, (1, 1, 5, 5)), "prompts": (PointPrompt(9, (1, 1)),)}, (2, 7)),
        ({"roi": RoiBox(2, 7, (1, 1, 5, 5)), "slice_range": (6, 9)}, (6, 7)),
    ],
)
def test_an_object_spans_its_range_its_roi_its_lines_or_everything(fields, span):
    assert checked(**fields).span(VOLUME, SliceAxis.K) == span


def test_prompts_outside_a_range_are_left_out_but_not_the_last_one():
    prompts = checked(prompts=(PointPrompt(3, (1, 1)), PointPrompt(8, (1, 1))), name="Liver")
    assert prompts.within(2, 5).prompted_indices() == [3]
    with pytest.raises(NoPromptError, match=r"Liver .* 4\.\.7; widen the range"):
        prompts.within(4, 7)


def test_a_point_that_is_no_number_lies_outside():
    volume = Volume(np.zeros((4, 8, 8), np.uint8), np.eye(4))
    for point_rc in ((float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(OutsideVolumeError):
            ObjectPrompts((PointPrompt(1, point_rc),)).checked(volume, SliceAxis.K)
