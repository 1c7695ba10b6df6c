"""Volumes in every format, and every way in which one can be bad."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medsam2.core.errors import (
    BadGeometryError,
    NonFiniteVoxelsError,
    NotAnImageError,
    NotAVolumeError,
    ShearedGeometryError,
    TruncatedFileError,
)
from medsam2.core.geometry import LPS_FROM_RAS
from medsam2.io import itk
from medsam2.io.volumes import read_volume

from .builders import a_volume, oblique_affine

angles = st.floats(-180, 180)
spacings = st.floats(0.1, 9)


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Oblique, anisotropic, either-handed grids far from the origin."""
    turn = Rotation.from_euler("xyz", [draw(angles) for _ in range(3)], degrees=True)
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() * [draw(spacings) for _ in range(3)]
    affine[:3, :3] *= [1, 1, draw(st.sampled_from([-1, 1]))]
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


def write_itk(path: Path, voxels_kji: np.ndarray, affine: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels_kji)
    itk.place(image, affine)
    sitk.WriteImage(image, str(path))


def write_nifti(path: Path, voxels_ijk: np.ndarray, affine: np.ndarray | None) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels_ijk, affine), path)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".nhdr"])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(affine=affines())
def test_any_right_angled_grid_is_read_back_as_it_was_written(
    ending: str, affine: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / f"image{ending}"
    voxels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    write_itk(path, voxels, affine)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels_kji, voxels)
    assert volume.voxels_kji.dtype == np.int16
    # NIfTI keeps single precision.
    tolerance = 2e-4 if "nii" in ending else 1e-9
    np.testing.assert_allclose(volume.affine_ijk_to_ras, affine, atol=tolerance)


def test_nifti_geometry_is_the_sform_to_the_bit(tmp_path: Path) -> None:
    affine = oblique_affine(left_handed=True).astype(np.float32).astype(np.float64)
    write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.uint8), affine)
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").affine_ijk_to_ras, affine)


def test_nifti_without_orientation_lies_where_itk_puts_it(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.header["pixdim"][1:4] = [2, 3, 4]
    image.header["qform_code"] = image.header["sform_code"] = 0
    nibabel.save(image, tmp_path / "a.nii")
    expected = itk.affine_of(sitk.ReadImage(str(tmp_path / "a.nii")))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").affine_ijk_to_ras, expected)


def test_nifti_in_metres_is_read_in_millimetres(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").spacing_ijk == pytest.approx((1, 2, 3))


def test_nifti_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "a.nii")
    stored = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.voxels_kji, stored.T, rtol=1e-6)
    assert volume.voxels_kji.dtype == np.float32


def test_rgb_nifti_and_mha_are_colour_volumes(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3), dtype=np.uint8)
    image = sitk.GetImageFromArray(colours, isVector=True)
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
        volume = read_volume(tmp_path / name)
        assert volume.is_color
        assert np.array_equal(volume.voxels_kji, colours)


def test_other_numbers_of_components_are_refused(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 2), np.uint8), isVector=True)
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
        with pytest.raises(NotAVolumeError, match="2 numbers"):
            read_volume(tmp_path / name)


def test_four_axes_are_refused_with_the_axis_to_split(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5, 2), np.int16), np.eye(4))
    with pytest.raises(NotAVolumeError, match="4th axis"):
        read_volume(tmp_path / "a.nii.gz")
    image = sitk.GetImageFromArray(np.zeros((2, 3, 4, 5), np.int16), isVector=False)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    with pytest.raises(NotAVolumeError, match="last axis"):
        read_volume(tmp_path / "a.mha")
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 4\nspace: LPS\nsizes: 2 2 2 2\n"
        b"space directions: none (1,0,0) (0,1,0) (0,0,1)\nkinds: list domain domain domain\n"
        b"encoding: raw\n\n" + bytes(16)
    )
    with pytest.raises(NotAVolumeError, match=r"axis 1 \(a list\)"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_2d_image_is_read_only_when_that_is_allowed(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"flat{ending}"
    if ending == ".nii.gz":
        write_nifti(path, np.ones((7, 6), np.uint8), np.eye(4))
    else:
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((6, 7), np.uint8)), str(path))
    with pytest.raises(NotAVolumeError, match="2D"):
        read_volume(path)
    assert read_volume(path, allow_2d=True).shape_kji == (1, 6, 7)


def test_nrrd_in_ras_lies_where_the_same_file_in_lps_does(tmp_path: Path) -> None:
    volume = a_volume()
    body = volume.voxels_kji.tobytes()
    for space, affine in (
        ("right-anterior-superior", volume.affine_ijk_to_ras),
        ("LPS", LPS_FROM_RAS @ volume.affine_ijk_to_ras),
    ):
        rows = [f"({','.join(repr(float(x)) for x in affine[:3, a])})" for a in range(4)]
        header = (
            f"NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: 8 7 6\n"
            f"space directions: {' '.join(rows[:3])}\nkinds: domain domain domain\n"
            f"endian: little\nencoding: raw\nspace origin: {rows[3]}\nmodality:=MR\n\n"
        )
        (tmp_path / "a.nrrd").write_bytes(header.encode() + body)
        found = read_volume(tmp_path / "a.nrrd")
        np.testing.assert_allclose(found.affine_ijk_to_ras, volume.affine_ijk_to_ras, atol=1e-12)
        assert np.array_equal(found.voxels_kji, volume.voxels_kji)
        assert found.modality == "MR"


def test_metaimage_modality_is_kept(tmp_path: Path) -> None:
    write_itk(tmp_path / "a.mha", np.zeros((3, 3, 3), np.int16), np.eye(4))
    body = (tmp_path / "a.mha").read_bytes().replace(b"NDims", b"Modality = MET_MOD_CT\nNDims", 1)
    (tmp_path / "a.mha").write_bytes(body)
    assert read_volume(tmp_path / "a.mha").modality == "CT"


def test_a_sheared_nifti_is_refused(shared_data: Path) -> None:
    with pytest.raises(ShearedGeometryError):
        read_volume(shared_data / "ct_head_gantry_shear" / "shear.nii.gz")


def test_a_sheared_nrrd_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nspace: LPS\nsizes: 2 2 2\n"
        b"space directions: (1,0,0) (0,1,0) (0,0.4,1)\nencoding: raw\n\n" + bytes(8)
    )
    with pytest.raises(ShearedGeometryError):
        read_volume(tmp_path / "a.nrrd")


def test_zero_spacing_is_refused_in_every_format(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[76 + 12 : 76 + 16] = bytes(4)  # pixdim[3]
    (tmp_path / "a.nii").write_bytes(raw)
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nspace: LPS\nsizes: 2 2 2\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,0)\nencoding: raw\n\n" + bytes(8)
    )
    write_itk(tmp_path / "a.mha", np.zeros((3, 3, 3), np.uint8), np.eye(4))
    body = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(body.replace(b"Spacing = 1 1 1", b"Spacing = 1 0 1"))
    np.savez(tmp_path / "a.npz", imgs=np.zeros((2, 3, 4), np.uint8), spacing=[1.0, 1.0, 0.0])
    for name in ("a.nii", "a.nrrd", "a.mha", "a.npz"):
        with pytest.raises(BadGeometryError, match="spacing"):
            read_volume(tmp_path / name)


def test_nan_voxels_are_refused(tmp_path: Path) -> None:
    voxels = np.zeros((3, 4, 5), np.float32)
    voxels[1, 1, 1] = np.nan
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        write_itk(tmp_path / name, voxels, np.eye(4))
        with pytest.raises(NonFiniteVoxelsError):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", "_raw.mha", ".npz"])
def test_a_truncated_file_is_named_as_such(
    ending: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a{ending}"
    voxels = np.random.default_rng(0).integers(0, 999, (9, 9, 9)).astype(np.int16)
    if ending == ".npz":
        np.savez(path, imgs=voxels)
    else:
        image = sitk.GetImageFromArray(voxels)
        sitk.WriteImage(image, str(path), useCompression=ending != "_raw.mha")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(TruncatedFileError):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_a_nifti_cut_within_its_header_is_truncated(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", np.zeros((3, 4, 5), np.int16), np.eye(4))
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:100])
    with pytest.raises(TruncatedFileError):
        read_volume(tmp_path / "a.nii")


def test_damage_inside_a_gzip_stream_is_noticed(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.arange(4000, dtype=np.int16).reshape(10, 20, 20), None)
    body = bytearray((tmp_path / "a.nii.gz").read_bytes())
    body[len(body) // 2] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(body)
    with pytest.raises(TruncatedFileError):
        read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    "name",
    ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.dcm", "a.npz", "a.png", "a.mp4", "a.txt", "a"],
)
def test_a_file_that_is_no_image_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"This is a letter to a friend, and no image at all. " * 20)
    with pytest.raises(NotAnImageError):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.npz", "a.png", "a.gif"])
def test_an_empty_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises((NotAnImageError, TruncatedFileError)):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.dcm", "folder/a.png"])
def test_a_missing_file_is_said_to_be_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnImageError, match="does not exist"):
        read_volume(tmp_path / name)


def test_a_missing_part_of_a_header_with_detached_voxels_is_named(tmp_path: Path) -> None:
    for name, part in (("a.mhd", "a.raw"), ("a.nhdr", "a.raw")):
        write_itk(tmp_path / name, np.zeros((3, 3, 3), np.uint8), np.eye(4))
        for file in tmp_path.glob("a.raw*"):
            file.unlink()
        with pytest.raises(NotAnImageError, match=part):
            read_volume(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAnImageError, match="neither DICOM images nor pictures"):
        read_volume(tmp_path)


def test_text_gzipped_as_nifti_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"hello " * 200))
    with pytest.raises(NotAnImageError):
        read_volume(tmp_path / "a.nii.gz")


def test_medsam_archives_give_voxels_geometry_labels_and_boxes(tmp_path: Path) -> None:
    imgs = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez_compressed(
        tmp_path / "a.npz", imgs=imgs, gts=imgs % 2, boxes=[[0, 0, 1, 1]], spacing=[0.5, 0.6, 5.0]
    )
    volume = read_volume(tmp_path / "a.npz")
    assert np.array_equal(volume.voxels_kji, imgs)
    assert volume.spacing_ijk == (0.5, 0.6, 5.0)
    assert np.array_equal(volume.metadata["gts_kji"], imgs % 2)
    assert volume.metadata["boxes"].tolist() == [[0, 0, 1, 1]]


def test_a_flat_medsam_archive_needs_leave_to_be_one_slice(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", imgs=np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(NotAVolumeError):
        read_volume(tmp_path / "a.npz")
    assert read_volume(tmp_path / "a.npz", allow_2d=True).voxels_kji.shape == (1, 5, 6, 3)


class Canary:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (self.path, os.O_CREAT)


@pytest.mark.parametrize("key", ["imgs", "boxes"])
def test_python_objects_in_an_archive_are_refused_and_never_unpickled(
    key: str, tmp_path: Path
) -> None:
    arrays = {"imgs": np.zeros((2, 3, 4), np.uint8)}
    arrays[key] = np.array([Canary(str(tmp_path / "canary"))], dtype=object)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(NotAnImageError, match="Python objects"):
        read_volume(tmp_path / "a.npz")
    assert not (tmp_path / "canary").exists()


def test_an_archive_without_images_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(NotAnImageError, match="imgs"):
        read_volume(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "name",
    [
        "sts_sarcoma_003/CT_image.nii.gz",
        "mr_cord_t2_sct_sagittal/t2.nii.gz",
        "mr_stroke_flair_oblique_nolabel/FLAIR.nii.gz",
        "mr_brain_tumour_pyradiomics1/brain1_image.nrrd",
        "ct_lesion_deeplesion_000001_02_01_008-023/image.nii.gz",
    ],
)
def test_real_volumes_equal_what_itk_reads(name: str, shared_data: Path) -> None:
    path = shared_data / name
    volume, image = read_volume(path), sitk.ReadImage(str(path))
    np.testing.assert_allclose(volume.voxels_kji, sitk.GetArrayFromImage(image), rtol=1e-6)
    np.testing.assert_allclose(volume.affine_ijk_to_ras, itk.affine_of(image), atol=1e-4)
