"""DICOM folders and files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medsam2.core.errors import (
    AmbiguousSeriesError,
    BadGeometryError,
    NotAnImageError,
    NotAVolumeError,
    ShearedGeometryError,
    VolumeError,
)
from medsam2.io.volumes import read_volume

from .builders import series_uid, write_enhanced, write_series


def test_a_series_is_read_in_hounsfield_units_where_it_lies(tmp_path: Path) -> None:
    hounsfield = write_series(tmp_path)
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.voxels_kji, hounsfield)
    assert volume.voxels_kji.dtype.kind == "i"
    assert (volume.modality, volume.name) == ("CT", "Thorax")
    expected = [[-0.6, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 2.5, 100], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine_ijk_to_ras, expected, atol=1e-9)


def test_slices_stored_from_top_to_bottom_are_sorted_with_their_files(tmp_path: Path) -> None:
    hounsfield = write_series(tmp_path, step=-2.5)
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.voxels_kji, hounsfield[::-1])
    assert volume.affine_ijk_to_ras[2, 3] == pytest.approx(90)
    names = [Path(name).name for name in volume.metadata["source_files"]]
    assert names == [f"Thorax{k}.dcm" for k in (4, 3, 2, 1, 0)]


def test_several_series_are_listed_and_one_is_chosen_by_the_end_of_its_uid(tmp_path: Path) -> None:
    write_series(tmp_path / "a", "Lung thin", count=4)
    write_series(tmp_path / "b", "Soft tissue", count=6)
    first, second = (series_uid(next((tmp_path / d).iterdir())) for d in "ab")
    with pytest.raises(AmbiguousSeriesError) as caught:
        read_volume(tmp_path)
    for words in ("'Lung thin'", "4 images", first, "'Soft tissue'", "6 images", second, "ending"):
        assert words in str(caught.value)
    assert read_volume(tmp_path, series=second).shape_kji[0] == 6
    assert read_volume(tmp_path, series=first[-12:]).shape_kji[0] == 4
    with pytest.raises(AmbiguousSeriesError, match="0 of them end in 'x'"):
        read_volume(tmp_path, series="x")


def test_a_missing_slice_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, count=7, missing=[3])
    with pytest.raises(BadGeometryError, match=r"1 slice.*Thorax2\.dcm and Thorax4\.dcm"):
        read_volume(tmp_path)


def test_a_gantry_tilt_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, tilt=0.8)
    with pytest.raises(ShearedGeometryError):
        read_volume(tmp_path)


def test_time_points_in_one_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, count=4)
    for file in list(tmp_path.iterdir()):
        shutil.copy(file, file.with_name(f"again{file.name}"))
    with pytest.raises(NotAVolumeError, match="time points"):
        read_volume(tmp_path)


def test_images_without_a_position_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, count=3)
    for file in tmp_path.iterdir():
        data = pydicom.dcmread(file)
        del data.ImagePositionPatient
        data.save_as(file)
    with pytest.raises(BadGeometryError, match="where it lies"):
        read_volume(tmp_path)


def test_a_zero_pixel_spacing_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, count=3)
    for file in tmp_path.iterdir():
        data = pydicom.dcmread(file)
        data.PixelSpacing = [0, 0.5]
        data.save_as(file)
    with pytest.raises(BadGeometryError, match="pixel spacing"):
        read_volume(tmp_path)


def test_images_that_are_not_parallel_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, count=3)
    data = pydicom.dcmread(tmp_path / "Thorax1.dcm")
    data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    data.save_as(tmp_path / "Thorax1.dcm")
    with pytest.raises(BadGeometryError, match="not one stack"):
        read_volume(tmp_path)


def test_one_image_is_a_volume_only_when_that_is_allowed(tmp_path: Path) -> None:
    hounsfield = write_series(tmp_path, count=1)
    for path in (tmp_path, tmp_path / "Thorax0.dcm"):
        with pytest.raises(NotAVolumeError, match="2D"):
            read_volume(path)
        volume = read_volume(path, allow_2d=True)
        assert np.array_equal(volume.voxels_kji, hounsfield)
        np.testing.assert_allclose(volume.spacing_ijk, (0.6, 0.8, 2.5))


def test_dicom_that_holds_no_image_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, count=1)
    data = pydicom.dcmread(tmp_path / "Thorax0.dcm")
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(data, keyword)
    data.save_as(tmp_path / "Thorax0.dcm")
    with pytest.raises(NotAnImageError, match="holds no image"):
        read_volume(tmp_path / "Thorax0.dcm")


def test_slopes_may_differ_from_image_to_image(tmp_path: Path) -> None:
    write_series(tmp_path, count=3)
    expected = []
    for k in range(3):
        data = pydicom.dcmread(tmp_path / f"Thorax{k}.dcm")
        data.RescaleSlope, data.RescaleIntercept = [1, 0.25, 2][k], 0
        data.save_as(tmp_path / f"Thorax{k}.dcm")
        expected.append(data.pixel_array * float(data.RescaleSlope))
    np.testing.assert_allclose(read_volume(tmp_path).voxels_kji, np.stack(expected), rtol=1e-6)


def test_frames_of_an_enhanced_file_are_sorted_by_their_place(tmp_path: Path) -> None:
    hounsfield = write_series(tmp_path / "ct")
    write_enhanced(tmp_path / "enhanced.dcm", tmp_path / "ct")
    volume, single = read_volume(tmp_path / "enhanced.dcm"), read_volume(tmp_path / "ct")
    assert np.array_equal(volume.voxels_kji, hounsfield)
    np.testing.assert_allclose(volume.affine_ijk_to_ras, single.affine_ijk_to_ras, atol=1e-9)


@pytest.mark.parametrize("kept", [0.3, 0.97])
def test_a_truncated_image_of_a_series_is_named(
    kept: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path)
    body = (tmp_path / "Thorax2.dcm").read_bytes()
    (tmp_path / "Thorax2.dcm").write_bytes(body[: int(len(body) * kept)])
    with pytest.raises(VolumeError, match=r"Thorax[123]\.dcm"):
        read_volume(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_an_ultrasound_cine_becomes_a_colour_volume_of_frames(shared_data: Path) -> None:
    path = shared_data / "video_ultrasound_cine_pydicom" / "examples_ybr_color.dcm"
    volume = read_volume(path)
    assert volume.voxels_kji.shape == (30, 240, 320, 3)
    assert volume.modality == "US"
    assert np.array_equal(volume.voxels_kji, pydicom.dcmread(path).pixel_array)
    assert volume.metadata["source_frames"] == list(range(1, 31))
