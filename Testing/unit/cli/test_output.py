"""The place of the result, before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from medsam2.cli.output import check_fits, check_place, output_path
from medsam2.core.errors import UnwritableOutputError
from medsam2.core.volume import Volume


@pytest.mark.parametrize(
    ("name", "chosen", "expected"),
    [
        ("a.seg.nrrd", None, "a.seg.nrrd"),
        ("a.NII.GZ", None, "a.NII.GZ"),
        ("a.v2", "seg.nrrd", "a.v2.seg.nrrd"),
        ("a.nii.gz", "nii.gz", "a.nii.gz"),
        ("a", "mha", "a.mha"),
    ],
)
def test_the_format_is_the_ending_or_the_one_chosen(
    name: str, chosen: str | None, expected: str
) -> None:
    assert output_path(Path(name), chosen) == Path(expected)


@pytest.mark.parametrize(
    ("name", "chosen", "says"),
    [("a", None, "no known ending"), ("a.png", None, "ending"), ("a.nii", "mha", "--format")],
)
def test_an_unknown_or_contradicting_format_is_refused(
    name: str, chosen: str | None, says: str
) -> None:
    with pytest.raises(UnwritableOutputError, match=says):
        output_path(Path(name), chosen)


def test_a_good_place_is_left_as_it_was(tmp_path: Path) -> None:
    check_place(tmp_path / "a.nii", tmp_path / "in.nii", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_text("kept")
    with pytest.raises(UnwritableOutputError, match="--overwrite"):
        check_place(path, tmp_path / "in.nii", overwrite=False)
    check_place(path, tmp_path / "in.nii", overwrite=True)
    assert path.read_text() == "kept"


def test_the_image_itself_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "in.nii"
    path.touch()
    with pytest.raises(UnwritableOutputError, match="the image itself"):
        check_place(tmp_path / "." / "in.nii", path, overwrite=True)


def test_a_missing_folder_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnwritableOutputError, match="make it first"):
        check_place(tmp_path / "no" / "a.nii", tmp_path / "in.nii", overwrite=True)
    with pytest.raises(UnwritableOutputError, match="is a folder"):
        check_place(tmp_path, tmp_path / "in.nii", overwrite=True)


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        folder = Path("/proc/self")
    if not folder.is_dir():
        pytest.skip("no folder that this user can't write, /proc/self or one of its own")
    with pytest.raises(UnwritableOutputError, match="can't be written"):
        check_place(folder / "a.nii", tmp_path / "in.nii", overwrite=True)


def test_a_dicom_segmentation_needs_a_dicom_image() -> None:
    plain = Volume(np.zeros((2, 3, 4), dtype=np.uint8), np.eye(4), name="scan.nii")
    with pytest.raises(UnwritableOutputError, match=r"write a.seg.nrrd instead of a.dcm"):
        check_fits(Path("a.dcm"), plain)
    check_fits(Path("a.nii"), plain)
