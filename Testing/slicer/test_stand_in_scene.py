"""The scene of the stand-in: files in and out, segments, the views' pictures."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from standin import volumes

FORMATS = ("nii.gz", "nrrd", "mha")


@pytest.mark.parametrize("kind", volumes.KINDS)
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_volume_comes_back_from_a_file_as_it_was(kind, suffix, a_volume, tmp_path):
    """Every voxel lies where it lay; Slicer may turn an axis round while it reads."""
    import slicer

    volume = a_volume(kind)
    file = str(tmp_path / f"volume.{suffix}")
    assert slicer.util.saveNode(volume, file)
    read = slicer.util.loadVolume(file)
    step = np.linalg.inv(ijk_to_ras(read)) @ volumes.affine(kind)
    indices_ijk = np.argwhere(np.ones(volumes.SHAPE_KJI))[:, ::-1]
    found_ijk = indices_ijk @ step[:3, :3].T + step[:3, 3]
    np.testing.assert_allclose(found_ijk, np.round(found_ijk), atol=1e-3)
    i, j, k = np.round(found_ijk).astype(int).T
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(read)[k, j, i], slicer.util.arrayFromVolume(volume).ravel()
    )


def ijk_to_ras(volume):
    import vtk

    import slicer

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize("kind", volumes.KINDS)
def test_the_middle_of_every_volume_lies_at_the_same_place(kind, a_volume):
    middle_ijk = (np.array(volumes.SHAPE_KJI[::-1]) - 1) / 2
    middle_ras = ijk_to_ras(a_volume(kind)) @ [*middle_ijk, 1]
    np.testing.assert_allclose(middle_ras[:3], volumes.CENTRE_RAS, atol=1e-9)


def test_a_transformed_volume_lies_elsewhere(a_volume):
    bounds, moved = [0.0] * 6, [0.0] * 6
    a_volume("axial").GetRASBounds(bounds)
    a_volume("axial", transformed=True).GetRASBounds(moved)
    assert np.abs(np.subtract(bounds, moved)).max() > 5


def test_a_file_that_is_not_there_is_not_read(a_scene, tmp_path):
    import slicer

    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "missing.nrrd"))


def a_segmentation(volume, mask_kji):
    import slicer

    node = slicer.vtkMRMLSegmentationNode()
    volume.GetScene().AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("ball", "Ball", [1.0, 0.1, 0.1])
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask_kji.astype(np.uint8), node, segment, volume
    )
    return node


def test_a_segmentation_comes_back_from_a_file_as_it_was(a_volume, tmp_path):
    import slicer

    volume, ball_kji = a_volume("oblique"), volumes.ball_kji()
    file = str(tmp_path / "ball.seg.nrrd")
    assert slicer.util.saveNode(a_segmentation(volume, ball_kji), file)
    read = slicer.util.loadSegmentation(file)
    found_kji = slicer.util.arrayFromSegmentBinaryLabelmap(read, "ball", volume)
    np.testing.assert_array_equal(found_kji > 0, ball_kji)


def test_markups_come_back_from_a_file_as_they_were(a_scene, tmp_path):
    import slicer

    points = a_scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    slicer.util.updateMarkupsControlPointsFromArray(points, np.array([[1.0, 2, 3], [4, 5, 6]]))
    file = str(tmp_path / "points.mrk.json")
    assert slicer.util.saveNode(points, file)
    read = slicer.util.loadMarkups(file)
    found_ras = slicer.util.arrayFromMarkupsControlPoints(read)
    np.testing.assert_allclose(found_ras, [[1, 2, 3], [4, 5, 6]])


def test_a_scene_comes_back_from_an_mrb_as_it_was(a_scene, a_volume, tmp_path):
    import slicer

    volume = a_volume("oblique", transformed=True, name="scan")
    segmentation = a_segmentation(volume, volumes.ball_kji())
    segmentation.SetName("seg")
    held_kji = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", volume)
    box = a_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    box.SetSize(10, 20, 30)
    box.SetAttribute("kept", "yes")
    choices = a_scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "choices")
    choices.SetParameter("axis", "k")
    file = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(file)
    a_scene.Clear(0)
    assert not slicer.util.getNodes("scan")
    slicer.util.loadScene(file)
    scan, seg, box = (slicer.util.getNode(name) for name in ("scan", "seg", "box"))
    np.testing.assert_allclose(ijk_to_ras(scan), volumes.affine("oblique"), atol=1e-6)
    assert scan.GetParentTransformNode().GetName() == "transform"
    found_kji = slicer.util.arrayFromSegmentBinaryLabelmap(seg, "ball", scan)
    np.testing.assert_array_equal(found_kji, held_kji)
    assert (box.GetSize(), box.GetAttribute("kept")) == ((10, 20, 30), "yes")
    assert slicer.util.getNode("choices").GetParameter("axis") == "k"


def test_a_closed_scene_is_empty_but_keeps_views_and_modes(a_slicer, a_volume):
    a_volume()
    a_slicer.close_scene()
    scene = a_slicer.scene
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLSliceNode") == 3
    for name in a_slicer.layoutManager.sliceViewNames():
        widget = a_slicer.sliceWidget(name)
        assert widget.mrmlSliceNode().GetScene() is scene
        assert widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() is None
    assert a_slicer.app.applicationLogic().GetInteractionNode().GetScene() is scene


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_a_slice_view_shows_the_volume_and_its_segments(name, a_slicer, a_shown_volume):
    volume = a_shown_volume()
    plain = a_slicer.sliceWidget(name).image()
    assert plain.dtype == np.uint8
    assert plain.shape == (380, 420, 3)
    assert plain.std() > 10
    a_segmentation(volume, volumes.ball_kji())
    colored = a_slicer.sliceWidget(name).image().astype(int)
    assert (colored[..., 0] - colored[..., 2]).max() > 60


def test_a_slice_view_shows_another_slice_when_it_is_scrolled(a_slicer, a_shown_volume):
    a_shown_volume()
    widget = a_slicer.sliceWidget("Red")
    before, offset = widget.image(), widget.sliceLogic().GetSliceOffset()
    standin.mouse.wheel(widget, 2)
    assert widget.sliceLogic().GetSliceOffset() == pytest.approx(offset + 4.0, abs=1e-3)
    assert (widget.image() != before).any()


def test_the_3d_view_shows_the_surface(a_slicer, a_shown_volume):
    import slicer

    volume = a_shown_volume()
    node = a_segmentation(volume, volumes.ball_kji())
    view = a_slicer.layoutManager.threeDWidget(0)
    view.threeDView().resetFocalPoint()
    empty = view.image().astype(int)
    button = slicer.qMRMLSegmentationShow3DButton()
    button.setSegmentationNode(node)
    button.click()
    view.threeDView().resetFocalPoint()
    shown = view.image().astype(int)
    reddish = (shown[..., 0] - shown[..., 2] > 60).sum()
    assert reddish > 500 > ((empty[..., 0] - empty[..., 2]) > 60).sum()
    button.click()
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_a_view_draws_itself_only_when_it_is_live(a_slicer, a_shown_volume):
    a_slicer.app.mainWindow().show()
    a_shown_volume()
    canvas = a_slicer.sliceWidget("Red").canvas
    standin.pump(0.1)
    assert canvas.view.stale
    canvas.live = True
    a_slicer.sliceWidget("Red").sliceView().scheduleRender()
    assert standin.pump(5, lambda: not canvas.view.stale)


def test_a_picture_of_an_axial_view_has_anterior_above_and_the_right_side_left(
    a_slicer, a_shown_volume
):
    corner_kji = np.zeros(volumes.SHAPE_KJI, dtype=np.int16)
    corner_kji[:, 25:, 30:] = 100  # to anterior and to the right
    a_shown_volume(voxels_kji=corner_kji)
    picture = a_slicer.sliceWidget("Red").image().mean(axis=2)
    rows, columns = np.array(picture.shape) // 2
    quarters = {
        (vertical, horizontal): picture[above, beside].mean()
        for vertical, above in (("above", slice(rows)), ("below", slice(rows, None)))
        for horizontal, beside in (("left", slice(columns)), ("right", slice(columns, None)))
    }
    assert max(quarters, key=quarters.__getitem__) == ("above", "left")
