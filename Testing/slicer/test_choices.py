"""Another volume, segmentation or axis is chosen: what was done before is not said of it."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from module_script import noise, slowly
from module_user import User
from PySide6 import QtCore, QtTest

import slicer
from medsam2.core.geometry import SliceAxis


@pytest.fixture
def a_user(a_slicer, a_scene):
    user = User(a_slicer, slowly)
    first = noise(a_scene)
    first.SetName("first")
    user.choose(first)
    return user


def createSegmentation(volume):
    from MedSAM2SlicerLib import SegmentationBridge

    return SegmentationBridge.createSegmentation(volume)


def another(user, shape_kji=(8, 13, 16)):
    volume = noise(user.logic.scene, shape_kji, seed=1)
    volume.SetName("second")
    standin.volumes.show(user.slicer, volume)
    return volume


def axis_j(user):
    selector = user.ui.axisSelector
    selector.setCurrentIndex(selector.findData("j"))
    selector.activated.emit(selector.currentIndex)


def new_segmentation(user):
    user.ui.segmentationSelector.setCurrentNode(None)


def second_volume(user):
    user.ui.volumeSelector.setCurrentNode(another(user))


@pytest.mark.parametrize("choose", [axis_j, new_segmentation, second_volume])
def test_a_run_that_ends_by_another_choice_offers_no_undo_of_it(a_user, choose):
    a_user.draw_box(7, (2, 2, 10, 12), (2, 12))
    segmentation, segment_id = a_user.logic.parameters.segmentation, a_user.segment_id
    a_user.press("segment")
    assert standin.pump(60, until=lambda: a_user.logic.run.progress.done >= 3)
    choose(a_user)
    assert standin.pump(60, until=lambda: a_user.logic.run is None)
    a_user.settle()
    a_user.view.refresh()
    assert a_user.ui.statusLabel.text == (
        "Cancelled; the slices made so far stay in first segmentation."
    )
    assert not a_user.ui.undoButton.enabled
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    assert segment.GetRepresentation("Binary labelmap") is not None


def test_slices_of_a_run_that_another_axis_ended_are_still_the_models(a_user):
    a_user.draw_box(7, (2, 2, 10, 12), (2, 12))
    a_user.press("segment")
    assert standin.pump(60, until=lambda: a_user.logic.run.progress.done >= 3)
    axis_j(a_user)
    a_user.settle()
    assert a_user.workspace.axis is SliceAxis.J
    assert a_user.workspace.locked(a_user.segment_id) == set()


@pytest.mark.parametrize("choose", [axis_j, new_segmentation, second_volume])
def test_a_message_goes_with_what_it_was_about(a_user, choose):
    a_user.draw_box(7, (2, 2, 10, 12), (6, 8))
    a_user.run()
    assert a_user.ui.statusLabel.text.startswith("3 slices")
    choose(a_user)
    a_user.settle()
    a_user.view.refresh()
    assert "slices in" not in a_user.ui.statusLabel.text
    assert not a_user.ui.undoButton.enabled


def test_a_run_that_is_cancelled_before_its_first_slice_promises_no_undo(a_user):
    a_user.draw_box(7, (2, 2, 10, 12), (6, 8))
    a_user.press("segment")
    a_user.logic.cancel()
    a_user.settle()
    a_user.view.refresh()
    assert a_user.ui.statusLabel.text == "Cancelled; no slice was changed."


def shown(user):
    user.view.refresh()
    rows = user.ui.segmentsTable.rowCount
    return rows, user.ui.sliceLabel.text, user.ui.rangeFirst.enabled


def close_scene(user):
    user.slicer.close_scene()


def remove_volume(user):
    user.logic.scene.RemoveNode(user.logic.parameters.volume)


def remove_segmentation(user):
    user.logic.scene.RemoveNode(user.logic.parameters.segmentation)


def remove_segments(user):
    user.logic.parameters.segmentation.GetSegmentation().RemoveAllSegments()


def segmentation_elsewhere(user):
    other = another(user)
    node = user.logic.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(other)
    segment_id = node.GetSegmentation().AddEmptySegment("", "theirs")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.ones((8, 13, 16), np.uint8), node, segment_id, other
    )
    user.ui.segmentationSelector.setCurrentNode(node)


AWAY = [
    close_scene,
    remove_volume,
    remove_segmentation,
    remove_segments,
    segmentation_elsewhere,
    new_segmentation,
    second_volume,
]


@pytest.mark.parametrize("choose", AWAY)
def test_segments_and_slices_that_are_gone_are_not_shown(a_user, choose):
    a_user.draw_box(7, (2, 2, 10, 12), (6, 8))
    a_user.run()
    assert shown(a_user) == (1, "Slice 7 of 0..14: segmented", True)
    choose(a_user)
    standin.pump(1)
    assert shown(a_user) == (0, "", False)
    assert choose is remove_segments or "slices in" not in a_user.ui.statusLabel.text
    QtTest.QTest.mouseClick(a_user.ui.sliceStrip, QtCore.Qt.MouseButton.LeftButton)
    standin.pump(0.2)


def test_a_segmentation_that_is_only_chosen_gets_no_segment(a_user):
    node = createSegmentation(a_user.logic.parameters.volume)
    a_user.ui.segmentationSelector.setCurrentNode(node)
    standin.pump(1)
    assert node.GetSegmentation().GetNumberOfSegments() == 0
    a_user.draw_box(7, (2, 2, 10, 12), (6, 8))
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    a_user.run()
    assert shown(a_user) == (1, "Slice 7 of 0..14: segmented", True)


def test_a_volume_that_is_chosen_again_has_its_segments_again(a_user):
    first = a_user.logic.parameters.volume
    a_user.draw_box(7, (2, 2, 10, 12), (6, 8))
    a_user.run()
    segmentation, masks = a_user.logic.parameters.segmentation, a_user.masks()
    theirs = createSegmentation(first)
    theirs.GetSegmentation().AddEmptySegment("", "theirs")
    second_volume(a_user)
    a_user.settle()
    assert a_user.logic.parameters.segmentation is None
    a_user.ui.volumeSelector.setCurrentNode(first)
    a_user.settle()
    assert a_user.logic.parameters.segmentation is segmentation
    assert a_user.ui.segmentationSelector.currentNode() is segmentation
    assert shown(a_user)[0] == 1
    assert a_user.workspace.locked(a_user.segment_id) == set()
    a_user.run()
    assert all(np.array_equal(a_user.masks()[n], masks[n]) for n in masks)
