"""Corrections with the embedded Segment Editor's brush."""

from __future__ import annotations

import numpy as np
import pytest
import standin


@pytest.fixture
def a_user(a_user_with_a_mask):
    return a_user_with_a_mask


def stroke(user, index, effect):
    widget = user.view_showing(index)
    user.ui.editorWidget.setActiveEffectByName(effect)
    standin.pump(0.1)
    standin.mouse.drag(widget, [user.point(index, 5, 6), user.point(index, 5, 16)])
    user.ui.editorWidget.setActiveEffectByName("")
    user.settle()


def test_a_stroke_of_the_brush_is_kept_by_the_next_update(a_user):
    before = a_user.masks()
    stroke(a_user, 12, "Paint")
    painted = a_user.masks()
    assert painted[12].sum() > before[12].sum()
    assert 12 in a_user.workspace.locked(a_user.segment_id)
    a_user.run("both")
    assert np.array_equal(a_user.masks()[12], painted[12])


def test_a_stroke_is_one_step_to_undo(a_user):
    before = a_user.masks()
    stroke(a_user, 12, "Paint")
    a_user.press("undo")
    a_user.settle()
    assert all(np.array_equal(mask, before[index]) for index, mask in a_user.masks().items())
    assert a_user.workspace.locked(a_user.segment_id) == set()


def test_a_stroke_copies_no_segments_for_an_undo_that_nobody_can_reach(a_user):
    stroke(a_user, 12, "Paint")
    assert not a_user.ui.editorWidget.logic().CanUndo()


def test_the_brush_is_put_away_before_the_scene_closes(a_user):
    scene, editor, seen = a_user.slicer.scene, a_user.ui.editorWidget, []

    def look(*_event):
        seen.append((editor.activeEffect(), editor.segmentationNode()))

    editor.setActiveEffectByName("Paint")
    tag = scene.AddObserver(scene.StartCloseEvent, look, -1.0)
    a_user.slicer.close_scene()
    scene.RemoveObserver(tag)
    assert seen == [(None, None)]


def test_the_brush_and_the_prompt_tools_take_turns_with_the_mouse(a_user):
    a_user.ui.editorWidget.setActiveEffectByName("Paint")
    a_user.press("inside")
    assert a_user.ui.editorWidget.activeEffect() is None
    before = a_user.masks()
    a_user.click(12, (20, 24))
    a_user.view.tools.stop()
    a_user.settle()
    assert all(np.array_equal(mask, before[index]) for index, mask in a_user.masks().items())


@pytest.mark.parametrize("tool", ["scribble", "inside"])
def test_a_brush_that_is_taken_up_puts_the_prompt_tool_away(a_user, tool):
    a_user.press(tool)
    stroke(a_user, 12, "Paint")
    assert a_user.view.tools.current == ""
    assert len(a_user.workspace.prompts.nodes()) == 1  # the box
    assert 12 in a_user.workspace.locked(a_user.segment_id)


def test_a_segment_chosen_in_the_editor_is_the_current_one(a_user):
    first = a_user.segment_id
    a_user.press("addSegment")
    assert a_user.segment_id != first
    a_user.ui.editorWidget.setCurrentSegmentID(first)
    a_user.settle(1.0)
    assert a_user.segment_id == first


def test_a_segment_added_in_the_editor_is_the_current_one(a_user):
    import qt

    first = a_user.segment_id
    a_user.ui.editorWidget.findChild(qt.QPushButton, "AddSegmentButton").click()
    a_user.settle(1.0)
    assert a_user.segment_id not in ("", first)
    a_user.ui.editorWidget.findChild(qt.QPushButton, "RemoveSegmentButton").click()
    a_user.settle(1.0)
    assert a_user.segment_id == first


def test_the_current_segment_stays_when_the_editor_is_given_its_segmentation_anew(a_user):
    a_user.press("addSegment")
    second = a_user.segment_id
    a_user.view.editor._known = ()
    a_user.ui.editorWidget.setMRMLSegmentEditorNode(None)
    a_user.settle(1.0)
    assert a_user.ui.editorWidget.segmentationNode() is a_user.logic.parameters.segmentation
    assert a_user.ui.editorWidget.currentSegmentID() == second
    assert a_user.segment_id == second


def test_a_scene_that_is_added_leaves_the_choices_as_they_are(a_user, tmp_path):
    import slicer

    other = slicer.vtkMRMLScene()
    other.AddNewNodeByClass("vtkMRMLTextNode", "a note")
    file = str(tmp_path / "more.mrml")
    other.SetURL(file)
    other.Commit()
    parameters, before = a_user.logic.parameters, a_user.masks()
    chosen = parameters.volume, parameters.segmentation, a_user.segment_id
    slicer.util.loadScene(file)
    assert a_user.slicer.scene.GetFirstNodeByName("a note") is not None
    a_user.settle(1.0)
    assert (parameters.volume, parameters.segmentation, a_user.segment_id) == chosen
    shown = a_user.ui.volumeSelector.currentNode(), a_user.ui.segmentationSelector.currentNode()
    assert shown == chosen[:2]
    assert a_user.ui.editorWidget.segmentationNode() is chosen[1]
    assert all(np.array_equal(mask, before[index]) for index, mask in a_user.masks().items())
