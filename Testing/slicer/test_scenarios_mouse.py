"""Every prompt tool with the mouse, in every slice view, and what interrupts it."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from module_user import User

from medsam2.core.prompts import BoxPrompt, PointPrompt

VIEWS = ["Red", "Yellow", "Green"]
ON_A_VOXEL = 0.8
"""The mouse hits pixels of the view, which are finer than voxels; a box ends between two of those."""


@pytest.fixture
def a_user(a_slicer):
    return User(a_slicer, FakeBackend)


@pytest.fixture
def a_plain_user(a_user, a_volume):
    a_user.choose(a_volume("axial"))
    return a_user


class View:
    """A slice view turned onto the volume, showing its middle.

    Args:
        user: at the module, with a volume chosen.
        name: of the view.
    """

    def __init__(self, user, name):
        self.widget = user.slicer.sliceWidget(name)
        self.node = self.widget.mrmlSliceNode()
        self.bridge = user.workspace.volume
        self.node.RotateToVolumePlane(self.bridge.node)
        k, j, i = self.bridge.shape_kji
        self.middle = self.bridge.ijkToRas([(i - 1) / 2, (j - 1) / 2, (k - 1) / 2])
        self.node.JumpSliceByOffsetting(*self.middle)
        self.widget.sliceLogic().FitSliceToAll()

    def at(self, across, up):
        """The world point so many mm right of and above the middle of the view."""
        import slicer

        sliceToRas = slicer.util.arrayFromVTKMatrix(self.node.GetSliceToRAS())
        return self.middle + across * sliceToRas[:3, 0] + up * sliceToRas[:3, 1]

    def ijk(self, *places):
        return self.bridge.rasToIjk(np.array([self.at(*place) for place in places]))

    def click(self, *places):
        for place in places:
            standin.mouse.click(self.widget, self.at(*place))

    @property
    def flat(self):
        """Place in ijk of the axis that runs through the view."""
        axis, _, degrees = self.bridge.sliceOf(self.node)
        assert degrees < 1
        return axis.ijk_position


@pytest.fixture(params=VIEWS)
def view_name(request):
    return request.param


@pytest.fixture(params=["axial", "oblique"])
def a_view(request, a_user, a_volume, view_name):
    a_user.choose(a_volume(request.param, transformed=request.param == "oblique"))
    return View(a_user, view_name)


def prompts_of(user):
    return user.workspace.objectPrompts(user.segment_id)


def spread(corners_ijk):
    return corners_ijk.min(axis=0), corners_ijk.max(axis=0)


def test_two_clicks_make_a_box_of_what_lies_between_them(a_user, a_view):
    a_user.press("drawBox")
    corners = (-3.0, 7.5), (3.5, -6.0)
    a_view.click(*corners)
    a_user.settle()
    assert a_user.view.tools.current == ""
    roi = a_user.workspace.prompts.roi(a_user.segment_id)
    box = np.array(a_user.workspace.volume.boxOf(roi)).reshape(2, 3)
    low, high = spread(a_view.ijk(*corners))
    drawn = [axis for axis in range(3) if axis != a_view.flat]
    assert (np.abs(box[0] - low)[drawn] <= ON_A_VOXEL).all()
    assert (np.abs(box[1] - high)[drawn] <= ON_A_VOXEL).all()
    spacing = a_user.workspace.spacing_ijk[a_view.flat]
    depth = (box[1] - box[0])[a_view.flat] * spacing
    assert depth == pytest.approx((6.5 + 13.5) / 2, abs=spacing + 1)
    assert box[:, a_view.flat].mean() == pytest.approx(low[a_view.flat], abs=0.6)


def test_a_box_drawn_in_a_view_off_the_voxels_holds_all_that_was_drawn(a_user, a_volume, view_name):
    a_user.choose(a_volume("oblique"))
    view = View(a_user, view_name)
    view.node.SetOrientation({"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}[view_name])
    view.node.JumpSliceByOffsetting(*view.middle)
    a_user.press("drawBox")
    view.click((-2.0, 11.0), (2.0, -11.0))
    a_user.settle()
    roi = a_user.workspace.prompts.roi(a_user.segment_id)
    low, high = np.array(a_user.workspace.volume.boxOf(roi)).reshape(2, 3)
    drawn_low, drawn_high = spread(view.ijk((-2.0, 11.0), (2.0, -11.0), (-2.0, -11.0), (2.0, 11.0)))
    assert (low <= drawn_low + ON_A_VOXEL).all()
    assert (high >= drawn_high - ON_A_VOXEL).all()
    axis, _, degrees = a_user.workspace.volume.sliceOf(view.node)
    assert degrees > 10
    drawn = [one for one in range(3) if one != axis.ijk_position]
    assert (np.abs(high - drawn_high)[drawn] <= ON_A_VOXEL).all(), "no wider than it was drawn"


def test_a_slice_box_is_a_box_on_the_slice_in_view(a_user, a_view):
    a_user.press("sliceBox")
    corners = (-6.0, 5.0), (3.0, -4.0)
    a_view.click(*corners)
    a_user.settle()
    (box,) = prompts_of(a_user).prompts
    low, high = spread(a_view.ijk(*corners))
    axis = a_user.workspace.axis
    if axis.ijk_position == a_view.flat:
        assert box.index == round(low[a_view.flat])
        rows = list(axis.rc_positions_ijk)
        assert np.allclose(box.box_rc[:2], low[rows], atol=1)
        assert np.allclose(box.box_rc[2:], high[rows], atol=1)
    else:
        assert low[axis.ijk_position] <= box.index <= high[axis.ijk_position] + 1


def test_clicks_are_points_where_they_were_made(a_user, a_view):
    places = {"inside": ((-4.0, 3.0), (2.0, -2.5)), "outside": ((7.0, 5.0), (-7.0, -5.0))}
    for tool, clicks in places.items():
        a_user.press(tool)
        a_view.click(*clicks)
    a_user.view.tools.stop()
    a_user.settle()
    axis = a_user.workspace.axis
    points = prompts_of(a_user).prompts
    assert len(points) == 4
    for tool, clicks in places.items():
        for point_ijk in a_view.ijk(*clicks):
            index, point_rc = axis.split_ijk(point_ijk)
            assert any(
                one.positive == (tool == "inside")
                and abs(one.index - index) <= ON_A_VOXEL
                and np.allclose(one.point_rc, point_rc, atol=ON_A_VOXEL)
                for one in points
            )


def test_two_clicks_make_a_diameter_of_that_length(a_user, a_view):
    a_user.press("line")
    a_view.click((-6.0, 0.0), (6.0, 5.0))
    a_user.settle()
    (line,) = prompts_of(a_user).prompts
    assert line.length_mm(a_user.workspace.spacing_rc) == pytest.approx(13, abs=0.6)


def test_a_stroke_becomes_a_prompt_along_its_way(a_user, a_view):
    places = (-4.0, 3.0), (4.0, 4.0), (1.0, -4.0)
    low, high = spread(a_view.ijk(*places))
    across = a_user.workspace.axis.ijk_position
    for tool, kind in (("scribble", PointPrompt), ("lasso", BoxPrompt)):
        a_user.press(tool)
        standin.mouse.drag(a_view.widget, [a_view.at(*place) for place in places])
        a_user.settle()
        assert a_user.view.tools.current == ""
        made = [one for one in prompts_of(a_user).prompts if isinstance(one, kind)]
        assert len(made) > 4 if tool == "scribble" else len(made) == 1
        indices = [one.index for one in made]
        assert low[across] - 1 <= min(indices) <= max(indices) <= high[across] + 1


# Interruptions

EVERY_TOOL = ["drawBox", "sliceBox", "line", "inside", "outside", "scribble", "lasso"]


def begin(user, tool, view):
    """Presses the tool's button and goes half the way."""
    user.press(tool)
    if tool in ("scribble", "lasso"):
        standin.mouse.press(view.widget, view.at(-4.0, 3.0))
        standin.mouse.move(view.widget, view.at(0.0, 3.0), held="left")
        standin.mouse.move(view.widget, view.at(4.0, 0.0), held="left")
    else:
        view.click((-4.0, 3.0))
        standin.mouse.move(view.widget, view.at(2.0, 2.0))


def let_go(tool, view):
    if tool in ("scribble", "lasso"):
        standin.mouse.release(view.widget, view.at(4.0, 0.0))


def left(user):
    """Markups of the scene with their defined points."""
    import slicer

    return {
        node.GetAttribute("MedSAM2.Kind"): node.GetNumberOfDefinedControlPoints()
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsNode")
    }


STAYS = {"inside": {"inside": 1}, "outside": {"outside": 1}}
"""A click that made a point is complete in itself."""


def press_escape(user, view):
    standin.mouse.key(view.widget, "Esc")


def press_the_button_again(user, view):
    user.press(user.view.tools.current)


def press_another_tool(user, view):
    user.press("line" if user.view.tools.current != "line" else "drawBox")


def leave_the_module(user, view):
    user.loaded.exit()
    user.loaded.enter()


INTERRUPTIONS = [press_escape, press_the_button_again, press_another_tool, leave_the_module]


@pytest.mark.parametrize("tool", EVERY_TOOL)
def test_nothing_half_placed_stays_whatever_comes_between(a_plain_user, tool):
    view = View(a_plain_user, "Red")
    for interrupt in INTERRUPTIONS:
        begin(a_plain_user, tool, view)
        assert a_plain_user.view.tools.current == tool
        interrupt(a_plain_user, view)
        let_go(tool, view)
        if interrupt is press_another_tool:
            assert a_plain_user.view.tools.current in ("line", "drawBox")
            a_plain_user.view.tools.stop()
        standin.pump(0.1)
        assert a_plain_user.view.tools.current == "", interrupt
        assert left(a_plain_user) == STAYS.get(tool, {}), interrupt
        standin.mouse.move(view.widget, view.at(-6.0, -6.0))
        view.click((5.0, 5.0), (6.0, 1.0))
        assert left(a_plain_user) == STAYS.get(tool, {}), interrupt
        for node in a_plain_user.workspace.prompts.nodes():
            a_plain_user.workspace.prompts.remove(node)


def test_escape_is_slicers_own_while_no_tool_is_on(a_plain_user):
    view = View(a_plain_user, "Red")
    heard = []
    interactor = view.widget.sliceView().interactor()
    tag = interactor.AddObserver(
        "KeyPressEvent", lambda caller, _: heard.append(caller.GetKeySym())
    )
    standin.mouse.key(view.widget, "Esc")
    a_plain_user.press("inside")
    standin.mouse.key(view.widget, "Esc")
    interactor.RemoveObserver(tag)
    assert heard == ["Escape"]


def test_a_second_box_takes_the_place_of_the_first_once_it_is_drawn(a_plain_user):
    view = View(a_plain_user, "Red")
    a_plain_user.press("drawBox")
    view.click((-4.0, 4.0), (4.0, -4.0))
    a_plain_user.settle()
    first = a_plain_user.workspace.prompts.roi(a_plain_user.segment_id)
    a_plain_user.press("drawBox")
    view.click((-6.0, 6.0))
    press_escape(a_plain_user, view)
    assert a_plain_user.workspace.prompts.nodes() == [first]
    a_plain_user.press("drawBox")
    view.click((-6.0, 6.0), (1.0, 1.0))
    a_plain_user.settle()
    (second,) = a_plain_user.workspace.prompts.nodes()
    assert second is not first
    a_plain_user.press("undo")
    a_plain_user.settle()
    (again,) = a_plain_user.workspace.prompts.nodes()
    assert np.allclose(again.GetSize(), (8.8, 8.8, 8.8), atol=2.1)


def test_undo_puts_the_tool_away_with_what_it_was_placing_into(a_plain_user):
    view = View(a_plain_user, "Red")
    a_plain_user.press("inside")
    view.click((-4.0, 4.0))
    standin.mouse.key(view.widget, "Ctrl+Z")
    a_plain_user.settle()
    assert a_plain_user.view.tools.current == ""
    view.click((2.0, 2.0), (3.0, 3.0))
    assert left(a_plain_user) == {}


def test_points_belong_to_the_segment_that_is_chosen_while_the_tool_is_on(a_plain_user):
    view = View(a_plain_user, "Red")
    first = a_plain_user.segment_id
    a_plain_user.press("inside")
    view.click((-4.0, 4.0))
    a_plain_user.press("addSegment")
    second = a_plain_user.segment_id
    standin.pump(0.2)
    view.click((4.0, -4.0), (2.0, -4.0))
    a_plain_user.view.tools.stop()
    a_plain_user.settle()
    counts = {
        one: len(a_plain_user.workspace.objectPrompts(one).prompts) for one in (first, second)
    }
    assert counts == {first: 1, second: 2}


def test_a_click_with_a_stroke_tool_alone_is_nothing(a_plain_user):
    view = View(a_plain_user, "Red")
    for tool in ("scribble", "lasso"):
        a_plain_user.press(tool)
        view.click((1.0, 1.0))
        assert left(a_plain_user) == {}


def test_keys_do_what_the_buttons_do_and_only_while_these_can_be_pressed(a_plain_user):
    view = View(a_plain_user, "Red")
    standin.mouse.key(view.widget, "P")
    assert a_plain_user.view.tools.current == "inside"
    view.click((0.0, 0.0))
    standin.mouse.key(view.widget, "Esc")
    a_plain_user.settle()
    a_plain_user.logic.compute = type(a_plain_user.logic.compute)(slow_backend)
    standin.pump(0.2)
    standin.mouse.key(view.widget, "Ctrl+Return")
    run = a_plain_user.logic.run
    assert run is not None
    for key in ("P", "U", "Ctrl+Z", "Ctrl+Return"):
        standin.mouse.key(view.widget, key)
    assert a_plain_user.logic.run is run
    assert a_plain_user.view.tools.current == ""
    assert standin.pump(30, until=lambda: a_plain_user.logic.run is None)
    assert a_plain_user.workspace.locked(a_plain_user.segment_id) == set()
    a_plain_user.loaded.exit()
    standin.mouse.key(view.widget, "Ctrl+Z")
    standin.mouse.key(view.widget, "P")
    a_plain_user.settle()
    assert a_plain_user.view.tools.current == ""
    assert any(mask.any() for mask in a_plain_user.masks().values())


def slow_backend():
    import time

    return FakeBackend(on_slice=lambda _: time.sleep(0.01))


def test_a_field_of_the_range_that_is_passed_through_limits_nothing(a_plain_user):
    a_plain_user.press("drawBox")
    View(a_plain_user, "Red").click((-4.0, 4.0), (4.0, -4.0))
    a_plain_user.settle()
    label = a_plain_user.logic.history.undoLabel
    for _ in range(2):
        standin.mouse.key(a_plain_user.ui.rangeFirst, "Return")
        standin.mouse.key(a_plain_user.ui.rangeLast, "Return")
    a_plain_user.settle()
    assert a_plain_user.workspace.sliceRange(a_plain_user.segment_id) is None
    assert a_plain_user.logic.history.undoLabel == label
    a_plain_user.ui.rangeFirst.setValue(10)
    standin.mouse.key(a_plain_user.ui.rangeFirst, "Return")
    a_plain_user.settle()
    assert a_plain_user.workspace.sliceRange(a_plain_user.segment_id) == (10, 24)
