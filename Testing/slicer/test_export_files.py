"""Segments as files, read back by other libraries than those that wrote them."""

from __future__ import annotations

import pathlib

import cine
import nibabel
import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from module_user import User

import slicer

LOW_IJK, HIGH_IJK = (8, 8, 3), (22, 22, 8)


@pytest.fixture(params=["axial", "oblique"])
def a_user(request, a_slicer, a_volume):
    user = User(a_slicer, FakeBackend)
    from MedSAM2SlicerLib.Placement import placeBox

    user.choose(a_volume(request.param, transformed=request.param == "oblique"))
    roi = user.workspace.prompts.add(user.segment_id, "roi")
    placeBox(roi, user.workspace.volume, np.array(LOW_IJK) - 0.5, np.array(HIGH_IJK) + 0.5)
    user.settle()
    user.run()
    return user


@pytest.fixture
def answer(monkeypatch):
    """Answers the dialog for files: what a user would choose there."""

    def choose(path):
        import qt

        monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(path))

    return choose


def export(user, answer, path):
    answer(path)
    user.press("exportFile")
    standin.pump(0.1)
    return user.ui.statusLabel.text


def mask_kji(user, segment_id=None):
    return slicer.util.arrayFromSegmentBinaryLabelmap(
        user.workspace.segmentation.node, segment_id or user.segment_id, user.workspace.volume.node
    )


def voxels_kji(path):
    return np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0)


def nodes(user):
    scene = user.logic.scene
    return [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())]


def test_a_nifti_file_lies_on_the_voxels_of_the_volumes_own_file(a_user, answer, tmp_path):
    before = nodes(a_user)
    said = export(a_user, answer, tmp_path / "lesion.nii.gz")
    assert said == f"Written: {tmp_path / 'lesion.nii.gz'}"
    assert nodes(a_user) == before, "nothing of it stays in the scene"
    assert slicer.util.saveNode(a_user.workspace.volume.node, str(tmp_path / "volume.nii.gz"))
    ours, volumes = (nibabel.load(tmp_path / name) for name in ("lesion.nii.gz", "volume.nii.gz"))
    assert ours.shape == volumes.shape
    np.testing.assert_allclose(ours.affine, volumes.affine, atol=1e-4)
    assert np.array_equal(voxels_kji(tmp_path / "lesion.nii.gz"), mask_kji(a_user))
    assert mask_kji(a_user).any()


def test_a_seg_nrrd_file_keeps_names_and_overlapping_segments(a_user, answer, tmp_path):
    first = a_user.segment_id
    second = a_user.logic.addSegment("Rim")
    a_user.settle()
    rim_rc = np.zeros(a_user.workspace.shape_rc, bool)
    rim_rc[10:18, 10:18] = True
    a_user.paint(5, rim_rc)
    masks = {name: mask_kji(a_user, name) for name in (first, second)}
    lost = int((masks[first] & masks[second]).sum())

    said = export(a_user, answer, tmp_path / "both.seg.nrrd")
    assert said == f"Written: {tmp_path / 'both.seg.nrrd'}"
    loaded = slicer.util.loadSegmentation(str(tmp_path / "both.seg.nrrd"))
    loaded.SetAndObserveTransformNodeID(a_user.workspace.volume.node.GetTransformNodeID())
    for segment_id, mask in masks.items():
        name = a_user.workspace.nameOf(segment_id)
        found = loaded.GetSegmentation().GetSegmentIdBySegmentName(name)
        read_kji = slicer.util.arrayFromSegmentBinaryLabelmap(
            loaded, found, a_user.workspace.volume.node
        )
        assert np.array_equal(read_kji, mask)

    said = export(a_user, answer, tmp_path / "both.nii.gz")
    assert (f"overlap in {lost} voxels" in said) == (lost > 0)
    assert np.array_equal(voxels_kji(tmp_path / "both.nii.gz") > 0, masks[first] | masks[second])


def test_a_file_that_can_not_be_replaced_stays_and_it_is_told(
    a_user, answer, tmp_path, monkeypatch
):
    path = tmp_path / "lesion.nii.gz"
    path.write_bytes(b"old")

    def refuse(*_):
        raise PermissionError(13, "in use by another program")

    monkeypatch.setattr(pathlib.Path, "replace", refuse)
    said = export(a_user, answer, path)
    assert "was not written" in said
    assert "in use by another program" in said
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_frames_become_numbered_files_and_none_is_overwritten(a_slicer, a_scene, answer, tmp_path):
    frames = cine.beating(cine.CINE_SHAPE_KJI, 5)
    user = User(a_slicer, FakeBackend)
    user.choose(cine.add_sequence(a_scene, frames))
    selector = user.ui.axisSelector
    selector.setCurrentIndex(selector.findData("time"))
    selector.activated.emit(selector.currentIndex)
    user.settle()
    user.press("drawBox")
    user.click(2, (8, 10), (32, 38))
    user.settle()
    user.run()
    before, shown = nodes(user), user.workspace.volume.frame
    said = export(user, answer, tmp_path / "heart.nii.gz")
    assert said.startswith("Written: 5 frames, ")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"heart_{n:04}.nii.gz" for n in range(5)]
    for frame, mask in user.masks().items():
        assert np.array_equal(voxels_kji(files[frame])[0], mask)
        assert mask.any()
    assert nodes(user) == before
    assert user.workspace.volume.frame == shown
    assert "already" in export(user, answer, tmp_path / "heart.nii.gz")
