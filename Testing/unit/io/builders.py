"""Small files that the tests of this folder write for themselves."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medsam2.core.volume import Volume

OBLIQUE = np.array(
    [
        [-0.9, 0.2, 0.4, 12.5],
        [0.3, 0.8, -0.9, -40.25],
        [0.1, 0.5, 2.0, 7.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def oblique_affine(
    spacing: Sequence[float] = (0.7, 0.9, 2.5), *, left_handed: bool = False
) -> np.ndarray:
    """A rotated, anisotropic grid whose directions are exact unit vectors."""
    rotation, _ = np.linalg.qr(OBLIQUE[:3, :3])
    if (np.linalg.det(rotation) < 0) != left_handed:
        rotation[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    affine[:3, 3] = OBLIQUE[:3, 3]
    return affine


def a_volume(shape: Sequence[int] = (6, 7, 8), affine: np.ndarray | None = None) -> Volume:
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    return Volume(voxels, oblique_affine() if affine is None else affine, name="test")


def a_ct_slice(k: int, series: dict[str, Any], plane: np.ndarray) -> FileDataset:
    """A CT image at height ``k`` of a series (``uid``, ``description``, ``step``, ``tilt``...)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.FrameOfReferenceUID = series["study"], series["frame"]
    data.SeriesInstanceUID, data.SeriesDescription = series["uid"], series["description"]
    data.PatientName, data.PatientID, data.PatientSex = "Test^One", "1", "O"
    data.PatientBirthDate, data.StudyDate, data.StudyTime = "19700101", "20250101", "120000"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "1", ""
    data.SeriesNumber, data.InstanceNumber, data.Modality = 3, k + 1, "CT"
    data.Manufacturer, data.PositionReferenceIndicator = "None", ""
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [-10, -20 + series["tilt"] * k, 100 + series["step"] * k]
    data.PixelSpacing, data.SliceThickness = [0.8, 0.6], abs(series["step"])
    data.Rows, data.Columns = plane.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = plane.astype(np.uint16).tobytes()
    return data


def write_series(
    folder: Path,
    description: str = "Thorax",
    count: int = 5,
    step: float = 2.5,
    tilt: float = 0.0,
    missing: Sequence[int] = (),
) -> np.ndarray:
    """Writes a CT series and returns its Hounsfield units, first file first."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = (np.arange(count * 6 * 7).reshape(count, 6, 7) * 5).astype(np.uint16)
    series = {
        "study": generate_uid(),
        "frame": generate_uid(),
        "uid": generate_uid(),
        "description": description,
        "step": step,
        "tilt": tilt,
    }
    for k in range(count):
        if k not in missing:
            name = folder / f"{description.replace(' ', '')}{k}.dcm"
            a_ct_slice(k, series, stored[k]).save_as(name, enforce_file_format=True)
    return stored.astype(np.int32) - 1024


def series_uid(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).SeriesInstanceUID)


def write_enhanced(path: Path, folder: Path) -> None:
    """Writes a series' images, last file first, as the frames of one enhanced CT file."""
    files = sorted(folder.iterdir(), reverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
            [pydicom.dcmread(file) for file in files],
            series_instance_uid=generate_uid(),
            series_number=4,
            sop_instance_uid=generate_uid(),
            instance_number=1,
        )
    enhanced.save_as(path)
