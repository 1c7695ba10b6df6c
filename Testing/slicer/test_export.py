"""Files that segments are written into, and what writing leaves of the scene."""

from __future__ import annotations

import numpy as np
import pytest
from module_script import Script, noise, segment_kji

from medsam2.core.errors import UnwritableOutputError

SHAPE_KJI = (6, 7, 8)
NAMES = ("out.seg.nrrd", "out.nii.gz", "out.nrrd")


@pytest.fixture
def a_script(a_scene):
    script = Script(a_scene, noise(a_scene, SHAPE_KJI))
    painted(script, 2)
    yield script
    script.close()


def painted(script, index):
    mask_rc = np.zeros(SHAPE_KJI[1:], dtype=bool)
    mask_rc[2:5, 3:6] = True
    workspace = script.logic.workspace()
    workspace.segmentation.writeSlice(
        script.logic.currentSegment(), workspace.axis, index, mask_rc, masked=False
    )


def exported(script, path):
    from MedSAM2SlicerLib.Export import exportFile

    workspace = script.logic.workspace()
    exportFile(workspace.segmentation.node, workspace.volume.node, path)
    return workspace.segmentation.node


@pytest.mark.parametrize("name", NAMES)
def test_the_file_holds_the_mask(a_script, tmp_path, name):
    import slicer

    node = exported(a_script, tmp_path / name)
    volume = a_script.logic.workspace().volume.node
    expected_kji = segment_kji(node, a_script.logic.currentSegment(), volume)
    load = slicer.util.loadSegmentation if "seg" in name else slicer.util.loadVolume
    loaded = load(str(tmp_path / name))
    if "seg" in name:
        segmentId = loaded.GetSegmentation().GetNthSegmentID(0)
        found_kji = segment_kji(loaded, segmentId, volume)
    else:
        found_kji = slicer.util.arrayFromVolume(loaded) > 0
    assert expected_kji.any()
    np.testing.assert_array_equal(found_kji, expected_kji)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("saved", [True, False])
def test_what_was_not_saved_with_the_scene_still_has_to_be(a_script, tmp_path, name, saved):
    import slicer

    node = a_script.logic.workspace().segmentation.node
    own = tmp_path / "scene" / "own.seg.nrrd"
    own.parent.mkdir()
    if saved:
        assert slicer.util.saveNode(node, str(own))
        assert not node.GetModifiedSinceRead()
        painted(a_script, 3)
    exported(a_script, tmp_path / name)
    assert node.GetModifiedSinceRead()
    if saved:
        assert node.GetStorageNode().GetFileName() == str(own)
    else:
        assert node.GetStorageNode() is None


@pytest.mark.parametrize("name", NAMES)
def test_an_export_adds_no_node_to_the_scene(a_script, tmp_path, name):
    import slicer

    scene = a_script.scene
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)  # Slicer always has one
    a_script.logic.workspace()
    before = {scene.GetNthNode(n).GetName() for n in range(scene.GetNumberOfNodes())}
    exported(a_script, tmp_path / name)
    exported(a_script, tmp_path / name)
    assert {scene.GetNthNode(n).GetName() for n in range(scene.GetNumberOfNodes())} == before


def test_a_file_that_can_not_be_written_is_reported_and_nothing_stays(a_script, tmp_path):
    with pytest.raises(UnwritableOutputError, match="was not written"):
        exported(a_script, tmp_path / "absent" / "out.seg.nrrd")
    assert a_script.scene.GetNumberOfNodesByClass("vtkMRMLStorageNode") == 0
