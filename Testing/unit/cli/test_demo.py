"""``medsam2 demo``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_backend import FakeBackend

from medsam2.cli.demo import REFERENCE, ROI, VOLUME, demo_job, find_data
from medsam2.cli.job import Engine
from medsam2.core.errors import NotAnImageError
from medsam2.io.segmentations import read_segments
from medsam2.io.volumes import read_volume

from .conftest import Run


@pytest.fixture
def data(repository: Path) -> Path:
    return repository / "Testing" / "data" / "demo"


def test_it_writes_a_segmentation_and_a_picture_and_says_how_good_it_is(
    run: Run, fake: FakeBackend, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "demo"
    result = run("demo", "-o", out)
    assert result.exit_code == 0, result.stderr
    assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")
    (segment,) = read_segments(out / "demo.seg.nrrd").segments
    assert segment.name == "Sarcoma"
    for words in (f"Wrote {out / 'demo.seg.nrrd'}", f"Wrote {out / 'demo.png'}", "Dice 0."):
        assert words in result.stdout
    assert run("demo", "-o", out).exit_code == 0, "a second run replaces the first"
    assert {path.name for path in out.iterdir()} == {"demo.png", "demo.seg.nrrd"}


def test_the_box_holds_the_reference(data: Path) -> None:
    volume = read_volume(data / VOLUME)
    (reference,) = read_segments(data / REFERENCE, onto=volume).segments
    roi = demo_job(data / ROI, volume, Engine()).objects[0].roi
    assert roi is not None
    k, j, i = np.nonzero(reference.mask_kji)
    row0, column0, row1, column1 = roi.box_rc
    assert (roi.first, roi.last) == (k.min(), k.max())
    assert row0 <= j.min()
    assert j.max() <= row1
    assert column0 <= i.min()
    assert i.max() <= column1


def test_the_data_carry_their_licence_and_are_small(data: Path) -> None:
    text = (data / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for words in ("Attribution 3.0", "10.7937/K9/TCIA.2015.7GO2GSKS", VOLUME, REFERENCE, ROI):
        assert words in text
    assert "Attribution 3.0" in (data / "LICENSE_source.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in data.iterdir()) < 1_500_000


def test_missing_data_are_told_with_what_to_do(run: Run, tmp_path: Path) -> None:
    result = run("demo", "--data", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "--data FOLDER" in result.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotAnImageError, match="lacks"):
        find_data(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(
    run: Run, fake: FakeBackend, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = run("demo", "-o", tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "can't be made" in result.stderr
    assert not fake.sessions
