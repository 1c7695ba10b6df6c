from __future__ import annotations

import numpy as np
import pytest
import standin
from module_script import Script, noise


@pytest.fixture
def a_bridge(a_scene):
    from MedSAM2SlicerLib.VolumeBridge import VolumeBridge

    def make(kind="axial", **options):
        return VolumeBridge(noise(a_scene, kind=kind, **options))

    Script(a_scene).close()
    return make


@pytest.mark.parametrize(
    ("kind", "axis"),
    [("axial", "K"), ("oblique", "K"), ("sagittal", "K"), ("anisotropic", "K")],
)
def test_a_volume_is_scrolled_along_its_thick_slices(a_bridge, kind, axis):
    assert a_bridge(kind).defaultAxis().name == axis


@pytest.mark.parametrize(("kind", "axis"), [("axial", "K"), ("sagittal", "J")])
def test_an_isotropic_volume_is_scrolled_from_head_to_foot(a_bridge, kind, axis):
    bridge = a_bridge(kind)
    bridge.node.SetSpacing(1.0, 1.0, 1.0)
    assert bridge.defaultAxis().name == axis


def changes_of_content(node):
    import slicer

    def voxels():
        slicer.util.arrayFromVolume(node)[0, 0, 0] += 1
        slicer.util.arrayFromVolumeModified(node)

    def image():
        slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node).copy())

    return [voxels, image, lambda: node.SetOrigin(1.0, 2.0, 3.0), lambda: node.SetSpacing(1, 2, 3)]


def changes_of_looks(node):
    display = node.GetDisplayNode()
    transform = standin.volumes.add_transform(node.GetScene())
    return [
        lambda: node.SetName("another name"),
        lambda: display.SetWindowLevel(50, 20),
        lambda: display.SetAutoWindowLevel(False),
        lambda: node.SetAndObserveTransformNodeID(transform.GetID()),
        lambda: node.SetAttribute("any", "thing"),
    ]


def test_the_fingerprint_changes_with_the_voxels_and_their_grid_and_with_nothing_else(a_bridge):
    bridge = a_bridge()
    seen = [bridge.fingerprint()]
    for change in changes_of_content(bridge.node):
        change()
        assert bridge.fingerprint() not in seen
        seen.append(bridge.fingerprint())
    for change in changes_of_looks(bridge.node):
        change()
        assert bridge.fingerprint() == seen[-1]


def test_two_volumes_of_equal_voxels_are_two_volumes(a_bridge):
    assert a_bridge(seed=1).fingerprint() != a_bridge(seed=1).fingerprint()


def test_a_snapshot_does_not_follow_what_happens_to_the_volume_later(a_bridge):
    import slicer

    bridge = a_bridge("oblique")
    voxels_kji = slicer.util.arrayFromVolume(bridge.node).copy()
    later = bridge.snapshotLater()
    volume = later()
    slicer.util.arrayFromVolume(bridge.node)[:] = 0
    assert np.array_equal(volume.voxels_kji, voxels_kji)
    assert np.allclose(volume.affine_ijk_to_ras, standin.volumes.affine("oblique", (15, 13, 16)))
    bridge.node.GetScene().RemoveNode(bridge.node)
    assert not later().voxels_kji.any(), "the voxels live as long as the function"


def test_the_modality_is_what_the_scene_says_it_is(a_bridge):
    bridge = a_bridge()
    assert bridge.snapshotLater()().modality == ""
    bridge.node.SetAttribute("DICOM.Modality", "CT")
    assert bridge.snapshotLater()().modality == "CT"


def test_a_view_that_is_off_the_voxels_is_told_by_how_much(a_bridge):
    import slicer

    bridge = a_bridge("oblique")
    view = slicer.vtkMRMLSliceNode()
    bridge.node.GetScene().AddNode(view)
    view.SetSliceToRASByNTP(0, 0, 1, 1, 0, 0, *standin.volumes.CENTRE_RAS, 0)
    axis, index, degrees = bridge.sliceOf(view)
    assert (axis.name, index) == ("K", 7)
    assert degrees == pytest.approx(15, abs=0.01)
    bridge.node.GetScene().RemoveNode(view)
