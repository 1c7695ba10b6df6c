"""Prompts from files: what Slicer saves, our own JSON, and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_backend import FakeBackend

from medsam2.cli import prompt_files
from medsam2.cli.gather import Given, Grid
from medsam2.cli.values import FileValue
from medsam2.core.errors import MedSAM2Error, PromptError, PromptFileError
from medsam2.core.geometry import SliceAxis, flip_ras_lps, transform_points
from medsam2.core.prompts import MaskPrompt, PointPrompt, RoiBox
from medsam2.io.segmentations import read_segments, write_segmentation
from medsam2.io.segments import Segment

from .conftest import LEFT, RIGHT, Case, Run, ball, box_around


def ras(case: Case, *at_ijk: float) -> list[float]:
    return [float(x) for x in transform_points(case.volume.affine_ijk_to_ras, at_ijk)]


def a_markup(kind: str, name: str, system: str, points_ras: list[list[float]], **extra: Any) -> Any:
    points = [flip_ras_lps(p).tolist() for p in points_ras] if system == "LPS" else points_ras
    controls = [{"id": str(n), "label": f"{name}-{n}", "position": p} for n, p in enumerate(points)]
    return {
        "type": kind, "name": name, "coordinateSystem": system, "coordinateUnits": "mm",
        "controlPoints": controls, **extra,
    }  # fmt: skip


def a_roi(case: Case, centre: tuple[int, int, int], name: str, system: str) -> Any:
    """A box along the volume's own axes, as Slicer saves it after fitting it to the volume."""
    centre_ras = np.array(ras(case, *centre))
    directions = case.volume.affine_ijk_to_ras[:3, :3] / np.array(case.volume.spacing_ijk)
    if system == "LPS":
        centre_ras, directions = flip_ras_lps(centre_ras), np.diag([-1, -1, 1]) @ directions
    size = np.array([16, 16, 6]) * case.volume.spacing_ijk
    return {
        "type": "ROI", "name": name, "coordinateSystem": system, "coordinateUnits": "mm",
        "roiType": "Box", "center": centre_ras.tolist(), "size": size.tolist(),
        "orientation": directions.ravel().tolist(), "controlPoints": [],
    }  # fmt: skip


def given(case: Case, path: Path, name: str | None = None) -> list[Given]:
    value = FileValue(name, path)
    grid = Grid(case.volume, SliceAxis.K)
    return list(prompt_files.prompts(grid, value, prompt_files.read_file(value)))


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_a_roi_is_its_box_in_either_coordinate_system(case: Case, system: str) -> None:
    path = case.write_json("R.mrk.json", {"markups": [a_roi(case, LEFT, "Tumour", system)]})
    (found,) = given(case, path)
    i, j, k = LEFT
    assert found.values == (RoiBox(k - 3, k + 3, (j - 8, i - 8, j + 8, i + 8)),)
    assert (found.name, found.own) == ("Tumour", True)


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_a_rois_file_segments_what_it_holds(
    case: Case, run: Run, fake: FakeBackend, system: str
) -> None:
    path = case.write_json("R.mrk.json", {"markups": [a_roi(case, RIGHT, "Tumour", system)]})
    out = case.folder / "out.seg.nrrd"
    result = run("segment", case.path, "--prompts", path, "-o", out)
    assert result.exit_code == 0, result.stderr
    (segment,) = read_segments(out).segments
    assert segment.name == "Tumour"
    np.testing.assert_array_equal(segment.mask_kji, ball(RIGHT))


def test_names_that_slicer_gives_by_itself_join_one_object(
    case: Case, run: Run, fake: FakeBackend
) -> None:
    i, j, k = LEFT
    roi = case.write_json("R.mrk.json", {"markups": [a_roi(case, LEFT, "R", "LPS")]})
    clicks = a_markup("Fiducial", "F_1", "LPS", [ras(case, i, j, k)])
    points = case.write_json("F.mrk.json", {"markups": [clicks]})
    out = case.folder / "out.seg.nrrd"
    result = run(
        "segment", case.path, "--prompts", roi, "--prompts", points, "-o", out, "--model",
        "tiny-random",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    (session,) = fake.sessions
    (prompts,) = session.objects().values()
    assert prompts.name == "Segment 1"
    assert prompts.roi is not None
    assert len(prompts.prompts) == 1


def test_a_list_of_negative_points_is_about_its_object(case: Case) -> None:
    clicks = a_markup("Fiducial", "Liver negative", "RAS", [ras(case, 3, 4, 5)])
    (found,) = given(case, case.write_json("F.mrk.json", {"markups": [clicks]}))
    (prompt,) = found.values
    assert found.name == "Liver"
    assert isinstance(prompt, PointPrompt)
    assert (prompt.index, prompt.positive) == (5, False)
    np.testing.assert_allclose(prompt.point_rc, (4, 3), atol=1e-6)


def test_a_line_is_a_diameter_and_a_name_in_front_wins(case: Case) -> None:
    line = a_markup("Line", "L", "LPS", [ras(case, 3, 4, 5), ras(case, 13, 4, 5)])
    (found,) = given(case, case.write_json("L.mrk.json", {"markups": [line]}), name="Node")
    assert found.name == "Node"
    assert found.values[0].index == 5  # type: ignore[union-attr]


def test_our_own_file_holds_several_objects(case: Case, run: Run, fake: FakeBackend) -> None:
    box = [int(n) for n in box_around(LEFT).split(",")]
    i, j, k = RIGHT
    content = {
        "axis": "k",
        "objects": [
            {"name": "left", "box_ijk": box, "range": [3, 6]},
            {"name": "right", "line_ras_mm": ras(case, i - 8, j, k) + ras(case, i + 8, j, k)},
        ],
    }
    path = case.write_json("prompts.json", content)
    out = case.folder / "out.seg.nrrd"
    result = run("segment", case.path, "--prompts", path, "-o", out)
    assert result.exit_code == 0, result.stderr
    left, right = read_segments(out).segments
    expected = ball(LEFT)
    expected[:3] = expected[7:] = False
    np.testing.assert_array_equal(left.mask_kji, expected)
    np.testing.assert_array_equal(right.mask_kji, ball(RIGHT))


def test_a_files_axis_and_another_one_are_not_mixed(case: Case, run: Run) -> None:
    content = {"axis": "j", "objects": [{"box_ijk": [1, 1, 1, 9, 9, 9]}]}
    path = case.write_json("prompts.json", content)
    out = case.folder / "out.nii"
    result = run("segment", case.path, "--prompts", path, "--axis", "k", "-o", out)
    assert result.exit_code == 2
    assert "slices across j and k at once" in result.stderr


def test_a_name_in_front_of_our_own_file_is_refused(case: Case) -> None:
    path = case.write_json("p.json", {"objects": [{"box_ijk": [1, 1, 1, 9, 9, 9]}]})
    with pytest.raises(PromptFileError, match="leave out x="):
        given(case, path, name="x")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"objects": []}',
        '{"objects": [{"name": "x"}]}',
        '{"objects": [{"boxes": 1}]}',
        '{"markups": [{"type": "Angle"}]}',
    ],
)
@pytest.mark.parametrize("name", ["p.json", "p.mrk.json"])
def test_a_damaged_file_is_told_by_name(
    case: Case, run: Run, fake: FakeBackend, name: str, content: str
) -> None:
    path = case.folder / name
    path.write_text(content)
    before = case.files
    result = run("segment", case.path, "--prompts", path, "-o", case.folder / "out.nii")
    assert result.exit_code == 2
    assert name in result.stderr
    assert result.stderr.count("\n") == 1
    assert case.files == before


def a_mask(case: Case, name: str, *segments: Segment) -> FileValue:
    path = case.folder / name
    write_segmentation(path, segments, case.volume)
    return FileValue(None, path)


def test_each_segment_of_a_mask_is_an_object_on_its_slices(case: Case) -> None:
    segments = Segment("left", ball(LEFT)), Segment("right", ball(RIGHT))
    value = a_mask(case, "drawn.seg.nrrd", *segments)
    grid = Grid(case.volume, SliceAxis.K)
    left, right = prompt_files.masks(grid, value, (3, 7))
    assert (left.name, right.name) == ("left", "right")
    assert [p.index for p in left.values if isinstance(p, MaskPrompt)] == [3, 7]
    (drawn,) = right.values
    assert isinstance(drawn, MaskPrompt)
    np.testing.assert_array_equal(drawn.mask_rc.unpack(), ball(RIGHT)[7])
    every = list(prompt_files.masks(grid, value, None))
    assert [len(item.values) for item in every] == [7, 7]


def test_the_only_label_of_a_map_has_no_name_of_its_own(case: Case) -> None:
    value = a_mask(case, "drawn.nii.gz", Segment("left", ball(LEFT)))
    grid = Grid(case.volume, SliceAxis.J)
    (found,) = prompt_files.masks(grid, value, (LEFT[1],))
    assert found.name is None
    (named,) = prompt_files.masks(grid, FileValue("Ball", value.path), (LEFT[1],))
    assert named.name == "Ball"


def test_drawn_slices_are_kept_bit_for_bit(case: Case, run: Run, fake: FakeBackend) -> None:
    drawn = ball(LEFT)
    drawn[5, :3, :3] = True
    value = a_mask(case, "drawn.nii.gz", Segment("x", drawn))
    out = case.folder / "out.seg.nrrd"
    result = run("segment", case.path, "--mask", value.path, "--mask-slices", "5", "-o", out)
    assert result.exit_code == 0, result.stderr
    (segment,) = read_segments(out).segments
    np.testing.assert_array_equal(segment.mask_kji[5], drawn[5])


@pytest.mark.parametrize(
    ("name", "slices", "says"),
    [
        (None, (13,), "holds nothing on the slices"),
        (None, (14,), "outside the volume's slices 0 to 13"),
        ("x", (5,), "leave out x="),
    ],
)
def test_mask_slices_that_do_not_fit_are_refused(
    case: Case, name: str | None, slices: tuple[int, ...], says: str
) -> None:
    value = a_mask(case, "d.seg.nrrd", Segment("a", ball(LEFT)), Segment("b", ball(RIGHT)))
    grid = Grid(case.volume, SliceAxis.K)
    with pytest.raises(PromptError, match=says):
        list(prompt_files.masks(grid, FileValue(name, value.path), slices))


def test_a_mask_of_another_grid_is_refused(case: Case) -> None:
    value = a_mask(case, "drawn.nii.gz", Segment("x", ball(LEFT)))
    moved = case.volume.affine_ijk_to_ras.copy()
    moved[:3, 3] += 0.4
    other = type(case.volume)(case.volume.voxels_kji, moved)
    with pytest.raises(MedSAM2Error):
        list(prompt_files.masks(Grid(other, SliceAxis.K), value, None))
