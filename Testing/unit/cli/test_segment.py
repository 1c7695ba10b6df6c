"""``medsam2 segment`` from end to end, with a backend that thresholds."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from fake_backend import FakeBackend

from medsam2.cli import local
from medsam2.core.errors import MedSAM2Error
from medsam2.io.segmentations import read_segments
from medsam2.io.segments import Segment

from .conftest import LEFT, RIGHT, Case, Run, ball, box_around, oblique_affine


def masks(path: Path) -> dict[str, Any]:
    return {segment.name: segment.mask_kji for segment in read_segments(path).segments}


def test_a_box_gives_the_ball_in_it(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.seg.nrrd"
    result = run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", out)
    assert result.exit_code == 0, result.stderr
    found = masks(out)
    assert list(found) == ["Segment 1"]
    np.testing.assert_array_equal(found["Segment 1"], ball(LEFT))
    assert f"Wrote {out}" in result.stdout
    for words in ("Segment 1", "ml", "7 slices (2 to 8)", "window percentile", " s on cpu"):
        assert words in result.stdout
    assert fake.closed


def test_the_geometry_is_the_volumes_own(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.nii.gz"
    assert run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", out).exit_code == 0
    image = nibabel.load(out)
    np.testing.assert_allclose(image.affine, oblique_affine(), atol=1e-5)
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, ball(LEFT))
    seg = case.folder / "out.seg.nrrd"
    assert run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", seg).exit_code == 0
    (segment,) = read_segments(seg, onto=case.volume).segments
    np.testing.assert_array_equal(segment.mask_kji, ball(LEFT))


def test_several_objects_are_segmented_in_one_call(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.seg.nrrd"
    result = run(
        "segment", case.path, "-o", out, "--box-ijk", f"left ball={box_around(LEFT)}",
        "--box-ijk", f"right ball={box_around(RIGHT)}", "--range", "right ball=7:9",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found = masks(out)
    np.testing.assert_array_equal(found["left ball"], ball(LEFT))
    limited = ball(RIGHT)
    limited[:7] = limited[10:] = False
    np.testing.assert_array_equal(found["right ball"], limited)
    assert len(fake.sessions) == 1


def test_a_click_a_diameter_and_a_flat_box_follow_the_object(
    case: Case, run: Run, fake: FakeBackend
) -> None:
    i, j, k = LEFT
    out = case.folder / "out.seg.nrrd"
    result = run(
        "segment", case.path, "-o", out, "--point", f"a={i},{j},{k}",
        "--point", f"a={i + 20},{j},{k},-", "--line-ijk", f"b={i - 8},{j},{k},{i + 8},{j},{k}",
        "--box-ijk", f"c={i - 7},{j - 7},{i + 7},{j + 7}", "--slice", f"c={k}",
        "--model", "tiny-random",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found = masks(out)
    assert 0 < np.count_nonzero(found["a"]) < np.count_nonzero(ball(LEFT))
    np.testing.assert_array_equal(found["b"], ball(LEFT))
    np.testing.assert_array_equal(found["c"], ball(LEFT))


def test_slices_can_be_taken_across_any_axis(case: Case, run: Run, fake: FakeBackend) -> None:
    for axis in "ijk":
        out = case.folder / f"{axis}.seg.nrrd"
        result = run(
            "segment", case.path, "--box-ijk", box_around(LEFT), "-o", out, "--axis", axis, "--json"
        )
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["axis"] == axis
        np.testing.assert_array_equal(masks(out)["Segment 1"], ball(LEFT))


def test_the_summary_is_json_when_asked(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.seg.nrrd"
    arguments = ("segment", case.path, "--box-ijk", f"x={box_around(LEFT)}", "-o", out)
    result = run(*arguments, "--json", "--window", "0:1000")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    voxels = int(np.count_nonzero(ball(LEFT)))
    assert found["output"] == str(out)
    assert found["window"] == {"name": "manual", "low": 0.0, "high": 1000.0}
    assert found["objects"] == [
        {"name": "x", "voxels": voxels, "volume_ml": pytest.approx(voxels * 0.001125, abs=1e-4),
         "slices": 7, "first": 2, "last": 8}
    ]  # fmt: skip
    assert set(found["seconds"]) == {"load", "segment"}
    assert found["warnings"] == []


def test_quiet_prints_nothing(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.seg.nrrd"
    result = run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", out, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert out.is_file()


def test_an_empty_result_is_written_and_said(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.seg.nrrd"
    result = run("segment", case.path, "--box-ijk", "0,0,0,3,3,2", "-o", out)
    assert result.exit_code == 0
    assert "Warning: Segment 1 is empty" in result.stderr
    assert out.is_file()


def test_clean_up_keeps_the_largest_piece(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.seg.nrrd"
    box = "0,0,5,47,39,9"  # all of the right ball and only a cap of the left one
    arguments = ("segment", case.path, "--box-ijk", box, "-o", out)
    assert run(*arguments, "--keep-largest", "--fill-holes").exit_code == 0
    right = ball(RIGHT)
    right[:5] = right[10:] = False
    np.testing.assert_array_equal(masks(out)["Segment 1"], right)


def test_the_users_own_slices_survive_the_clean_up(case: Case, run: Run, fake: FakeBackend) -> None:
    drawn = ball(LEFT)
    drawn[5, 0, 0] = True
    mask = write_mask(case, Segment("ball", drawn))
    out = case.folder / "out.seg.nrrd"
    result = run(
        "segment", case.path, "--mask", mask, "--mask-slices", "5", "--keep-largest", "-o", out
    )
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(masks(out)["ball"][5], drawn[5])


def write_mask(case: Case, *segments: Segment, name: str = "drawn.seg.nrrd") -> Path:
    from medsam2.io.segmentations import write_segmentation

    path = case.folder / name
    write_segmentation(path, segments, case.volume)
    return path


BAD: list[tuple[list[str], str]] = [
    ([], "give a prompt"),
    (["--box-ijk", "1,2,3"], "has 3 numbers"),
    (["--box-ijk", "90,90,90,99,99,99"], "lies outside the volume"),
    (["--box-mm", "900,900,900,950,950,950"], "outside the volume"),
    (["--box-ijk", "4,4,4,9,9,9", "--range", "9:4"], "is empty"),
    (["--box-ijk", "4,4,4,9,9,9", "--range", "11:13"], "outside its range 11 to 13"),
    (["--box-ijk", "4,4,4,9,9,9", "--range", "30:40"], "outside the volume's slices 0..13"),
    (["--box-ijk", "4,4,4,9"], "say which with --slice N"),
    (["--point", "99,1,1"], "lies outside the volume"),
    (["--point", "5,5,5"], "takes no point prompt"),
    (["--box-ijk", "4,4,4,9,9,9", "--model", "lightmedsam"], "did you mean litemedsam"),
    (["--box-ijk", "4,4,4,9,9,9", "--window", "sunset"], "No window is called"),
    (["--box-ijk", "4,4,4,9,9,9", "--window", "5:1"], "is empty"),
    (["--box-ijk", "4,4,4,9,9,9", "--axis", "z"], "'z' is not one of"),
    (["--box-ijk", "4,4,4,9,9,9", "--direction", "up"], "'up' is not one of"),
    (["--prompts", "missing.mrk.json"], "missing.mrk.json"),
    (["--prompts", "missing.json"], "missing.json"),
    (["--prompts", "scan.nii.gz"], "no file of prompts"),
    (["--mask", "missing.nii.gz", "--mask-slices", "1"], "does not exist"),
    (["--mask", "scan.nii.gz"], "--mask needs --mask-slices"),
    (["--mask-slices", "1"], "--mask-slices needs --mask"),
    (["--mask", "scan.nii.gz", "--mask-slices", "5-2"], "empty range"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=lambda value: " ".join(value)[:40])
def test_bad_input_is_one_line_and_leaves_nothing(
    case: Case, run: Run, fake: FakeBackend, monkeypatch: pytest.MonkeyPatch,
    options: list[str], says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(case.folder)
    before = case.files
    result = run("segment", "scan.nii.gz", *options, "-o", "out.seg.nrrd")
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert case.files == before
    assert not fake.sessions, "nothing may be computed"


def test_a_bad_volume_is_told_before_anything_is_loaded(
    case: Case, run: Run, fake: FakeBackend
) -> None:
    whole = gzip.decompress(case.path.read_bytes())
    files = {
        "text.nii.gz": (b"not an image", "gzip"),
        "cut.nii.gz": (case.path.read_bytes()[:3000], "damaged or incomplete"),
        "notes.txt": (b"hello", "no known image format"),
        "short.nii": (whole[:4000], ""),
    }
    for name, (content, says) in files.items():
        path = case.folder / name
        path.write_bytes(content)
        result = run("segment", path, "--box-ijk", "1,1,1,5,5,5", "-o", case.folder / "out.nii")
        assert result.exit_code == 2, name
        assert says in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (case.folder / "out.nii").exists()
    assert not fake.sessions


@pytest.mark.parametrize(
    ("out", "options", "says"),
    [
        ("out.png", [], "no known ending"),
        ("no/out.nii", [], "make it first"),
        ("scan.nii.gz", ["--overwrite"], "the image itself"),
        ("there.nii", [], "--overwrite"),
        ("out.dcm", [], "not read from DICOM"),
        ("out.nii", ["--format", "mha"], "--format says mha"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_first(
    case: Case, run: Run, fake: FakeBackend, out: str, options: list[str], says: str
) -> None:
    (case.folder / "there.nii").write_text("kept")
    before = case.files
    box = ("--box-ijk", box_around(LEFT))
    result = run("segment", case.path, *box, "-o", case.folder / out, *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert case.files == before
    assert (case.folder / "there.nii").read_text() == "kept"
    assert not fake.sessions


def test_an_existing_file_is_replaced_when_asked(case: Case, run: Run, fake: FakeBackend) -> None:
    out = case.folder / "out.nii"
    out.write_text("old")
    arguments = ("segment", case.path, "--box-ijk", box_around(LEFT), "-o", out)
    assert run(*arguments, "--overwrite").exit_code == 0
    np.testing.assert_array_equal(masks(out)["Label 1"], ball(LEFT))


def failing(error: BaseException, after: int) -> Callable[[int], None]:
    left = [after]

    def on_slice(index: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error

    return on_slice


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (MedSAM2Error("The machine gave up."), 1, "The machine gave up."),
        (RuntimeError("a bug"), 1, "Unexpected error (RuntimeError: a bug)"),
    ],
)
def test_a_failure_half_way_writes_nothing(
    case: Case, run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, says: str
) -> None:
    backend = FakeBackend(on_slice=failing(error, after=3))
    monkeypatch.setattr(local, "make_backend", lambda *engine: backend)
    before = case.files
    result = run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", case.folder / "out.nii")
    assert result.exit_code == code
    assert says in result.stderr
    assert case.files == before
    assert backend.closed


def test_ctrl_c_stops_within_one_slice_and_writes_nothing(
    case: Case, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def on_slice(index: int) -> None:
        made.append(index)
        if len(made) == 3:
            signal.raise_signal(signal.SIGINT)

    backend = FakeBackend(on_slice=on_slice)
    monkeypatch.setattr(local, "make_backend", lambda *engine: backend)
    handler = signal.getsignal(signal.SIGINT)
    before = case.files
    result = run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", case.folder / "out.nii")
    assert result.exit_code == 130
    assert result.stderr == "Error: Cancelled after 3 slices; nothing was written.\n"
    assert len(made) == 3
    assert case.files == before
    assert signal.getsignal(signal.SIGINT) is handler
