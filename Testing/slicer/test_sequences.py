"""Frames of a cine loop or a 4D scan as slices: segmented, painted, undone, saved."""

from __future__ import annotations

import time

import cine
import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from module_user import User

import slicer

COUNT = 12
BOX_RC = (8, 10, 32, 38)


def choose_axis(user, name):
    selector = user.ui.axisSelector
    place = selector.findData(name)
    selector.setCurrentIndex(place)
    selector.activated.emit(place)
    user.settle()


def through_time(a_slicer, volume):
    user = User(a_slicer, FakeBackend)
    user.choose(volume)
    choose_axis(user, "time")
    return user


@pytest.fixture
def a_user(a_slicer, a_scene):
    frames = cine.beating(cine.CINE_SHAPE_KJI, COUNT)
    return through_time(a_slicer, cine.add_sequence(a_scene, frames))


def segment_from_frame(user, frame, box_rc=BOX_RC):
    user.press("drawBox")
    user.click(frame, box_rc[:2], box_rc[2:])
    user.settle()
    user.run()


def paint(user, frame, mask_rc):
    """Leaves a mask on what the scene shows of a frame, as any effect of the editor does."""
    from MedSAM2SlicerLib.SegmentationBridge import SegmentationBridge

    user.view.slices.goTo(frame)
    workspace, plane = user.workspace, user.workspace.volume.plane
    editor = SegmentationBridge(
        workspace.segmentation.node, workspace.volume.space, user.logic.parameters.editor
    )
    editor.writeSlice(user.segment_id, plane.axis, plane.index, mask_rc)


def wanted_masks(planes, frame, box_rc=BOX_RC):
    """What the backend gives for a box on the volume ``[T, rows, columns]``."""
    from medsam2.core.backend import SessionOptions
    from medsam2.core.geometry import SliceAxis
    from medsam2.core.prompts import BoxPrompt, ObjectPrompts
    from medsam2.core.volume import Volume

    with FakeBackend().open(
        Volume(np.stack(planes), np.eye(4)), SessionOptions(axis=SliceAxis.K)
    ) as session:
        session.put(1, ObjectPrompts((BoxPrompt(frame, box_rc),)))
        return {result.index: result.mask_rc.unpack() for result in session.propagate()}


def shown_mask(user, axis=0, index=0):
    """What the segmentation node in the scene shows now, ``[rows, columns]``."""
    segmentation, volume = user.logic.parameters.segmentation, user.logic.parameters.volume
    array_kji = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, user.segment_id, volume)
    return np.moveaxis(array_kji, axis, 0)[index] > 0


def equal(masks, wanted):
    return sorted(masks) == sorted(wanted) and all(
        np.array_equal(masks[index], mask) for index, mask in wanted.items()
    )


def test_a_box_on_one_frame_segments_all_frames_as_the_engine_does(a_user):
    segment_from_frame(a_user, 4)
    planes = [frame[0] for frame in cine.beating(cine.CINE_SHAPE_KJI, COUNT)]
    wanted = wanted_masks(planes, 4)
    assert sorted(wanted) == list(range(COUNT))
    assert equal(a_user.masks(), wanted)
    assert a_user.ui.statusLabel.text.startswith(f"{COUNT} slices")


def test_scrolling_in_time_shows_each_frames_mask(a_user):
    segment_from_frame(a_user, 4)
    masks = a_user.masks()
    browser = cine.browser_of(a_user.logic.parameters.volume)
    for frame in (0, 7, 3):
        browser.SetSelectedItemNumber(frame)
        a_user.settle()
        assert masks[frame].any()
        assert np.array_equal(shown_mask(a_user), masks[frame])
        assert a_user.ui.sliceLabel.text.startswith(f"Frame {frame} of 0..{COUNT - 1}")
    assert a_user.workspace.locked(a_user.segment_id) == set()


def test_a_frame_that_was_painted_is_kept_and_the_next_run_leaves_it(a_user):
    segment_from_frame(a_user, 4)
    drawn = np.zeros_like(a_user.masks()[6])
    drawn[3:9, 20:30] = True
    paint(a_user, 6, drawn)
    a_user.settle()
    a_user.view.slices.goTo(2)
    assert a_user.workspace.locked(a_user.segment_id) == {6}
    a_user.run("both")
    assert np.array_equal(a_user.masks()[6], drawn)
    assert "1 of yours kept" in a_user.ui.statusLabel.text
    a_user.view.slices.goTo(6)
    assert np.array_equal(shown_mask(a_user), drawn)


def test_paint_just_before_another_frame_is_shown_is_not_lost(a_user):
    segment_from_frame(a_user, 4)
    drawn = ~a_user.masks()[6]
    paint(a_user, 6, drawn)
    a_user.view.slices.goTo(4)
    a_user.view.slices.goTo(6)
    a_user.view.slices.goTo(4)
    a_user.settle()
    assert np.array_equal(a_user.masks()[6], drawn)
    assert a_user.workspace.locked(a_user.segment_id) == {6}


def test_paint_during_playback_is_not_lost_either(a_user):
    segment_from_frame(a_user, 4)
    drawn = ~a_user.masks()[6]
    browser = cine.browser_of(a_user.logic.parameters.volume)
    a_user.view.slices.goTo(6)
    browser.SetPlaybackActive(True)
    paint(a_user, 6, drawn)
    browser.SelectNextItem(1)
    browser.SetPlaybackActive(False)
    a_user.settle()
    assert np.array_equal(a_user.masks()[6], drawn)
    assert a_user.workspace.locked(a_user.segment_id) == {6}


def test_frames_and_other_markups_of_the_user_stay_as_they_are(a_user):
    own = a_user.slicer.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "mine")
    own.AddControlPoint(1.0, 2.0, 3.0)
    own.CreateDefaultDisplayNodes()
    segment_from_frame(a_user, 4)
    a_user.view.slices.goTo(9)
    volume = a_user.logic.parameters.volume
    sequence = cine.browser_of(volume).GetSequenceNode(volume)
    assert own.GetDisplayVisibility()
    assert own.GetAttributeNames() == ()
    for number, voxels_kji in enumerate(cine.beating(cine.CINE_SHAPE_KJI, COUNT)):
        held_kji = slicer.util.arrayFromVolume(sequence.GetNthDataNode(number))
        assert np.array_equal(held_kji, voxels_kji)


def test_undo_and_redo_are_exact_on_whatever_frame_they_are_asked_for(a_user):
    segment_from_frame(a_user, 4)
    made = a_user.masks()
    drawn = ~made[6]
    paint(a_user, 6, drawn)
    a_user.settle()
    a_user.view.slices.goTo(1)
    a_user.press("undo")
    a_user.settle()
    assert equal(a_user.masks(), made)
    assert a_user.workspace.locked(a_user.segment_id) == set()
    a_user.press("undo")
    a_user.settle()
    assert not any(mask.any() for mask in a_user.masks().values())
    a_user.view.slices.goTo(9)
    for _ in range(2):
        a_user.press("redo")
        a_user.settle()
    assert equal(a_user.masks(), {**made, 6: drawn})
    a_user.view.slices.goTo(6)
    assert np.array_equal(shown_mask(a_user), drawn)


def test_prompts_belong_to_their_frame_and_are_shown_on_no_other(a_user):
    a_user.press("inside")
    a_user.click(3, (20, 24))
    a_user.click(5, (21, 25), (19, 23))
    a_user.view.tools.stop()
    a_user.settle()
    prompts = a_user.workspace.objectPrompts(a_user.segment_id).prompts
    assert sorted((p.index, *np.round(p.point_rc)) for p in prompts) == [
        (3, 20, 24),
        (5, 19, 23),
        (5, 21, 25),
    ]
    first, second = a_user.workspace.prompts.nodes()
    for frame, shown in ((3, [True, False]), (5, [False, True]), (4, [False, False])):
        a_user.view.slices.goTo(frame)
        assert [bool(node.GetDisplayVisibility()) for node in (first, second)] == shown


def test_prompts_come_back_to_their_frame_by_undo(a_user):
    a_user.press("sliceBox")
    a_user.click(5, (8, 10), (32, 38))
    a_user.settle()
    a_user.view.slices.goTo(2)
    a_user.press("undo")
    a_user.settle()
    assert a_user.workspace.prompts.nodes() == []
    a_user.press("redo")
    a_user.settle()
    (node,) = a_user.workspace.prompts.nodes()
    assert not node.GetDisplayVisibility()
    (box,) = a_user.workspace.objectPrompts(a_user.segment_id).prompts
    assert box.index == 5


def test_names_and_colours_of_segments_are_the_same_on_all_frames(a_user):
    segment_from_frame(a_user, 4)
    segment = a_user.workspace.segmentation.segment(a_user.segment_id)
    segment.SetName("Left ventricle")
    segment.SetColor(0.1, 0.2, 0.3)
    for frame in (2, 9):
        a_user.view.slices.goTo(frame)
        segment = a_user.workspace.segmentation.segment(a_user.segment_id)
        assert segment.GetName() == "Left ventricle"
        assert np.allclose(segment.GetColor(), (0.1, 0.2, 0.3))


def test_a_segment_that_is_removed_is_gone_from_all_frames(a_user):
    segment_from_frame(a_user, 4)
    first = a_user.segment_id
    a_user.press("addSegment")
    assert a_user.segment_id != first
    segmentation = a_user.logic.parameters.segmentation
    segmentation.GetSegmentation().RemoveSegment(first)
    for frame in (2, 9):
        a_user.view.slices.goTo(frame)
        assert first not in segmentation.GetSegmentation().GetSegmentIDs()


def test_all_is_there_after_saving_and_opening_and_goes_on(a_user, tmp_path):
    segment_from_frame(a_user, 4)
    drawn = ~a_user.masks()[6]
    paint(a_user, 6, drawn)
    a_user.settle()
    a_user.run("both")
    before, segment_id = a_user.masks(), a_user.segment_id
    file = str(tmp_path / "cine.mrb")
    assert slicer.util.saveScene(file)
    a_user.slicer.scene.Clear(0)
    standin.pump(0.3)
    slicer.util.loadScene(file)
    a_user.settle()
    assert a_user.segment_id == segment_id
    assert a_user.ui.axisSelector.itemData(a_user.ui.axisSelector.currentIndex) == "time"
    assert equal(a_user.masks(), before)
    assert a_user.workspace.locked(segment_id) == {6}
    segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [n.GetName() for n in segmentations if n.GetName() != "MedSAM2 preview"] == [
        a_user.logic.parameters.segmentation.GetName()
    ]
    (box,) = a_user.workspace.objectPrompts(segment_id).prompts[:1]
    assert box.index == 4
    a_user.run("both")
    assert np.array_equal(a_user.masks()[6], drawn)
    assert equal(a_user.masks(), before)


def test_the_preview_shows_the_frame_in_view(a_user):
    a_user.press("sliceBox")
    a_user.click(5, (8, 10), (32, 38))
    a_user.settle()
    assert standin.pump(10, until=lambda: a_user.view.preview.mask_rc is not None)
    shown = a_user.view.preview.mask_rc
    a_user.run()
    assert np.array_equal(a_user.masks()[5], shown)


@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed"])
def test_a_slice_of_a_4d_scan_under_a_transform_is_followed_through_time(a_slicer, a_scene, kind):
    frames = cine.beating(cine.SCAN_SHAPE_KJI, 6)
    transform = standin.volumes.add_transform(a_scene) if kind == "oblique" else None
    volume = cine.add_sequence(a_scene, frames, kind, transform)
    user = through_time(a_slicer, volume)
    for name in a_slicer.layoutManager.sliceViewNames():
        a_slicer.sliceWidget(name).mrmlSliceNode().RotateToVolumePlane(volume)
    plane = user.workspace.volume.plane
    box_rc = (4, 5, 26, 30)
    segment_from_frame(user, 2, box_rc)
    (box,) = user.workspace.objectPrompts(user.segment_id).prompts
    assert np.allclose(box.box_rc, box_rc, atol=1)
    planes = [np.moveaxis(one, plane.axis.value, 0)[plane.index] for one in frames]
    assert equal(user.masks(), wanted_masks(planes, 2, box.box_rc))
    assert f"Slice {plane.name}, frame" in user.ui.sliceLabel.text
    user.view.slices.goTo(4)
    assert np.array_equal(shown_mask(user, plane.axis.value, plane.index), user.masks()[4])
    others = slicer.util.arrayFromSegmentBinaryLabelmap(
        user.logic.parameters.segmentation, user.segment_id, volume
    )
    touched = np.flatnonzero(others.any(axis=tuple({0, 1, 2} - {plane.axis.value})))
    assert touched.tolist() == [plane.index]


def test_another_slice_of_a_4d_scan_has_its_own_locks_and_prompts(a_slicer, a_scene):
    volume = cine.add_sequence(a_scene, cine.beating(cine.SCAN_SHAPE_KJI, 6))
    user = through_time(a_slicer, volume)
    segment_from_frame(user, 2, (4, 5, 26, 30))
    made, segment_id = user.masks(), user.segment_id
    user.logic.useSlice(3)
    user.settle()
    plane = user.workspace.volume.plane
    user.logic.parameters.plane = f"{plane.axis.name} {plane.index + 1}"
    user.settle()
    assert user.segment_id == segment_id
    assert user.workspace.locked(segment_id) == set()
    assert not any(mask.any() for mask in user.masks().values())
    assert user.workspace.objectPrompts(segment_id).prompts == ()
    user.logic.parameters.plane = plane.name
    user.settle()
    assert user.workspace.locked(segment_id) == {3}
    assert equal(user.masks(), made)


@pytest.mark.parametrize("tool", ["drawBox", "inside"])
def test_a_prompt_off_the_slice_that_is_followed_is_told(a_slicer, a_scene, tool):
    volume = cine.add_sequence(a_scene, cine.beating(cine.SCAN_SHAPE_KJI, 6))
    user = through_time(a_slicer, volume)
    widget, frames = user.view_showing(2), user.workspace.volume
    axis, other = frames.plane.axis, frames.plane.index + 2
    widget.mrmlSliceNode().JumpSliceByOffsetting(*frames.space.centreOf(axis, other))
    user.press(tool)
    for place_rc in ((4, 5), (26, 30)):
        standin.mouse.click(widget, frames.space.ijkToRas(axis.join_ijk(other, place_rc)))
    user.view.tools.stop()
    standin.pump(0.2)
    assert "is not used" in user.ui.statusLabel.text
    user.settle()
    assert user.workspace.objectPrompts(user.segment_id).prompts == ()
    user.press("undo")
    user.settle()
    assert user.workspace.prompts.nodes(user.segment_id) == []


def test_a_volume_that_is_no_sequence_does_not_offer_time(a_slicer, a_volume, a_scene):
    user = User(a_slicer, FakeBackend)
    user.choose(a_volume("axial"))
    assert user.ui.axisSelector.findData("time") < 0
    user.choose(cine.add_sequence(a_scene, cine.beating(cine.CINE_SHAPE_KJI, 3)))
    choose_axis(user, "time")
    assert user.workspace.sliceCount == 3
    user.choose(a_volume("oblique"))
    assert user.ui.axisSelector.findData("time") < 0
    assert user.logic.parameters.axis == "auto"


def test_masks_of_one_frame_and_of_all_frames_are_not_mixed_up(a_user):
    segment_from_frame(a_user, 4)
    of_frames = a_user.logic.parameters.segmentation
    choose_axis(a_user, "k")
    a_user.logic.addSegment()
    a_user.settle()
    of_one = a_user.logic.parameters.segmentation
    assert of_one is not of_frames
    a_user.ui.segmentationSelector.setCurrentNode(of_frames)
    a_user.settle()
    assert "choose the axis Time" in a_user.ui.statusLabel.text
    choose_axis(a_user, "time")
    a_user.ui.segmentationSelector.setCurrentNode(of_one)
    a_user.settle()
    assert "masks of one frame" in a_user.ui.statusLabel.text
    a_user.ui.segmentationSelector.setCurrentNode(of_frames)
    a_user.settle()
    assert a_user.masks()[4].any()


def test_frames_of_different_sizes_are_refused_with_a_message(a_slicer, a_scene):
    frames = cine.beating(cine.CINE_SHAPE_KJI, 4)
    frames[2] = frames[2][:, :-4]
    user = through_time(a_slicer, cine.add_sequence(a_scene, frames))
    segment_from_frame(user, 1)
    assert "differ in size" in user.ui.statusLabel.text
    assert not any(mask.any() for mask in user.masks().values())


@pytest.mark.parametrize("what", ["browser", "frames", "masks", "volume"])
def test_what_a_run_works_on_may_go_away_in_the_middle_of_it(a_user, what):
    slow = FakeBackend(on_slice=lambda _index: time.sleep(0.05))
    a_user.logic.compute = type(a_user.logic.compute)(lambda: slow)
    a_user.press("drawBox")
    a_user.click(4, BOX_RC[:2], BOX_RC[2:])
    a_user.settle()
    volume, segmentation = a_user.logic.parameters.volume, a_user.logic.parameters.segmentation
    browser = cine.browser_of(volume)
    node = {
        "browser": browser,
        "frames": browser.GetSequenceNode(volume),
        "masks": browser.GetSequenceNode(segmentation),
        "volume": volume,
    }[what]
    a_user.press("segment")
    run = a_user.logic.run
    assert standin.pump(10, until=lambda: run.progress.done >= 2)
    a_user.slicer.scene.RemoveNode(node)
    assert standin.pump(10, until=lambda: a_user.logic.run is None)
    a_user.settle()
    assert run.progress.done < COUNT


def test_the_tiny_engine_gives_the_same_masks_as_on_the_bare_frames(a_slicer, a_scene):
    pytest.importorskip("torch", reason="the engine needs PyTorch")
    from tiny_engine import backend_for

    from medsam2.core.backend import SessionOptions
    from medsam2.core.geometry import SliceAxis
    from medsam2.core.volume import Volume

    frames = cine.beating(cine.CINE_SHAPE_KJI, 5)
    user = User(a_slicer, backend_for)
    user.choose(cine.add_sequence(a_scene, frames))
    choose_axis(user, "time")
    segment_from_frame(user, 2)
    workspace = user.workspace
    volume = Volume(np.concatenate(frames), workspace.volume.affine_ijk_to_ras)
    with backend_for().open(volume, SessionOptions(axis=SliceAxis.K, window="auto")) as session:
        session.put(1, workspace.objectPrompts(user.segment_id))
        wanted = {result.index: result.mask_rc.unpack() for result in session.propagate()}
    masks = user.masks()
    assert any(mask.any() for mask in masks.values())
    assert all(np.array_equal(masks[index], mask) for index, mask in wanted.items())
