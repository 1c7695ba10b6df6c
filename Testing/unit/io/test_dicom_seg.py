"""DICOM SEG files, read back by highdicom and compared in the patient's space."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from medsam2.core.errors import UnwritableOutputError
from medsam2.core.geometry import LPS_FROM_RAS, transform_points
from medsam2.core.volume import Volume
from medsam2.io.segmentations import Segment, write_segmentation
from medsam2.io.volumes import read_volume

from .builders import a_volume, write_enhanced, write_series


def two_segments(volume: Volume) -> list[Segment]:
    """Overlapping, and different on every slice."""
    random = np.random.default_rng(3)
    masks = random.random((2, *volume.shape_kji)) > 0.6
    return [Segment("Tumor", masks[0], (1.0, 0.0, 0.0)), Segment("Ödem", masks[1])]


def places_lps(volume: Volume, mask_kji: np.ndarray) -> set[tuple[float, ...]]:
    """Centres of the mask's voxels in LPS millimetres."""
    points = np.argwhere(mask_kji)[:, ::-1]
    lps = transform_points(LPS_FROM_RAS @ volume.affine_ijk_to_ras, points)
    return {tuple(p) for p in np.round(lps, 3).tolist()}


def places_in_file(file: Path, number: int) -> set[tuple[float, ...]]:
    """Centres of a segment's pixels in LPS millimetres, by the frames' own positions."""
    data = highdicom.seg.segread(file)
    found: set[tuple[float, ...]] = set()
    pixels = data.pixel_array
    for n, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        shared = data.SharedFunctionalGroupsSequence[0]
        to_reference = highdicom.spatial.PixelToReferenceTransformer(
            image_position=frame.PlanePositionSequence[0].ImagePositionPatient,
            image_orientation=shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            pixel_spacing=shared.PixelMeasuresSequence[0].PixelSpacing,
        )
        columns_rows = np.argwhere(pixels[n])[:, ::-1]
        found |= {tuple(p) for p in np.round(to_reference(columns_rows), 3).tolist()}
    return found


@pytest.mark.parametrize("step", [2.5, -2.5])
def test_masks_lie_where_they_were_whatever_the_order_of_files(step: float, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", step=step)
    volume = read_volume(tmp_path / "ct")
    segments = two_segments(volume)
    write_segmentation(tmp_path / "out.dcm", segments, volume)
    for number, segment in enumerate(segments, start=1):
        expected = places_lps(volume, segment.mask_kji)
        assert places_in_file(tmp_path / "out.dcm", number) == expected


def test_segments_are_described_and_refer_to_the_images(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    volume = read_volume(tmp_path / "ct")
    write_segmentation(tmp_path / "out.dcm", two_segments(volume), volume)
    data = highdicom.seg.segread(tmp_path / "out.dcm")
    first, second = data.SegmentSequence
    assert (first.SegmentLabel, second.SegmentLabel) == ("Tumor", "Ödem")
    algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "MedSAM2Slicer"
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "85756007"
    assert first.TrackingUID != second.TrackingUID
    source = pydicom.dcmread(volume.metadata["source_files"][0])
    assert data.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert data.StudyInstanceUID == source.StudyInstanceUID
    assert data.SegmentationType == "BINARY"


def test_an_enhanced_file_gets_masks_on_its_own_frames(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    write_enhanced(tmp_path / "enhanced.dcm", tmp_path / "ct")
    volume = read_volume(tmp_path / "enhanced.dcm")
    assert volume.metadata["source_frames"] == [5, 4, 3, 2, 1]
    segments = two_segments(volume)
    write_segmentation(tmp_path / "out.dcm", segments, volume)
    for number, segment in enumerate(segments, start=1):
        expected = places_lps(volume, segment.mask_kji)
        assert places_in_file(tmp_path / "out.dcm", number) == expected


def test_a_cine_without_a_place_in_the_patient_is_refused(
    shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "video_ultrasound_cine_pydicom" / "examples_ybr_color.dcm"
    volume = read_volume(path)
    with pytest.raises(UnwritableOutputError, match=r"Frame of Reference.*out\.seg\.nrrd"):
        write_segmentation(tmp_path / "out.dcm", two_segments(volume), volume)


def test_a_volume_that_is_not_from_dicom_is_refused(tmp_path: Path) -> None:
    volume = a_volume()
    with pytest.raises(UnwritableOutputError, match="not read from DICOM"):
        write_segmentation(tmp_path / "out.dcm", two_segments(volume), volume)


def test_nothing_to_write_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    with pytest.raises(UnwritableOutputError, match="at least one"):
        write_segmentation(tmp_path / "out.dcm", [], read_volume(tmp_path / "ct"))


def test_images_that_lack_what_the_standard_demands_are_refused_by_name(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    volume = read_volume(tmp_path / "ct")
    for name in volume.metadata["source_files"]:
        data = pydicom.dcmread(name)
        del data.StudyInstanceUID
        data.save_as(name)
    with pytest.raises(UnwritableOutputError, match=r"StudyInstanceUID.*out\.seg\.nrrd"):
        write_segmentation(tmp_path / "out.dcm", two_segments(volume), volume)
    assert not (tmp_path / "out.dcm").exists()
