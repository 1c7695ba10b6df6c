"""``medsam2 info``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medsam2.cli.info import describe, orientation_code
from medsam2.core.volume import Volume

from .conftest import Case, Run, oblique_affine


def test_it_shows_what_one_needs_to_prompt(case: Case, run: Run) -> None:
    result = run("info", case.path)
    assert result.exit_code == 0, result.stderr
    for words in ("48 x 40 x 14", "0.75 x 0.75 x 2 mm", "14 across k", "percentile", "int16"):
        assert words in result.stdout


def test_it_is_json_when_asked(case: Case, run: Run) -> None:
    found = json.loads(run("info", case.path, "--json").stdout)
    assert found["shape_ijk"] == [48, 40, 14]
    assert found["axis"] == "k"
    assert found["orientation"] == "LPI"
    assert found["path"] == str(case.path)


def test_a_file_that_is_no_image_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("info", tmp_path / "no.nii")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("affine", "code"),
    [
        (np.eye(4), "RAS"),
        (np.diag([-1.0, -1.0, 1.0, 1.0]), "LPS"),
        (np.array([[0, 0, -2.0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), "PSL"),
        (oblique_affine(), "LPI"),
    ],
)
def test_the_orientation_names_where_each_index_axis_points(affine: np.ndarray, code: str) -> None:
    before = affine.copy()
    assert orientation_code(affine) == code
    np.testing.assert_array_equal(affine, before)


def test_the_modality_decides_the_window() -> None:
    voxels = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
    found = describe(Volume(voxels, np.eye(4), modality="CT"))
    assert (found["modality"], found["window"]["name"]) == ("CT", "abdomen")


def test_the_series_of_a_folder_are_listed(run: Run, tmp_path: Path) -> None:
    for number, description in enumerate(("portal venous", "arterial"), start=1):
        write_series(tmp_path, number, description)
    result = run("info", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "portal venous" in result.stdout
    assert "arterial" in result.stdout
    assert "--series UID" in result.stdout
    chosen = json.loads(run("info", tmp_path, "--json", "--series", "2.25.2").stdout)
    assert chosen["shape_ijk"] == [4, 5, 3]
    assert len(chosen["series"]) == 2


def write_series(folder: Path, number: int, description: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    for index in range(3):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
        uid = f"2.25.{number}.{index + 1}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = uid
        image.SeriesInstanceUID = f"2.25.{number}"
        image.StudyInstanceUID, image.FrameOfReferenceUID = "2.25.9", "2.25.8"
        image.SeriesDescription, image.Modality = description, "CT"
        image.Rows, image.Columns, image.InstanceNumber = 5, 4, index + 1
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [0, 0, 2.5 * index]
        image.PixelSpacing, image.SliceThickness = [1.0, 1.0], 2.5
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 1
        image.RescaleSlope, image.RescaleIntercept = 1, 0
        image.PixelData = np.arange(20, dtype=np.int16).tobytes()
        image.save_as(folder / f"{number}_{index}.dcm", enforce_file_format=True)
