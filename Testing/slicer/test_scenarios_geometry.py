"""Masks lie where the voxels lie, however the volume is oriented, turned or moved."""

from __future__ import annotations

import re

import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from module_script import Script, noise, shown_bounds
from module_user import User

KINDS = ["axial", "oblique", "anisotropic", "lps-flipped", "sagittal", "left-handed"]
SHAPE_KJI = (15, 13, 16)
BOX = (3, 2, 2, 12, 10, 11)
"""Inclusive ``i0, j0, k0, i1, j1, k1``."""

several = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def to_vtk(matrix):
    import slicer

    return slicer.util.vtkMatrixFromArray(np.asarray(matrix, dtype=float))


def ijk_to_world(volume):
    """Voxels to world ``[4, 4]``, by MRML alone."""
    import vtk

    import slicer

    inner, outer = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(inner)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        volume.GetParentTransformNode(), None, outer
    )
    return slicer.util.arrayFromVTKMatrix(outer) @ slicer.util.arrayFromVTKMatrix(inner)


def plain(scene, kind):
    """A volume with the same voxels and spacing, whose axes are the patient's."""
    volume = noise(scene)
    spacing = np.linalg.norm(standin.volumes.affine(kind)[:3, :3], axis=0)
    volume.SetIJKToRASMatrix(to_vtk(np.diag([*spacing, 1.0])))
    return volume


def made(scene, kind, *, transformed):
    """A volume of that kind, under a transform or not."""
    transform = standin.volumes.add_transform(scene) if transformed else None
    return noise(scene, kind=kind, transform=transform)


def corrected_kji(scene, volume, axis):
    """A run in a box, then a painted slice, points, a diameter and another run."""
    script = Script(scene, volume)
    script.logic.parameters.axis = axis
    script.box(BOX)
    script.run()
    painted_rc = np.zeros(script.workspace.shape_rc, dtype=bool)
    painted_rc[1:4, 2:9] = True
    script.paint(7, painted_rc)
    script.points("inside", (5.2, 4.4, 4.0), (8.0, 6.7, 9.3))
    script.points("line", (4.1, 5.3, 8.2), (9.3, 6.2, 8.3))
    script.run()
    assert script.failures == []
    script.close()
    return script.mask_kji()


@pytest.mark.parametrize("axis", ["k", "j", "i"])
@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_the_same_voxels_however_the_volume_lies(a_scene, kind, transformed, axis):
    expected = corrected_kji(a_scene, plain(a_scene, kind), axis)
    a_scene.Clear(0)
    volume = made(a_scene, kind, transformed=transformed)
    found = corrected_kji(a_scene, volume, axis)
    assert found.any()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_shown_where_their_voxels_are_in_the_patient(a_scene, kind, transformed):
    volume = made(a_scene, kind, transformed=transformed)
    found = corrected_kji(a_scene, volume, "k")
    k, j, i = np.nonzero(found)
    corners_ijk = np.array([(x, y, z, 1.0) for x in ends(i) for y in ends(j) for z in ends(k)])
    corners_ras = (ijk_to_world(volume) @ corners_ijk.T)[:3]
    expected = np.stack([corners_ras.min(axis=1), corners_ras.max(axis=1)], axis=1).ravel()
    (segmentation,) = segmentations(a_scene)
    assert np.allclose(
        shown_bounds(segmentation, segmentation.GetSegmentation().GetNthSegmentID(0)),
        expected,
        atol=1e-3,
    )


def ends(indices):
    """Where voxels of these indices begin and end."""
    return indices.min() - 0.5, indices.max() + 0.5


def segmentations(scene):
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def turned_roi(scene, to_world, *, under):
    """A ROI that is turned against the voxels; ``to_world`` moves it to where the volume lies."""
    import slicer

    tilt = np.eye(4)
    tilt[:3, :3] = standin.volumes.rotation(30, "x") @ standin.volumes.rotation(-20, "z")
    tilt[:3, 3] = 6.0, 5.0, 13.0
    matrix = to_world @ tilt
    if np.linalg.det(matrix[:3, :3]) < 0:  # a box is the same behind a mirror
        matrix[:3, 2] *= -1
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    if under is not None:
        roi.SetAndObserveTransformNodeID(under.GetID())
        matrix = np.linalg.inv(slicer.util.arrayFromTransformMatrix(under)) @ matrix
    roi.SetAndObserveObjectToNodeMatrix(to_vtk(matrix))
    roi.SetSize(4.0, 3.5, 9.0)
    return roi


def segmented_in_roi_kji(scene, volume, to_world, *, moved):
    script = Script(scene, volume)
    under = standin.volumes.add_transform(scene, 40.0, -3.0) if moved else None
    roi = turned_roi(scene, to_world, under=under)
    script.workspace.prompts.adopt(roi, script.segment_id)
    script.run()
    assert script.failures == []
    script.close()
    return script.mask_kji()


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_turned_roi_on_a_moved_volume_gives_the_voxels_of_the_same_data_unmoved(
    a_scene, kind, moved
):
    straight = plain(a_scene, kind)
    plain_to_world = ijk_to_world(straight)
    expected = segmented_in_roi_kji(a_scene, straight, np.eye(4), moved=False)
    a_scene.Clear(0)
    volume = made(a_scene, kind, transformed=True)
    to_world = ijk_to_world(volume) @ np.linalg.inv(plain_to_world)
    found = segmented_in_roi_kji(a_scene, volume, to_world, moved=moved)
    assert found.any()
    assert np.array_equal(found, expected)


def test_a_volume_of_one_slice_is_segmented(a_scene):
    script = Script(a_scene, noise(a_scene, (1, 13, 16)))
    script.logic.parameters.axis = "k"
    script.box((3, 2, 0, 12, 10, 0))
    script.run()
    assert script.failures == []
    assert script.mask_kji().any()
    script.close()


@pytest.mark.parametrize(
    ("place", "value", "words"), [((0, 2), 0.6, "sheared"), ((0, 0), 0.0, "repair|zero")]
)
def test_voxels_that_can_not_be_right_are_refused_before_a_box_is_drawn(
    a_slicer, a_scene, place, value, words
):
    volume = noise(a_scene)
    affine = standin.volumes.affine("axial")
    affine[place] = value
    volume.SetIJKToRASMatrix(to_vtk(affine))
    user = User(a_slicer, FakeBackend)
    user.ui.volumeSelector.setCurrentNode(volume)
    standin.pump(0.7)
    user.press("drawBox")
    standin.pump(0.7)
    assert re.search(words, user.ui.statusLabel.text)
    assert not user.ui.drawBoxButton.checked
    assert a_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


@st.composite
def rigid(draw):
    """A random turn, perhaps with a mirror, and a shift ``[4, 4]``."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    directions, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    directions[:, 0] *= draw(st.sampled_from([1, -1]))
    matrix = np.eye(4)
    matrix[:3, :3] = directions
    matrix[:3, 3] = generator.uniform(-500, 500, 3)
    return matrix


@st.composite
def affines(draw):
    """A random right-angled voxel grid."""
    spacing = draw(st.tuples(*[st.floats(0.2, 6.0)] * 3))
    return draw(rigid()) @ np.diag([*spacing, 1.0])


@st.composite
def warps(draw):
    """A random transform: turned, stretched, sheared; or None."""
    if draw(st.booleans()):
        return None
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stretch = np.eye(4)
    stretch[:3, :3] = np.eye(3) + generator.uniform(-0.3, 0.3, (3, 3))
    return draw(rigid()) @ stretch


def bridge_of(scene, affine, warp):
    from MedSAM2SlicerLib.VolumeBridge import VolumeBridge

    scene.Clear(0)
    volume = noise(scene, SHAPE_KJI)
    volume.SetIJKToRASMatrix(to_vtk(affine))
    if warp is not None:
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(to_vtk(warp))
        volume.SetAndObserveTransformNodeID(transform.GetID())
    return VolumeBridge(volume)


@several
@given(affine=affines(), warp=warps(), seed=st.integers(0, 2**32 - 1))
def test_points_go_to_the_patient_and_back(a_scene, affine, warp, seed):
    volume = bridge_of(a_scene, affine, warp)
    points_ijk = np.random.default_rng(seed).uniform(-5, 20, (6, 3))
    points_ras = volume.ijkToRas(points_ijk)
    expected = (np.c_[points_ijk, np.ones(6)] @ ijk_to_world(volume.node).T)[:, :3]
    assert np.allclose(points_ras, expected, atol=1e-6)
    assert np.allclose(volume.rasToIjk(points_ras), points_ijk, atol=1e-6)


@several
@given(
    affine=affines(),
    warp=st.one_of(st.none(), rigid()),
    corners=st.tuples(*[st.integers(0, 12)] * 6),
)
def test_a_box_around_voxels_holds_those_voxels(a_scene, affine, warp, corners):
    """Under a transform that shears, Slicer keeps the ROI's own sides at right angles."""
    import slicer
    from MedSAM2SlicerLib.Placement import placeBox

    volume = bridge_of(a_scene, affine, warp)
    low, high = np.sort(np.array(corners).reshape(2, 3), axis=0)
    roi = a_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    placeBox(roi, volume, low - 0.5, high + 0.5)
    assert volume.boxOf(roi) == (*low, *high)
    turned = slicer.util.arrayFromVTKMatrix(roi.GetObjectToNodeMatrix())[:3, :3]
    assert np.linalg.det(turned) == pytest.approx(1.0), "Slicer wants no mirror in it"


@several
@given(
    affine=affines(),
    warp=warps(),
    voxel=st.tuples(st.integers(0, 15), st.integers(0, 12), st.integers(0, 14)),
    off=st.tuples(*[st.floats(-0.49, 0.49)] * 3),
    axis_name=st.sampled_from("KJI"),
)
def test_a_click_on_a_voxel_is_a_click_on_its_slice(a_scene, affine, warp, voxel, off, axis_name):
    import vtk

    from medsam2.core.geometry import SliceAxis
    from MedSAM2SlicerLib.PromptReader import readPrompts

    volume, axis = bridge_of(a_scene, affine, warp), SliceAxis[axis_name]
    point_ijk = np.array(voxel) + off
    node = a_scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.SetAttribute("MedSAM2.Kind", "inside")
    node.AddControlPointWorld(vtk.vtkVector3d(*volume.ijkToRas(point_ijk)))
    (point,) = readPrompts([node], volume, axis).prompts
    index, point_rc = axis.split_ijk(point_ijk)
    assert point.index == round(index)
    assert np.allclose(point.point_rc, point_rc, atol=1e-6)


@several
@given(
    affine=affines(),
    turn=st.one_of(st.none(), rigid()),
    axis_name=st.sampled_from("KJI"),
    number=st.integers(0, 12),
    within=st.floats(-0.45, 0.45),
)
def test_a_view_along_an_axis_shows_the_slice_it_was_sent_to(
    a_scene, affine, turn, axis_name, number, within
):
    import slicer
    from medsam2.core.geometry import SliceAxis

    volume, axis = bridge_of(a_scene, affine, turn), SliceAxis[axis_name]
    view = slicer.vtkMRMLSliceNode()
    a_scene.AddNode(view)
    world = ijk_to_world(volume.node)[:3, :3]
    normal = world[:, axis.ijk_position] / np.linalg.norm(world[:, axis.ijk_position])
    across = world[:, axis.rc_positions_ijk[1]]
    at_ras = volume.centreOf(axis, number) + within * world[:, axis.ijk_position]
    view.SetSliceToRASByNTP(*normal, *across / np.linalg.norm(across), *at_ras, 0)
    found, index, degrees = volume.sliceOf(view)
    assert (found, index) == (axis, number)
    assert degrees < 0.1
    a_scene.RemoveNode(view)


def test_points_go_through_a_transform_that_bends(a_scene):
    import vtk

    volume = bridge_of(a_scene, standin.volumes.affine("oblique"), None)
    bend = vtk.vtkThinPlateSplineTransform()
    bend.SetBasisToR()
    corners_ras = volume.ijkToRas(
        np.array([(0, 0, 0), (15, 0, 0), (0, 12, 0), (0, 0, 14), (15, 12, 14)])
    )
    for number, setter in ((0, bend.SetSourceLandmarks), (1, bend.SetTargetLandmarks)):
        points = vtk.vtkPoints()
        for place, corner in enumerate(corners_ras):
            points.InsertNextPoint(corner + number * np.array([place, -1.0, 2.0 * (place % 2)]))
        setter(points)
    transform = a_scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(bend)
    volume.node.SetAndObserveTransformNodeID(transform.GetID())
    points_ijk = np.array([(3.0, 4.0, 5.0), (11.0, 8.0, 12.0)])
    points_ras = volume.ijkToRas(points_ijk)
    assert np.allclose(volume.rasToIjk(points_ras), points_ijk, atol=0.01)
    assert not np.allclose(
        points_ras, points_ijk @ standin.volumes.affine("oblique")[:3, :3].T, atol=1
    )
    markup = a_scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    markup.SetAndObserveTransformNodeID(transform.GetID())
    local = volume.affine_ijk_to_ras @ [3.0, 4.0, 5.0, 1.0]
    markup.AddControlPoint(vtk.vtkVector3d(*local[:3]))
    assert np.allclose(points_ras[0], markup.GetNthControlPointPositionWorld(0), atol=1e-3)
