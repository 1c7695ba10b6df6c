"""The scene: undone and done again, saved and reopened, and what in it is not the module's."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from module_script import BOX, Script, drawn_rc, noise, slowly

from medsam2.core.errors import OutputError


def mixed_actions(script):
    """Twenty and more actions of a user, of every kind."""
    first = script.segment_id
    second = script.add()
    script.logic.selectSegment(first)

    def choose(segment_id, action, *args, **options):
        script.logic.selectSegment(segment_id)
        action(*args, **options)

    def move(node):
        x, y, z = node.GetCenter()
        node.SetCenter(x + 1.6, y, z)

    return [
        lambda: script.box(BOX),
        script.run,
        lambda: script.paint(5, drawn_rc(script, 5)),
        lambda: move(script.workspace.prompts.roi(first)),
        script.run,
        lambda: script.points("inside", (6.0, 5.0, 7.0), (8.0, 6.0, 7.0)),
        script.run,
        lambda: script.points("outside", (11.0, 9.0, 7.0)),
        lambda: script.do("useSlice", 9),
        lambda: choose(second, script.box, (6, 4, 3, 14, 9, 9)),
        lambda: script.do("segmentAll"),
        lambda: script.paint(4, drawn_rc(script, 4), second),
        lambda: script.do("setSliceRange", (3, 6)),
        lambda: script.points("line", (7.0, 5.0, 6.0), (12.0, 8.0, 6.0)),
        lambda: script.run(direction="forward"),
        lambda: choose(first, script.do, "releaseSlice", 5),
        script.run,
        lambda: script.do("revertSlice", 5),
        lambda: script.points("scribble", (4.0, 4.0, 8.0), (5.0, 5.0, 8.0), (6.0, 5.0, 8.0)),
        lambda: script.do("removePrompts"),
        lambda: script.points("lasso", (4.0, 4.0, 8.0), (9.0, 4.0, 8.0), (7.0, 8.0, 8.0)),
        lambda: script.box((1, 1, 8, 6, 7, 11)),
        script.run,
        lambda: script.paint(10, np.zeros(script.workspace.shape_rc, dtype=bool)),
        lambda: choose(second, script.do, "setSliceRange", None),
        lambda: script.do("segmentAll"),
    ]


def test_mixed_actions_are_undone_and_done_again_one_by_one(a_script):
    actions = mixed_actions(a_script)
    assert len(actions) > 20
    a_script.settle()
    states = [a_script.state()]
    for number, action in enumerate(actions):
        action()
        a_script.settle()
        states.append(a_script.state())
        assert states[-1] != states[-2], f"action {number} did nothing"
    for state in reversed(states[:-1]):
        a_script.do("undo")
        assert a_script.state() == state
    assert a_script.logic.history.undoLabel is None
    for state in states[1:]:
        a_script.do("redo")
        assert a_script.state() == state
    assert a_script.logic.history.redoLabel is None
    for state in reversed(states[-5:-1]):
        a_script.do("undo")
        assert a_script.state() == state


def test_a_new_action_after_an_undo_takes_the_place_of_what_was_undone(a_script):
    a_script.box(BOX)
    a_script.run()
    a_script.paint(5, drawn_rc(a_script, 1))
    a_script.do("undo")
    a_script.paint(6, drawn_rc(a_script, 2))
    a_script.settle()
    assert a_script.logic.history.redoLabel is None
    state = a_script.state()
    a_script.do("redo")
    assert a_script.state() == state


def belongings(scene):
    """Things of a user's, by name, that look like the module's own."""
    import vtk

    import slicer

    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "my box")
    roi.SetCenter(*standin.volumes.CENTRE_RAS)
    roi.SetSize(6.0, 5.0, 12.0)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "inside")
    points.AddControlPoint(vtk.vtkVector3d(1.0, 2.0, 3.0))
    scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "my empty box")
    standin.volumes.add_transform(scene).SetName("my transform")
    other = noise(scene, (4, 5, 6), seed=3)
    other.SetName("my other volume")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "my segmentation")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(other)
    segment_id = segmentation.GetSegmentation().AddEmptySegment("", "mine")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (slicer.util.arrayFromVolume(other) > 128).astype(np.uint8), segmentation, segment_id, other
    )
    for node in (roi, points):
        node.CreateDefaultDisplayNodes()


def inventory(scene, volume):
    """All that can be told of what is not the module's own."""
    import slicer

    display = volume.GetDisplayNode()
    found = {
        "voxels": slicer.util.arrayFromVolume(volume).tobytes(),
        "window": (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()),
        "grid": ijk_to_ras(volume),
    }
    for kind in ("vtkMRMLMarkupsNode", "vtkMRMLTransformNode", "vtkMRMLSegmentationNode"):
        for node in slicer.util.getNodesByClass(kind):
            if node.GetName().startswith(("my ", "inside")) and " inside" not in node.GetName():
                found[node.GetID()] = described(node)
    return found


def ijk_to_ras(volume):
    import vtk

    import slicer

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix).tolist()


def described(node):
    import slicer

    if node.IsA("vtkMRMLMarkupsROINode"):
        matrix = slicer.util.arrayFromVTKMatrix(node.GetObjectToNodeMatrix()).tolist()
        facts = node.GetSize(), matrix
    elif node.IsA("vtkMRMLMarkupsNode"):
        facts = slicer.util.arrayFromMarkupsControlPoints(node).tolist()
    elif node.IsA("vtkMRMLSegmentationNode"):
        ids = node.GetSegmentation().GetSegmentIDs()
        facts = [slicer.util.arrayFromSegmentBinaryLabelmap(node, one).tobytes() for one in ids]
    else:
        facts = slicer.util.arrayFromTransformMatrix(node).tolist()
    display = node.GetDisplayNode()
    colour = None if display is None else (display.GetVisibility(), display.GetOpacity())
    return node.GetName(), node.GetTransformNodeID(), facts, colour


def test_nothing_of_the_users_is_deleted_or_changed_whatever_is_done_and_undone(a_script):
    belongings(a_script.scene)
    volume = a_script.logic.parameters.volume
    before = inventory(a_script.scene, volume)
    assert len(before) == 8
    for action in mixed_actions(a_script):
        action()
        a_script.settle()
    assert inventory(a_script.scene, volume) == before
    while a_script.logic.history.undoLabel:
        a_script.do("undo")
    assert inventory(a_script.scene, volume) == before
    while a_script.logic.history.redoLabel:
        a_script.do("redo")
    assert inventory(a_script.scene, volume) == before


def own_roi(scene):
    belongings(scene)
    return scene.GetFirstNodeByName("my box")


def test_a_roi_of_the_users_serves_as_the_box_and_is_given_back_as_it_was(a_script):
    roi = own_roi(a_script.scene)
    before = described(roi)
    prompts = a_script.workspace.prompts
    prompts.adopt(roi, a_script.segment_id)
    a_script.run()
    made = a_script.mask_kji()
    assert made.any()
    a_script.do("removePrompts")
    assert prompts.nodes() == []
    assert described(roi) == before
    assert not [name for name in roi.GetAttributeNames() or [] if name.startswith("MedSAM2")]
    a_script.do("undo")
    assert prompts.nodes() == [roi]
    a_script.run()
    assert np.array_equal(a_script.mask_kji(), made)
    a_script.do("removePrompts")
    a_script.do("undo")
    a_script.do("redo")
    assert described(roi) == before
    assert prompts.nodes() == []


def test_a_roi_that_the_user_moved_after_it_was_given_back_is_not_moved_by_an_undo(a_script):
    roi = own_roi(a_script.scene)
    a_script.workspace.prompts.adopt(roi, a_script.segment_id)
    a_script.do("removePrompts")
    roi.SetCenter(1.0, 2.0, 3.0)
    moved = described(roi)
    a_script.do("undo")
    assert described(roi) == moved


def test_a_box_that_is_drawn_takes_the_place_of_the_users_roi_and_leaves_it(a_script):
    roi = own_roi(a_script.scene)
    prompts = a_script.workspace.prompts
    prompts.adopt(roi, a_script.segment_id)
    drawn = prompts.add(a_script.segment_id, "roi")
    drawn.SetSize(3.0, 3.0, 3.0)
    for other in prompts.rivals(drawn):
        prompts.remove(other)
    assert prompts.nodes() == [drawn]
    assert roi.GetScene() is not None
    assert roi.GetSize() == (6.0, 5.0, 12.0)


def test_undoing_prompts_of_a_segment_that_was_removed_is_harmless(a_script):
    first = a_script.segment_id
    a_script.box(BOX)
    a_script.run()
    a_script.do("removePrompts")
    a_script.add()
    a_script.logic.parameters.segmentation.GetSegmentation().RemoveSegment(first)
    while a_script.logic.history.undoLabel:
        a_script.do("undo")
    while a_script.logic.history.redoLabel:
        a_script.do("redo")
    assert a_script.workspace.prompts.nodes() == []


def test_the_prompts_of_a_segment_that_is_removed_go_with_it_but_no_roi_of_the_users(a_script):
    first, roi = a_script.segment_id, own_roi(a_script.scene)
    a_script.box(BOX)
    a_script.points("inside", (5, 5, 5))
    second = a_script.add()
    a_script.workspace.prompts.adopt(roi, second)
    third = a_script.add()
    kept = a_script.box(BOX)
    a_script.settle()
    label = a_script.logic.history.undoLabel
    segmentation = a_script.logic.parameters.segmentation.GetSegmentation()
    for segment_id in (first, second):
        segmentation.RemoveSegment(segment_id)
    a_script.settle()
    assert a_script.workspace.prompts.nodes() == [kept]
    assert a_script.workspace.promptedSegments() == [third]
    assert roi.GetScene() is not None
    assert not [name for name in roi.GetAttributeNames() or [] if name.startswith("MedSAM2")]
    assert a_script.logic.history.undoLabel == label, "there is nothing to undo in it"


def worked_on(script):
    """A scene with everything in it that must survive a file."""
    first = script.segment_id
    script.box(BOX)
    script.run()
    script.paint(5, drawn_rc(script, 5))
    script.points("inside", (6.0, 5.0, 7.0), (8.0, 6.0, 7.0))
    script.do("useSlice", 9)
    script.run()
    script.add("second")
    script.box((6, 4, 3, 14, 9, 9))
    script.points("lasso", (4.0, 4.0, 8.0), (9.0, 4.0, 8.0), (7.0, 8.0, 8.0))
    script.do("setSliceRange", (3, 8))
    script.run()
    script.logic.parameters.window = "percentile"
    script.logic.parameters.axis = "k"
    return first


@pytest.mark.parametrize("transformed", [False, True])
def test_a_scene_is_saved_closed_reopened_and_continued(a_scene, tmp_path, transformed):
    import slicer

    transform = standin.volumes.add_transform(a_scene) if transformed else None
    noise(a_scene, seed=9).SetName("another volume")
    script = Script(a_scene, noise(a_scene, kind="oblique", transform=transform))
    first = worked_on(script)
    before = script.state()
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    script.close()
    script.logic.forgetWorkspace()
    a_scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "case.mrb"))

    again = Script(a_scene)
    parameters = again.logic.parameters
    assert (parameters.window, parameters.axis) == ("percentile", "k")
    assert parameters.volume.GetName() == "oblique"
    again.settle()
    after = again.state()
    assert after["voxels"] == before["voxels"]
    assert after["facts"] == before["facts"]
    assert geometry(after) == geometry(before)
    assert again.logic.history.undoLabel is None

    again.logic.selectSegment(first)
    again.run()
    assert again.state()["voxels"] == before["voxels"]
    again.box((3, 2, 7, 12, 10, 8), first)
    again.run()
    filled = [n for n, mask_rc in enumerate(again.slices(first)) if mask_rc.any()]
    assert filled == [5, 7, 8, 9], "the model's own slices go, the user's stay"
    again.do("undo")
    assert again.state()["voxels"] == before["voxels"]
    assert again.failures == []
    again.close()


def geometry(state):
    """The prompts of a state, to a thousandth of a millimetre."""
    found = {}
    for identity, held in state["prompts"].items():
        numbers = held.get("points") or [held["matrix"], held["size"]]
        known = {name: held[name] for name in ("class", "name", "kind", "segment")}
        found[identity] = known, [np.round(one, 3).tolist() for one in numbers]
    return found


def test_thirty_boxes_are_segmented_in_one_pass_and_each_as_if_it_were_alone(a_scene):
    volume = noise(a_scene, (20, 40, 48))
    script = Script(a_scene, volume)
    generator = np.random.default_rng(4)
    boxes = {}
    for number in range(30):
        low = generator.integers(0, (36, 28, 12))
        segment_id = script.segment_id if number == 0 else script.add()
        boxes[segment_id] = (*low, *(low + generator.integers(4, 11, 3).clip(max=7)))
        script.box(boxes[segment_id], segment_id)
    script.settle()
    before = script.state()
    script.do("segmentAll")
    assert len(script.messages) == 1
    import slicer

    bright_kji = slicer.util.arrayFromVolume(volume) > 127.5
    for segment_id, (i0, j0, k0, i1, j1, k1) in boxes.items():
        inside = np.zeros_like(bright_kji)
        inside[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = True
        found = script.mask_kji(segment_id)
        assert found.any()
        assert not (found & ~inside).any()
        assert (found == bright_kji)[inside].mean() > 0.98
    script.do("undo")
    assert script.state() == before
    assert script.failures == []
    script.close()


def test_undo_of_several_segments_touches_no_other_and_does_one_at_a_time(a_scene):
    script = Script(a_scene, noise(a_scene, (20, 40, 48)))
    ids = [script.segment_id, *(script.add() for _ in range(4))]
    for segment_id in ids[:3]:
        script.box((4, 4, 4, 9, 9, 9), segment_id)
    script.do("segmentAll")
    events = []
    for segment_id in ids:
        segment = script.workspace.segmentation.segment(segment_id)
        segment.AddObserver("ModifiedEvent", lambda *_, one=segment_id: events.append(one))
    step = script.logic.history.undo()
    for _ in script.workspace.apply(step):
        assert len(set(events)) <= 1
        events.clear()
    assert events == []
    assert not script.mask_kji(ids[0]).any()
    script.close()


def foreign_segmentation(scene, volume, mask_kji, segment_id=""):
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = node.GetSegmentation().AddEmptySegment(segment_id, "theirs")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask_kji.astype(np.uint8), node, segment_id, volume
    )
    return node


@pytest.mark.parametrize("transformed", [False, True])
def test_what_another_tool_segmented_is_kept_and_informs_the_run(a_scene, transformed):
    transform = standin.volumes.add_transform(a_scene) if transformed else None
    volume = noise(a_scene, kind="oblique", transform=transform)
    theirs = np.zeros((15, 13, 16), dtype=bool)
    theirs[4:7, 3:9, 5:11] = True
    script = Script(a_scene, volume)
    script.logic.parameters.segmentation = foreign_segmentation(a_scene, volume, theirs)
    script.box(BOX)
    script.run()
    assert script.workspace.locked(script.segment_id) == {4, 5, 6}
    found = script.mask_kji()
    assert np.array_equal(found[4:7], theirs[4:7])
    assert found[7:13].any(axis=(1, 2)).all()
    script.do("undo")
    assert np.array_equal(script.mask_kji(), theirs)
    script.do("redo")
    assert np.array_equal(script.mask_kji(), found)
    assert script.workspace.locked(script.segment_id) == {4, 5, 6}
    assert script.failures == []
    script.close()


def refused(script, words):
    """The workspace is refused with a message; nothing was made for it."""
    count = script.scene.GetNumberOfNodes()
    with pytest.raises(OutputError, match=words):
        script.logic.segment()
    assert script.scene.GetNumberOfNodes() <= count + 1  # the editor's node
    script.close()


def test_a_segmentation_on_another_grid_is_refused_with_what_to_do(a_scene):
    volume, coarse = noise(a_scene), noise(a_scene, (7, 6, 8), "anisotropic")
    script = Script(a_scene, volume)
    script.logic.parameters.segmentation = foreign_segmentation(
        a_scene, coarse, np.ones((7, 6, 8), dtype=bool)
    )
    refused(script, "another grid.*choose a new segmentation")


def test_an_empty_segmentation_that_was_made_for_another_volume_takes_the_masks(a_scene):
    volume, coarse = noise(a_scene), noise(a_scene, (7, 6, 8), "anisotropic")
    plain = Script(a_scene, volume)
    plain.box(BOX)
    plain.run()
    expected = plain.mask_kji()
    plain.close()
    script = Script(a_scene, volume)
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(coarse)
    script.logic.parameters.segmentation = node
    script.box(BOX)
    script.run()
    assert np.array_equal(script.mask_kji(), expected)
    script.close()


def test_a_segmentation_made_of_surfaces_is_refused_with_what_to_do(a_scene):
    import vtk

    volume = noise(a_scene)
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    ball = vtk.vtkSphereSource()
    ball.SetRadius(5.0)
    ball.SetCenter(standin.volumes.CENTRE_RAS)
    ball.Update()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "surface", [1.0, 0.0, 0.0])
    node.SetSourceRepresentationToClosedSurface()
    script = Script(a_scene, volume)
    script.logic.parameters.segmentation = node
    refused(script, "surface")
    assert node.GetSegmentation().GetSourceRepresentationName() == "Closed surface"


def test_a_segmentation_under_another_transform_is_refused_with_what_to_do(a_scene):
    volume = noise(a_scene, transform=standin.volumes.add_transform(a_scene))
    script = Script(a_scene, volume)
    node = foreign_segmentation(a_scene, volume, np.ones((15, 13, 16), dtype=bool))
    node.SetAndObserveTransformNodeID(None)
    script.logic.parameters.segmentation = node
    refused(script, "different transforms.*put both under the same one")


def test_a_volume_that_is_moved_away_from_its_masks_is_refused_until_both_are_together(a_scene):
    script = Script(a_scene, noise(a_scene))
    script.box(BOX)
    script.run()
    before = script.mask_kji()
    transform = standin.volumes.add_transform(a_scene)
    volume, segmentation = script.logic.parameters.volume, script.logic.parameters.segmentation
    volume.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(OutputError, match="different transforms"):
        script.logic.segment()
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    script.settle()
    assert script.workspace.locked(script.segment_id) == set()
    script.box((3, 2, 6, 12, 10, 9))
    script.run()
    expected = before.copy()
    expected[:6], expected[10:] = False, False
    assert np.array_equal(script.mask_kji(), expected)
    script.close()


def test_a_volume_whose_grid_was_changed_is_refused(a_scene):
    script = Script(a_scene, noise(a_scene))
    script.box(BOX)
    script.run()
    script.logic.parameters.volume.SetSpacing(1.0, 1.0, 1.0)
    with pytest.raises(OutputError, match="another grid"):
        script.logic.segment()
    script.close()


def test_a_run_on_one_segmentation_can_not_be_undone_in_another(a_scene):
    volume = noise(a_scene)
    script = Script(a_scene, volume, slowly)
    script.box(BOX)
    script.settle()
    script.logic.segment()
    run = script.logic.run
    script.idle(until=lambda: run.progress.done >= 3)
    mask_kji = np.zeros((15, 13, 16), dtype=bool)
    mask_kji[6:8, 4:8, 4:8] = True
    (segment_id,) = run.segmentIds
    other = foreign_segmentation(a_scene, volume, mask_kji, segment_id)
    script.logic.cancel()
    script.logic.parameters.segmentation = other
    assert script.workspace.segmentation.node is other
    script.idle()
    script.settle()
    while script.logic.history.undoLabel:
        script.do("undo")
    assert np.array_equal(script.mask_kji(segment_id), mask_kji)
    script.close()


def test_a_stroke_on_one_segmentation_can_not_be_undone_in_another(a_script):
    a_script.box(BOX)
    a_script.run()
    a_script.paint(6, drawn_rc(a_script, 6))
    a_script.logic.settle()
    a_script.logic.parameters.segmentation = None
    assert a_script.segment_id
    a_script.idle()
    assert a_script.logic.history.undoLabel is None


def test_the_backend_is_asked_for_the_volume_that_is_chosen_now(a_scene):
    first, second = noise(a_scene, seed=1), noise(a_scene, seed=2)
    masks = {}
    for volume in (first, second, first):
        script = Script(a_scene, volume)
        script.logic.parameters.segmentation = None
        script.box(BOX)
        script.run()
        assert volume not in masks or np.array_equal(masks[volume], script.mask_kji())
        masks[volume] = script.mask_kji()
        script.close()
    assert not np.array_equal(masks[first], masks[second])


def test_voxels_that_were_changed_are_segmented_anew(a_script):
    import slicer

    a_script.box(BOX)
    a_script.run()
    before = a_script.mask_kji()
    volume = a_script.logic.parameters.volume
    voxels_kji = slicer.util.arrayFromVolume(volume)
    voxels_kji[:] = 255 - voxels_kji
    slicer.util.arrayFromVolumeModified(volume)
    a_script.run()
    after = a_script.mask_kji()
    assert after.any()
    assert not (before & after).any()


def test_a_backend_is_opened_once_and_closed_at_the_end(a_scene):
    opened = []

    def backend():
        opened.append(FakeBackend())
        return opened[-1]

    script = Script(a_scene, noise(a_scene), backend)
    for box in (BOX, (4, 3, 3, 9, 8, 9)):
        script.box(box)
        script.run()
    assert len(opened) == 1
    assert len(opened[0].sessions) == 1
    script.close()
    script.idle(until=lambda: opened[0].closed)
