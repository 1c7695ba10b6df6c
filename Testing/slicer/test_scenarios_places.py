"""The same work in process and on a real server leaves the same voxels, prompts and tags."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import standin
from module_script import BOX, Script, noise
from server_process import running


def a_box(script):
    script.box(BOX)
    script.run()


def a_diameter(script):
    script.points("line", (4.1, 5.2, 7.1), (10.2, 7.3, 7.1))
    script.run()


def clicks_and_a_slice_box(script):
    script.points("inside", (6.0, 5.0, 7.0), (8.0, 6.0, 7.0), (7.0, 7.0, 10.0))
    script.points("outside", (13.0, 11.0, 7.0))
    script.run()


def corrections(script):
    script.box(BOX)
    script.run()
    for index in (4, 9):
        mask_rc = np.zeros(script.workspace.shape_rc, dtype=bool)
        mask_rc[3:8, index : index + 4] = True
        script.paint(index, mask_rc)
    script.run()
    script.do("releaseSlice", 9)
    script.run()
    script.do("undo")


def several_segments_in_a_range(script):
    script.box(BOX)
    script.add()
    script.box((6, 4, 3, 14, 9, 9))
    script.do("setSliceRange", (4, 8))
    script.do("segmentAll")
    script.run(direction="backward")


def along_the_rows(script):
    script.logic.parameters.axis = "j"
    script.box((3, 2, 4, 12, 10, 11))
    script.run()


def along_the_columns(script):
    script.logic.parameters.axis = "i"
    script.box((4, 2, 4, 11, 10, 11))
    script.run()


def a_turned_roi_of_the_users(script):
    import slicer

    matrix = script.workspace.volume.affine_ijk_to_ras @ turn(7.5, 6.0, 7.0)
    matrix[:3, :3], _ = np.linalg.qr(matrix[:3, :3])
    if np.linalg.det(matrix[:3, :3]) < 0:
        matrix[:3, 2] *= -1
    roi = script.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetAndObserveTransformNodeID(script.workspace.volume.node.GetTransformNodeID())
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    roi.SetSize(6.0, 5.0, 12.0)
    script.do("takeBox", roi)
    script.run()


def turn(*middle_ijk):
    """Voxels turned about two axes ``[4, 4]``, around a place."""
    turned = np.eye(4)
    turned[:3, :3] = standin.volumes.rotation(30, "x") @ standin.volumes.rotation(-20, "z")
    turned[:3, 3] = middle_ijk
    return turned


def five_edited_slices(script):
    script.box(BOX)
    script.run()
    generator = np.random.default_rng(5)
    for index in (3, 5, 7, 9, 11):
        script.paint(index, generator.random(script.workspace.shape_rc) > 0.6)
    script.run()


def twenty_steps_back_and_some_forth(script):
    for number in range(10):
        script.box((3, 2, 2, 12 - number % 4, 10, 12 - number % 3))
        script.run()
    for _ in range(20):
        script.do("undo")
    for _ in range(13):
        script.do("redo")


def thirty_boxes(script):
    generator = np.random.default_rng(30)
    for number in range(30):
        segment_id = script.segment_id if number == 0 else script.add()
        low = generator.integers(0, (12, 9, 11))
        script.box((*low, *(low + 3)), segment_id)
    script.do("segmentAll")


def a_run_that_loses_its_volume(script):
    lost = script.logic.parameters.volume

    def lose(*_slice):
        if lost.GetScene() is not None:
            script.scene.RemoveNode(lost)

    script.box(BOX)
    script.logic.sliceWritten.connect(lose)
    script.run()
    script.logic.parameters.volume = noise(script.scene)
    script.logic.parameters.segmentation = None
    script.box(BOX)
    script.run()


SCENARIOS = [
    a_box,
    a_diameter,
    clicks_and_a_slice_box,
    corrections,
    several_segments_in_a_range,
    along_the_rows,
    along_the_columns,
    a_turned_roi_of_the_users,
    five_edited_slices,
    twenty_steps_back_and_some_forth,
    thirty_boxes,
    a_run_that_loses_its_volume,
]


def local_backend(factory):
    if factory == "tiny":
        from tiny_engine import backend_for

        return backend_for()
    from fake_backend import FakeBackend

    return FakeBackend()


def oblique(scene):
    return noise(scene, kind="oblique", transform=standin.volumes.add_transform(scene))


def left_by(scenario, scene, backend, a_volume=oblique):
    """What a scenario leaves in the scene; segments in their order, for their ids are random."""
    scene.Clear(0)
    script = Script(scene, a_volume(scene), backend)
    scenario(script)
    assert script.failures == []
    state = script.state()
    script.close()
    return list(state["voxels"].values()), list(state["facts"].values()), script.messages


@pytest.fixture(scope="module", params=["fake", "tiny"])
def places(request):
    """A backend here, and one on a server that does the same."""
    from medsam2.client.backend import RemoteBackend

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(factory=f"factories:{request.param}"))
        yield (
            lambda: local_backend(request.param),
            lambda: RemoteBackend(server.url, server.token),
        )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_masks_are_the_same_in_process_and_on_a_server(a_scene, places, scenario):
    same(*(left_by(scenario, a_scene, backend) for backend in places))


@pytest.mark.parametrize("kind", ["axial", "anisotropic", "lps-flipped", "sagittal", "left-handed"])
def test_masks_are_the_same_in_both_places_however_the_volume_lies(a_scene, places, kind):
    def lying(scene):
        return noise(scene, kind=kind)

    same(*(left_by(corrections, a_scene, backend, lying) for backend in places))


def test_a_case_that_is_reopened_goes_on_with_the_same_masks_in_both_places(
    a_scene, places, tmp_path
):
    same(*(reopened(a_scene, backend, tmp_path / "case.mrb") for backend in places))


def reopened(scene, backend, path):
    """What is left of a case that was saved, closed, opened and gone on with."""
    import slicer

    def until_it_is_saved(script):
        five_edited_slices(script)
        assert slicer.util.saveScene(str(path))

    def go_on(script):
        script.paint(6, np.ones(script.workspace.shape_rc, dtype=bool))
        script.run()

    left_by(until_it_is_saved, scene, backend)
    path_of_scene = str(path)

    def from_file(opened):
        slicer.util.loadScene(path_of_scene)
        return opened.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")

    return left_by(go_on, scene, backend, from_file)


def test_the_shipped_volume_gives_the_same_masks_in_both_places(a_scene, places, repository):
    import slicer

    def shipped(_scene):
        return slicer.util.loadVolume(
            str(repository / "Testing" / "data" / "demo" / "mr_t1.nii.gz")
        )

    def three_clicks(script):
        script.box((40, 50, 18, 90, 100, 24))
        script.run()

    same(*(left_by(three_clicks, a_scene, backend, shipped) for backend in places))


def same(here, there):
    """Compares what two runs of a scenario left."""
    assert any(np.frombuffer(voxels, dtype=bool).any() for voxels in here[0])
    assert here[:2] == there[:2]
    assert [one.split(" in ")[0] for one in here[2]] == [one.split(" in ")[0] for one in there[2]]
