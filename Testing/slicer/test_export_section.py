"""The panel's buttons for files and DICOM: what is asked, and what is then written."""

from __future__ import annotations

import pytest


@pytest.fixture
def a_user(a_user_with_a_mask):
    return a_user_with_a_mask


@pytest.mark.parametrize(
    ("typed", "written"),
    [("out", "out.nii.gz"), ("out.1", "out.1.nii.gz"), ("out.seg.nrrd", "out.seg.nrrd")],
)
def test_a_file_gets_the_suffix_that_was_not_typed(a_user, a_slicer, tmp_path, typed, written):
    a_slicer.answers.append(str(tmp_path / typed))
    a_user.ui.exportFileButton.click()
    assert [file.name for file in tmp_path.iterdir()] == [written]


def test_a_file_that_the_dialog_did_not_ask_about_is_replaced_only_when_told_to(
    a_user, a_slicer, tmp_path
):
    import qt

    held = tmp_path / "out.nii.gz"
    held.write_bytes(b"mine")
    a_slicer.answers.extend([str(tmp_path / "out"), qt.QMessageBox.Cancel])
    a_user.ui.exportFileButton.click()
    assert held.read_bytes() == b"mine"
    a_slicer.answers.extend([str(tmp_path / "out"), qt.QMessageBox.Ok])
    a_user.ui.exportFileButton.click()
    assert held.stat().st_size > 100


@pytest.mark.parametrize(
    ("answer", "kinds"), [("Yes", ["SEG"]), ("No", ["RTSTRUCT"]), ("Cancel", [])]
)
def test_dicom_is_written_as_answered_and_not_at_all_after_cancel(
    a_user, a_slicer, tmp_path, monkeypatch, answer, kinds
):
    import qt

    from MedSAM2SlicerLib import Export

    asked = []
    monkeypatch.setattr(
        Export, "exportDicom", lambda _node, _volume, _folder, kind: asked.append(kind)
    )
    a_slicer.answers.extend([str(tmp_path), getattr(qt.QMessageBox, answer)])
    a_user.ui.exportDicomButton.click()
    assert asked == kinds


def test_marking_a_segment_as_completed_is_told(a_user):
    import slicer

    segment = a_user.workspace.segmentation.segment(a_user.segment_id)
    segment.SetName("Lesion")
    a_user.ui.completedButton.click()
    a_user.view.refresh()
    assert a_user.ui.statusLabel.text == "Lesion is marked as completed."
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(segment) == logic.Completed
