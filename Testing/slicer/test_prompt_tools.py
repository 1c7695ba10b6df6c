"""Prompts drawn with the mouse in slice views, and the preview while they change."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from module_user import User


@pytest.fixture
def a_user(a_slicer, a_volume):
    user = User(a_slicer, FakeBackend)
    user.choose(a_volume("axial"))
    return user


def prompts_of(user):
    return user.workspace.objectPrompts(user.segment_id).prompts


def test_clicks_inside_and_outside_become_points_where_they_were_clicked(a_user):
    a_user.press("inside")
    a_user.click(12, (20, 24), (18, 26))
    a_user.press("outside")
    a_user.click(13, (4, 5))
    a_user.view.tools.stop()
    a_user.settle()
    places = [(p.index, tuple(np.round(p.point_rc)), p.positive) for p in prompts_of(a_user)]
    assert sorted(places) == [(12, (18, 26), True), (12, (20, 24), True), (13, (4, 5), False)]


def test_a_box_on_one_slice_stays_on_that_slice(a_user):
    a_user.press("sliceBox")
    a_user.click(9, (8, 10), (30, 36))
    a_user.settle()
    (box,) = prompts_of(a_user)
    assert box.index == 9
    assert np.allclose(box.box_rc, (8, 10, 30, 36), atol=1)


def test_a_diameter_is_the_line_between_two_clicks(a_user):
    a_user.press("line")
    a_user.click(11, (10, 12), (30, 34))
    a_user.settle()
    (line,) = prompts_of(a_user)
    assert line.index == 11
    assert np.allclose(line.ends_rc, ((10, 12), (30, 34)), atol=0.6)


@pytest.mark.parametrize(
    ("tool", "kinds"), [("scribble", {"PointPrompt"}), ("lasso", {"BoxPrompt"})]
)
def test_a_stroke_of_the_mouse_becomes_a_prompt(a_user, tool, kinds):
    widget = a_user.view_showing(10)
    level = a_user.workspace.volume.node.GetDisplayNode().GetLevel()
    a_user.press(tool)
    stroke = [a_user.point(10, row, column) for row, column in ((10, 12), (20, 30), (28, 14))]
    standin.mouse.drag(widget, stroke)
    a_user.settle()
    prompts = prompts_of(a_user)
    assert {type(p).__name__ for p in prompts} == kinds
    assert {p.index for p in prompts} == {10}
    assert a_user.view.tools.current == ""
    assert a_user.workspace.volume.node.GetDisplayNode().GetLevel() == level


def test_escape_leaves_nothing_half_placed(a_user):
    a_user.press("line")
    a_user.click(11, (10, 12))
    a_user.view.tools.stop()
    a_user.settle()
    assert a_user.workspace.prompts.nodes() == []


def test_the_preview_shows_the_slice_in_view_and_changes_no_segment(a_user):
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.view_showing(12)
    assert standin.pump(10, until=lambda: a_user.view.preview.mask_rc is not None)
    shown = a_user.view.preview.mask_rc
    assert not any(mask.any() for mask in a_user.masks().values())
    a_user.run()
    assert np.array_equal(a_user.masks()[12], shown)
