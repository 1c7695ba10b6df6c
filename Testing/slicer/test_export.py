"""Files that segments are written into, and what writing leaves of the scene."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from module_script import Script, noise, segment_kji

from medsam2.core.errors import OutputError, UnwritableOutputError

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


class Exportable:
    """Double of qSlicerDICOMExportable."""

    def __init__(self, item, tags):
        self.subjectHierarchyItemID, self.tags, self.directory = item, tags, ""

    def setTag(self, name, value):
        self.tags[name] = value


class Exporter:
    """Double of SlicerRT's plugin, which asks of what it is given what the plugin's logic asks."""

    written: list[Exportable]

    def examineForExport(self, item):
        import slicer

        node = hierarchy(slicer.mrmlScene).GetItemDataNode(item)
        if node is None:
            return []
        kind = "RTSTRUCT" if node.IsA("vtkMRMLSegmentationNode") else "CT"
        return [Exportable(item, {"Modality": kind})]

    def export(self, exportables):
        import slicer

        nodes = [
            hierarchy(slicer.mrmlScene).GetItemDataNode(one.subjectHierarchyItemID)
            for one in exportables
        ]
        if not any(node.IsA("vtkMRMLScalarVolumeNode") for node in nodes):
            return "Must export the primary anatomical (CT/MR) image"
        Exporter.written = exportables
        return ""


def hierarchy(scene):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


@pytest.fixture
def a_study(a_script, monkeypatch):
    """The script's volume as DICOM leaves it, its segmentation in the scene as Slicer adds it."""
    plugin = SimpleNamespace(DicomRtImportExportPluginClass=Exporter)
    monkeypatch.setitem(sys.modules, "DicomRtImportExportPlugin", plugin)
    items, workspace = hierarchy(a_script.scene), a_script.logic.workspace()
    patient = items.CreateSubjectItem(items.GetSceneItemID(), "Doe^Jane")
    items.SetItemAttribute(patient, "DICOM.PatientName", "Doe^Jane")
    items.SetItemAttribute(patient, "DICOM.PatientID", "42")
    study = items.CreateStudyItem(patient, "Follow-up")
    items.SetItemAttribute(study, "DICOM.StudyDate", "20260101")
    workspace.volume.node.SetAttribute("DICOM.Modality", "MR")
    items.CreateItem(study, workspace.volume.node)
    items.CreateItem(items.GetSceneItemID(), workspace.segmentation.node)
    return a_script


def exported_to_dicom(script, folder):
    from MedSAM2SlicerLib.Export import exportDicom

    workspace = script.logic.workspace()
    exportDicom(workspace.segmentation.node, workspace.volume.node, folder, "RTSTRUCT")


def test_a_structure_set_goes_with_its_volume_into_the_patients_study(a_study):
    exported_to_dicom(a_study, Path("/somewhere"))
    volume, structures = Exporter.written
    assert (volume.tags["Modality"], structures.tags["Modality"]) == ("MR", "RTSTRUCT")
    for one in (volume, structures):
        assert one.directory == "/somewhere"
        assert one.tags["PatientName"] == "Doe^Jane"
        assert (one.tags["PatientID"], one.tags["StudyDate"]) == ("42", "20260101")


def test_a_volume_of_no_study_is_refused_with_what_to_do(a_study):
    items, volume = hierarchy(a_study.scene), a_study.logic.workspace().volume.node
    items.SetItemParent(items.GetItemByDataNode(volume), items.GetSceneItemID())
    with pytest.raises(OutputError, match="under one study"):
        exported_to_dicom(a_study, Path("/somewhere"))


def test_a_new_segmentation_is_put_into_the_volumes_study(a_study):
    """Slicer's subject hierarchy makes an item of every node that is added."""
    import vtk

    from MedSAM2SlicerLib.SegmentationBridge import createSegmentation

    items, volume = hierarchy(a_study.scene), a_study.logic.workspace().volume.node

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(_scene, _event, node):
        items.CreateItem(items.GetSceneItemID(), node)

    tag = a_study.scene.AddObserver(a_study.scene.NodeAddedEvent, added)
    node = createSegmentation(volume)
    a_study.scene.RemoveObserver(tag)
    study = items.GetItemParent(items.GetItemByDataNode(volume))
    assert items.GetItemName(study) == "Follow-up"
    assert items.GetItemParent(items.GetItemByDataNode(node)) == study
