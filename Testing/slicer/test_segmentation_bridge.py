from __future__ import annotations

import numpy as np
import pytest
from module_script import Script, noise, segment_kji

SHAPE_KJI = (6, 7, 8)


@pytest.fixture
def a_script(a_scene):
    script = Script(a_scene, noise(a_scene, SHAPE_KJI))
    yield script
    script.close()


def a_mask(seed, shape_rc=(7, 8)):
    return np.random.default_rng(seed).random(shape_rc) < 0.5


def imported(script, extent):
    """A segmentation with one segment of that extent, as another tool may leave it: all of it."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    import slicer

    volume = script.logic.parameters.volume
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetExtent(*extent)
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelmap.SetImageToWorldMatrix(matrix)
    vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = 1
    segment = slicer.vtkSegment()
    segment.AddRepresentation("Binary labelmap", labelmap)
    node = script.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().AddSegment(segment, "theirs")
    script.logic.parameters.segmentation = node
    return "theirs"


def stripes(script, count):
    """Segments that share one labelmap, in stripes along i, as Slicer imports a label volume."""
    import slicer

    volume = script.logic.parameters.volume
    node = script.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    labels = script.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    labels.CopyOrientation(volume)
    labels_kji = np.broadcast_to(np.arange(8) % count + 1, SHAPE_KJI)
    slicer.util.updateVolumeFromArray(labels, labels_kji.astype(np.uint8))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.ImportLabelmapToSegmentationNode(labels, node)
    script.logic.parameters.segmentation = node
    ids = list(node.GetSegmentation().GetSegmentIDs())
    maps = {
        node.GetSegmentation().GetSegment(one).GetRepresentation("Binary labelmap") for one in ids
    }
    assert len(maps) == 1
    return ids


@pytest.mark.parametrize("axis_name", "KJI")
def test_a_labelmap_that_reaches_beyond_the_volume_is_read_where_they_meet(a_script, axis_name):
    from medsam2.core.geometry import SliceAxis

    segment_id = imported(a_script, (-2, 3, 2, 12, 4, 9))
    bridge, axis = a_script.workspace.segmentation, SliceAxis[axis_name]
    expected = np.zeros(SHAPE_KJI, dtype=bool)
    expected[4:, 2:, :4] = True
    for index in range(SHAPE_KJI[axis.value]):
        found = bridge.readSlice(segment_id, axis, index)
        assert np.array_equal(found, np.moveaxis(expected, axis.value, 0)[index])


def test_a_labelmap_beside_the_volume_is_empty_there(a_script):
    segment_id = imported(a_script, (20, 24, 20, 24, 20, 24))
    bridge, axis = a_script.workspace.segmentation, a_script.workspace.axis
    assert len(bridge.occupied(segment_id, axis)) == 0
    assert not any(bridge.readSlice(segment_id, axis, index).any() for index in range(6))


def test_voxels_beyond_the_volume_are_kept(a_script):
    import slicer

    segment_id = imported(a_script, (-2, 3, 2, 12, 4, 9))
    workspace = a_script.workspace
    workspace.segmentation.writeSlice(segment_id, workspace.axis, 4, np.zeros((7, 8), dtype=bool))
    segment = workspace.segmentation.segment(segment_id)
    labels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(
        workspace.segmentation.node, segment_id
    )
    assert segment.GetLabelValue() in labels
    assert int((labels == segment.GetLabelValue()).sum()) == 6 * 11 * 6 - 4 * 5


@pytest.mark.parametrize("masked", [True, False])
def test_segments_that_share_a_labelmap_are_told_apart_when_read_and_when_written(a_script, masked):
    ids = stripes(a_script, 3)
    node, volume = a_script.logic.parameters.segmentation, a_script.logic.parameters.volume
    before = [segment_kji(node, one, volume) for one in ids]
    assert np.sum(before, axis=0).min() == np.sum(before, axis=0).max() == 1
    workspace = a_script.workspace
    read = np.stack([workspace.segmentation.readSlice(ids[1], workspace.axis, n) for n in range(6)])
    assert np.array_equal(read, before[1])
    after_rc = workspace.segmentation.writeSlice(
        ids[1], workspace.axis, 2, a_mask(1), masked=masked
    )
    assert np.array_equal(after_rc, a_mask(1))
    expected = before[1].copy()
    expected[2] = a_mask(1)
    assert np.array_equal(segment_kji(node, ids[1], volume), expected)
    for other in (0, 2):
        assert np.array_equal(segment_kji(node, ids[other], volume), before[other])


def test_a_new_segment_takes_little_room_beside_one_of_the_whole_body(a_scene):
    script = Script(a_scene, noise(a_scene, (60, 61, 62)))
    workspace, first = script.workspace, script.segment_id
    for index in (0, 59):
        workspace.segmentation.writeSlice(first, workspace.axis, index, np.ones((61, 62), bool))
    second = script.add()
    labelmaps = [
        workspace.segmentation.segment(one).GetRepresentation("Binary labelmap")
        for one in (first, second)
    ]
    assert labelmaps[0] is labelmaps[1], "Slicer lets a new segment share the first one's"
    mask_rc = np.zeros((61, 62), dtype=bool)
    mask_rc[20:24, 30:35] = True
    assert np.array_equal(
        workspace.segmentation.writeSlice(second, workspace.axis, 30, mask_rc), mask_rc
    )
    own = workspace.segmentation.segment(second).GetRepresentation("Binary labelmap")
    assert own.GetNumberOfPoints() < labelmaps[0].GetNumberOfPoints() / 4
    assert script.mask_kji(first).sum() == 2 * 61 * 62
    assert script.mask_kji(second).sum() == 20
    script.close()


def test_a_slice_that_is_written_as_it_is_causes_no_event(a_script):
    workspace, segment_id = a_script.workspace, a_script.segment_id
    workspace.segmentation.writeSlice(segment_id, workspace.axis, 2, a_mask(1))
    stamp = workspace.segmentation.stamp(segment_id)
    workspace.segmentation.writeSlice(segment_id, workspace.axis, 2, a_mask(1))
    assert workspace.segmentation.stamp(segment_id) == stamp


def test_what_is_taken_from_another_segment_is_taken_in_place(a_script):
    first, second, third = a_script.segment_id, a_script.add(), a_script.add()
    workspace, editor = a_script.workspace, a_script.logic.parameters.editor
    full_rc = np.ones((7, 8), dtype=bool)
    for segment_id, index, mask_rc in (
        (first, 2, full_rc),
        (second, 3, full_rc),
        (third, 2, a_mask(1)),
    ):
        workspace.segmentation.writeSlice(segment_id, workspace.axis, index, mask_rc)
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    segment = workspace.segmentation.segment
    held = [segment(one).GetRepresentation("Binary labelmap") for one in (first, second, third)]
    scalars = [labelmap.GetPointData().GetScalars() for labelmap in held]
    stamp = workspace.segmentation.stamp(second)
    workspace.segmentation.writeSlice(third, workspace.axis, 2, a_mask(2))
    assert np.array_equal(a_script.slices(first)[2], ~(a_mask(2) & ~a_mask(1)))
    assert np.array_equal(a_script.slices(third)[2], a_mask(2))
    assert workspace.segmentation.stamp(second) == stamp
    for labelmap, before in zip(held, scalars, strict=True):
        assert labelmap.GetPointData().GetScalars() is before


def test_writing_leaves_the_users_editor_settings_alone(a_script):
    segment_id = a_script.segment_id
    editor, node = a_script.logic.parameters.editor, a_script.logic.parameters.segmentation
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    editor.SetMaskMode(node.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID("another")
    stamp = editor.GetMTime()
    workspace = a_script.workspace
    for masked in (True, False):
        workspace.segmentation.writeSlice(
            segment_id, workspace.axis, 2, a_mask(masked), masked=masked
        )
    assert editor.GetMTime() == stamp


def test_what_is_erased_goes_to_nobody_also_with_a_mask_segment_chosen(a_script):
    first, second = a_script.segment_id, a_script.add()
    workspace, editor = a_script.workspace, a_script.logic.parameters.editor
    workspace.segmentation.writeSlice(first, workspace.axis, 2, a_mask(1))
    workspace.segmentation.writeSlice(second, workspace.axis, 2, a_mask(2))
    editor.SetMaskMode(workspace.segmentation.node.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID(first)
    for masked in (True, False):
        workspace.segmentation.writeSlice(
            second, workspace.axis, 2, np.zeros((7, 8), dtype=bool), masked=masked
        )
        assert np.array_equal(a_script.slices(first)[2], a_mask(1))
    assert not a_script.slices(second)[2].any()
