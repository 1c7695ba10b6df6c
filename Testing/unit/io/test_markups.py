"""Slicer's markups files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medsam2.core.errors import PromptFileError
from medsam2.io.markups import MarkupsLine, MarkupsPoints, MarkupsRoi, read_markups

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
TURN = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()


def save(path: Path, *markups: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"@schema": SCHEMA, "markups": list(markups)}))
    return path


def a_point(label: str, *position: float, **more: Any) -> dict[str, Any]:
    return {"id": "1", "label": label, "description": "", "position": list(position),
            "positionStatus": "defined", **more}  # fmt: skip


def a_roi(**more: Any) -> dict[str, Any]:
    return {"type": "ROI", "coordinateSystem": "RAS", "coordinateUnits": "mm", "roiType": "Box",
            "center": [10, 20, 30], "size": [4, 6, 8],
            "orientation": TURN.ravel().tolist(), "controlPoints": [], **more}  # fmt: skip


def a_list(*points: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": list(points), **more}


def sorted_rows(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 6)
    return rounded[np.lexsort(rounded.T)]


def expected_corners() -> np.ndarray:
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    return (signs * [2, 3, 4]) @ TURN.T + [10, 20, 30]


def test_a_rotated_roi_gives_its_eight_corners(tmp_path: Path) -> None:
    (roi,) = read_markups(save(tmp_path / "liver box.mrk.json", a_roi()))
    assert isinstance(roi, MarkupsRoi)
    assert roi.name == "liver box"
    np.testing.assert_allclose(sorted_rows(roi.corners_ras), sorted_rows(expected_corners()))


def test_a_roi_in_lps_and_in_ras_is_the_same_box(tmp_path: Path) -> None:
    flip = np.diag([-1.0, -1.0, 1.0])
    lps = a_roi(
        coordinateSystem="LPS",
        center=[-10, -20, 30],
        orientation=(flip @ TURN).ravel().tolist(),
    )
    first, second = read_markups(save(tmp_path / "a.mrk.json", a_roi(), lps))
    assert isinstance(first, MarkupsRoi)
    assert isinstance(second, MarkupsRoi)
    np.testing.assert_allclose(sorted_rows(first.corners_ras), sorted_rows(second.corners_ras))


def test_axes_in_place_of_an_orientation_mean_its_columns(tmp_path: Path) -> None:
    axes = {f"{name}Axis": TURN[:, n].tolist() for n, name in enumerate("xyz")}
    roi = a_roi(**axes)
    del roi["orientation"]
    (found,) = read_markups(save(tmp_path / "a.mrk.json", roi))
    assert isinstance(found, MarkupsRoi)
    np.testing.assert_allclose(sorted_rows(found.corners_ras), sorted_rows(expected_corners()))


def test_a_hand_written_roi_has_its_centre_as_its_only_point(tmp_path: Path) -> None:
    roi = a_roi(controlPoints=[{"position": [10, 20, 30], "locked": True}])
    del roi["center"]
    (found,) = read_markups(save(tmp_path / "a.mrk.json", roi))
    assert isinstance(found, MarkupsRoi)
    np.testing.assert_allclose(sorted_rows(found.corners_ras), sorted_rows(expected_corners()))


def test_a_bounding_box_roi_without_size_spans_its_points(tmp_path: Path) -> None:
    roi = a_roi(roiType="BoundingBox", controlPoints=[a_point("1", 0, 5, 2), a_point("2", 4, 1, 9)])
    for key in ("size", "center", "orientation"):
        del roi[key]
    (found,) = read_markups(save(tmp_path / "a.mrk.json", roi))
    assert isinstance(found, MarkupsRoi)
    assert found.corners_ras.min(axis=0).tolist() == [0, 1, 2]
    assert found.corners_ras.max(axis=0).tolist() == [4, 5, 9]


def test_points_in_lps_and_in_ras_are_the_same(tmp_path: Path) -> None:
    ras = a_list(a_point("F-1", 1, 2, 3), a_point("F-2", -4, 5, 6))
    lps = a_list(a_point("F-1", -1, -2, 3), a_point("F-2", 4, -5, 6), coordinateSystem="LPS")
    for found in read_markups(save(tmp_path / "a.mrk.json", ras, lps)):
        assert isinstance(found, MarkupsPoints)
        assert found.points_ras.tolist() == [[1, 2, 3], [-4, 5, 6]]
        assert found.positive == (True, True)


def test_coordinates_without_a_system_are_lps(tmp_path: Path) -> None:
    points = a_list(a_point("F-1", 1, 2, 3))
    del points["coordinateSystem"]
    (found,) = read_markups(save(tmp_path / "a.mrk.json", points))
    assert isinstance(found, MarkupsPoints)
    assert found.points_ras.tolist() == [[-1, -2, 3]]


def test_points_are_negative_by_label_description_or_name_of_their_list(tmp_path: Path) -> None:
    mixed = a_list(
        a_point("F-1", 0, 0, 0),
        a_point("- fat", 1, 0, 0),
        a_point("neg 2", 2, 0, 0),
        a_point("F-4", 3, 0, 0, description="Negative"),
        name="Tumour",
    )
    outside = a_list(a_point("F-1", 0, 0, 0), name="Tumour negative")
    first, second = read_markups(save(tmp_path / "a.mrk.json", mixed, outside))
    assert isinstance(first, MarkupsPoints)
    assert isinstance(second, MarkupsPoints)
    assert first.positive == (True, False, False, False)
    assert second.positive == (False,)


def test_points_that_were_never_placed_are_left_out(tmp_path: Path) -> None:
    unset = {"label": "F-2", "position": [], "positionStatus": "undefined"}
    preview = a_point("F-3", 9, 9, 9, positionStatus="preview")
    points = a_list(a_point("F-1", 1, 2, 3), unset, preview)
    (found,) = read_markups(save(tmp_path / "a.mrk.json", points))
    assert isinstance(found, MarkupsPoints)
    assert found.points_ras.tolist() == [[1, 2, 3]]
    with pytest.raises(PromptFileError, match="no placed point"):
        read_markups(save(tmp_path / "a.mrk.json", a_list(unset)))


def test_a_line_has_two_ends(tmp_path: Path) -> None:
    line = a_list(a_point("L-1", 1, 2, 3), a_point("L-2", 4, 5, 6), type="Line", name="RECIST")
    (found,) = read_markups(save(tmp_path / "a.mrk.json", line))
    assert isinstance(found, MarkupsLine)
    assert found.name == "RECIST"
    assert found.ends_ras.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_line_with_an_unset_end_is_refused(tmp_path: Path) -> None:
    line = a_list(
        a_point("L-1", 1, 2, 3), a_point("L-2", 0, 0, 0, positionStatus="undefined"), type="Line"
    )
    with pytest.raises(PromptFileError, match="1 placed points"):
        read_markups(save(tmp_path / "a.mrk.json", line))


@pytest.mark.parametrize("units", ["mm", ["mm", "UCUM", "millimeter"]])
def test_millimetres_may_be_a_word_or_a_code(units: object, tmp_path: Path) -> None:
    assert read_markups(save(tmp_path / "a.mrk.json", a_roi(coordinateUnits=units)))


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        (a_roi(coordinateUnits="um"), "mm"),
        (a_roi(coordinateUnits=["um", "UCUM", "micrometer"]), "mm"),
        (a_roi(coordinateSystem="IJK"), "LPS or RAS"),
        (a_roi(coordinateSystem=["LPS"]), "LPS or RAS"),
        (a_roi(roiType="Sphere"), "box ROI"),
        (a_roi(size=[4, 0, 8]), "size"),
        (a_roi(size=[4, 8]), "3 numbers"),
        (a_roi(center="here"), "3 numbers"),
        (a_roi(orientation=[1, 1, 0, 0, 1, 0, 0, 0, 1]), "no rotation"),
        (a_list(a_point("F", 1, 2)), "3 numbers"),
        (a_list(a_point("F", 1, 2, True)), "3 numbers"),
        ({"type": "Curve"}, "Curve"),
        ({}, "null"),
    ],
)
def test_what_can_not_be_used_is_refused_with_the_reason(
    markup: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(PromptFileError, match=words):
        read_markups(save(tmp_path / "a.mrk.json", markup))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[1, 2]", "no markups"),
        ('{"markups": []}', "no markups"),
        ('{"markups": [3]}', "where a markup should be"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_text_that_is_no_markups_file_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.mrk.json").write_text(text)
    with pytest.raises(PromptFileError, match=words):
        read_markups(tmp_path / "a.mrk.json")


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="can't be read"):
        read_markups(tmp_path / "a.mrk.json")
    (tmp_path / "a.mrk.json").write_bytes(b"\xff\xfe\x00\x9c")
    with pytest.raises(PromptFileError, match="UTF-8"):
        read_markups(tmp_path / "a.mrk.json")
