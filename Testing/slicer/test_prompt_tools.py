"""Prompts drawn with the mouse in slice views, and the preview while they change."""

from __future__ import annotations

import numpy as np
import pytest
import standin

import slicer


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


@pytest.mark.parametrize("tool", ["drawBox", "sliceBox"])
def test_a_box_beside_the_image_is_told(a_user, tool):
    view = a_user.view_showing(12).mrmlSliceNode()
    width, height, depth = view.GetFieldOfView()
    view.SetFieldOfView(3 * width, 3 * height, depth)
    a_user.press(tool)
    a_user.click(12, (8, -20), (30, -6))
    standin.pump(0.2)
    assert "beside the volume" in a_user.ui.statusLabel.text
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") == []


def test_a_box_begun_before_another_volume_was_chosen_is_of_that_volume(a_user, a_volume):
    first = a_user.workspace.segmentation.node
    a_user.press("drawBox")
    second = a_volume("axial")
    a_user.ui.volumeSelector.setCurrentNode(second)
    standin.pump(0.2)
    assert a_user.ui.drawBoxButton.checked
    a_user.click(12, (8, 10), (30, 36))
    a_user.settle()
    assert a_user.logic.parameters.volume is second
    assert a_user.workspace.segmentation.node is not first
    assert a_user.workspace.prompts.roi(a_user.segment_id) is not None
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")) == 1


@pytest.mark.parametrize("clicks", [0, 1])
def test_a_box_whose_segment_is_removed_meanwhile_becomes_anothers(a_user, clicks):
    a_user.press("drawBox")
    a_user.click(12, *[(8, 10)][:clicks])
    a_user.logic.parameters.segmentation.GetSegmentation().RemoveAllSegments()
    standin.pump(0.2)
    a_user.click(12, (8, 10), (30, 36))
    a_user.settle()
    standin.pump(0.7)
    (roi,) = slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")
    assert a_user.workspace.prompts.roi(a_user.segment_id) is roi


@pytest.mark.parametrize("clicks", [0, 1])
@pytest.mark.parametrize("tool", ["drawBox", "inside", "line"])
def test_a_node_that_is_removed_while_it_is_placed_is_begun_anew(a_user, tool, clicks):
    a_user.press(tool)
    a_user.click(12, *[(8, 10)][:clicks])
    for node in a_user.workspace.prompts.nodes():
        slicer.mrmlScene.RemoveNode(node)
    standin.pump(0.2)
    a_user.click(12, (8, 10), (30, 36))
    a_user.view.tools.stop()
    a_user.settle()
    (node,) = slicer.util.getNodesByClass("vtkMRMLMarkupsNode")
    assert a_user.workspace.prompts.nodes(a_user.segment_id) == [node]


def test_prompts_go_with_a_segmentation_that_is_removed_and_rois_of_the_users_stay(a_user):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "mine")
    roi.SetSize(6.0, 5.0, 12.0)
    a_user.draw_box(12, (8, 10, 30, 36), (8, 16))
    a_user.press("addSegment")
    a_user.logic.takeBox(roi)
    a_user.settle()
    assert len(a_user.workspace.prompts.nodes()) == 2
    slicer.mrmlScene.RemoveNode(a_user.logic.parameters.segmentation)
    standin.pump(1)
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsNode") == [roi]
    assert not [name for name in roi.GetAttributeNames() or [] if name.startswith("MedSAM2")]


def test_boxes_in_a_row_are_segments_of_their_own_until_escape(a_user):
    boxes = [(4, 4, 12, 14), (14, 20, 22, 30), (24, 6, 34, 16)]
    a_user.press("boxes")
    for number, (r0, c0, r1, c1) in enumerate(boxes):
        a_user.click(10 + number, (r0, c0), (r1, c1))
        standin.pump(0.2)
    assert a_user.ui.boxesButton.checked
    a_user.view.tools.stop()
    a_user.settle()
    ids = a_user.workspace.segmentation.segmentIds
    assert len(ids) == 3
    for number, (segment_id, (r0, c0, r1, c1)) in enumerate(zip(ids, boxes, strict=True)):
        roi = a_user.workspace.objectPrompts(segment_id).roi
        assert roi.first <= 10 + number <= roi.last
        assert np.allclose(roi.box_rc, (r0, c0, r1, c1), atol=1.5)
    a_user.run("segmentAll")
    for segment_id in ids:
        assert any(mask.any() for mask in a_user.masks(segment_id).values())
    a_user.press("boxes")
    a_user.click(10, (15, 4), (20, 9))
    a_user.view.tools.stop()
    a_user.settle()
    assert len(a_user.workspace.segmentation.segmentIds) == 4, "a segment with a mask is not reused"


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


def test_a_roi_that_is_in_the_scene_can_be_taken_as_the_box_and_is_given_back(a_user):
    from MedSAM2SlicerLib.Placement import placeBox

    selector = a_user.ui.roiSelector
    assert not selector.visible, "nothing to offer yet"
    roi = a_user.logic.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "of the user's")
    placeBox(roi, a_user.workspace.volume, np.array([9.5, 7.5, 4.5]), np.array([30.5, 28.5, 11.5]))
    a_user.settle(0.7)
    place = selector.findText("of the user's")
    selector.setCurrentIndex(place)
    selector.activated.emit(place)
    a_user.settle(0.7)
    box = a_user.workspace.objectPrompts(a_user.segment_id).roi
    assert (box.first, box.last, box.box_rc) == (5, 11, (8, 10, 28, 30))
    assert selector.count == 1, "it is taken"
    assert a_user.logic.history.undoLabel == "Take of the user's"
    a_user.press("undo")
    a_user.settle(0.7)
    assert roi.GetScene() is not None
    assert selector.findText("of the user's") == 1


@pytest.fixture
def two_views(a_user):
    """Red and Yellow on the same axis, three slices apart; the mouse is in neither."""
    red, yellow = (a_user.slicer.sliceWidget(name) for name in ("Red", "Yellow"))
    yellow.mrmlSliceNode().SetOrientation("Axial")
    a_user.view.slices.goTo(5)
    node = yellow.mrmlSliceNode()
    node.JumpSliceByOffsetting(*a_user.workspace.volume.centreOf(a_user.workspace.axis, 8))
    yield red, yellow
    red.mrmlSliceNode().SetMappedInLayout(True)


def test_a_slice_in_a_view_that_the_layout_does_not_show_is_not_the_one_in_view(a_user, two_views):
    assert a_user.view.slices.inView() == 5
    two_views[0].mrmlSliceNode().SetMappedInLayout(False)
    assert a_user.view.slices.inView() == 8


def test_of_two_views_on_the_axis_the_one_under_the_mouse_counts(a_user, two_views):
    assert a_user.view.slices.inView() == 5
    standin.mouse.move(two_views[1], a_user.point(8, 20, 20))
    assert a_user.view.slices.inView() == 8


def test_keys_follow_the_views_of_the_layout_also_when_some_were_deleted(a_user, two_views):
    from MedSAM2SlicerLib.Shortcuts import KEYS

    keys, layoutManager = a_user.view.shortcuts, a_user.slicer.layoutManager
    assert len(keys._installed) == 4 * len(KEYS)  # the panel and three views
    two_views[0].mrmlSliceNode().SetMappedInLayout(False)
    layoutManager.setLayout(6)
    assert len(keys._installed) == 3 * len(KEYS)
    for shortcut in keys._installed[-len(KEYS) :]:
        shortcut.delete()
    two_views[0].mrmlSliceNode().SetMappedInLayout(True)
    layoutManager.setLayout(3)
    assert len(keys._installed) == 4 * len(KEYS)
