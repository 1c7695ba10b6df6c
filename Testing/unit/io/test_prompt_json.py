"""Our own prompt files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medsam2.core.errors import PromptFileError
from medsam2.io.prompt_json import MaskEntry, ObjectEntry, PointEntry, PromptFile, read_prompt_file


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_every_kind_of_prompt_is_read(tmp_path: Path) -> None:
    content = {
        "axis": "k",
        "objects": [
            {
                "name": "Liver",
                "box_ijk": [10, 20, 5, 60, 80, 30],
                "box_ras_mm": [-60, -20, 5, 10, 50, 90.5],
                "points_ijk": [[30, 40, 12, "+"], [55, 70.5, 12, "-"], [1, 2, 3]],
                "points_ras_mm": [{"at": [31, 42, 12], "positive": False}, {"at": [0, 0, 0]}],
                "line_ijk": [20, 30, 12, 50, 60, 12],
                "line_ras_mm": [-40, 0, 40, -10, 30, 40],
                "mask": {"file": "liver.seg.nrrd", "label": 2, "slices": [12, 20]},
                "range": [5, 30],
            },
            {"mask": {"file": "sub/b.nii.gz"}},
        ],
    }
    assert read_prompt_file(save(tmp_path / "p.json", content)) == PromptFile(
        "k",
        (
            ObjectEntry(
                name="Liver",
                box_ijk=(10, 20, 5, 60, 80, 30),
                box_ras_mm=(-60, -20, 5, 10, 50, 90.5),
                points_ijk=(
                    PointEntry((30, 40, 12)),
                    PointEntry((55, 70.5, 12), positive=False),
                    PointEntry((1, 2, 3)),
                ),
                points_ras_mm=(PointEntry((31, 42, 12), positive=False), PointEntry((0, 0, 0))),
                line_ijk=((20, 30, 12), (50, 60, 12)),
                line_ras_mm=((-40, 0, 40), (-10, 30, 40)),
                mask=MaskEntry(tmp_path / "liver.seg.nrrd", 2, (12, 20)),
                slice_range=(5, 30),
            ),
            ObjectEntry(name="Segment_2", mask=MaskEntry(tmp_path / "sub/b.nii.gz")),
        ),
    )


def test_the_axis_may_be_left_out(tmp_path: Path) -> None:
    content = {"objects": [{"box_ijk": [0, 0, 0, 1, 1, 1]}]}
    assert read_prompt_file(save(tmp_path / "p.json", content)).axis is None


def one(**keys: Any) -> dict[str, Any]:
    return {"objects": [keys]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "must be an object with axis, objects"),
        ({}, "objects must be a list"),
        ({"objects": []}, "at least one"),
        ({"objects": [3]}, "object 1 must be an object"),
        ({"axes": "k", "objects": []}, "unknown key 'axes'; allowed are axis, objects"),
        ({"axis": "z", "objects": []}, 'axis must be "i", "j" or "k"'),
        ({"axis": ["k"], "objects": []}, 'axis must be "i", "j" or "k"'),
        (one(), "has no prompt"),
        (one(name="Liver", range=[1, 2]), "has no prompt"),
        (one(points_ijk=[]), "has no prompt"),
        (one(bbox=[1]), "unknown key 'bbox'; allowed are name, box_ijk"),
        (one(name=3, box_ijk=[0, 0, 0, 1, 1, 1]), "name must be a text"),
        (one(box_ijk=[0, 0, 0, 1, 1]), "box_ijk must be a list of 6 whole numbers"),
        (one(box_ijk=[0, 0, 0, 1, 1, 1.5]), "box_ijk must be a list of 6 whole numbers"),
        (one(box_ijk=[0, 0, 0, 1, 1, True]), "box_ijk must be a list of 6 whole numbers"),
        (one(box_ras_mm="big"), "box_ras_mm must be a list of 6 numbers"),
        (one(points_ijk={"at": [1, 2, 3]}), "points_ijk must be a list of points"),
        (one(points_ijk=[[1, 2, 3, "*"]]), "point 1 must be three numbers"),
        (one(points_ijk=[[1, 2, 3, ["+"]]]), "point 1 must be three numbers"),
        (one(points_ijk=[[1, 2]]), "point 1 must be three numbers"),
        (one(points_ijk=[[1, 2, "x", "+"]]), "point 1 must be a list of 3 numbers"),
        (one(points_ijk=[{"at": [1, 2, 3], "sign": 1}]), "unknown key 'sign'"),
        (one(points_ijk=[{"at": [1, 2, 3], "positive": 1}]), "true or false"),
        (one(line_ijk=[1, 2, 3, 1, 2, 3]), "same point at both ends"),
        (one(mask="liver.nii.gz"), "mask must be an object with file, label, slices"),
        (one(mask={"label": 1}), "file must be a text"),
        (one(mask={"file": "a", "label": 0}), "label must be a whole number"),
        (one(mask={"file": "a", "slices": [1.5]}), "slices must be a list of whole numbers"),
        (one(box_ijk=[0, 0, 0, 1, 1, 1], range=[1]), "range must be a list of 2 whole numbers"),
    ],
)
def test_a_mistake_is_named_with_its_place(content: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match=words) as caught:
        read_prompt_file(save(tmp_path / "p.json", content))
    assert str(caught.value).startswith("p.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"objects": [{"box_ijk": [0,0,0,1,1,1],}]}', "not valid JSON"),
        ('{"axis": "k", "axis": "j", "objects": []}', "'axis' is repeated"),
        ('{"objects": [{"box_ras_mm": [0,0,0,1,1,NaN]}]}', "NaN is not a number"),
    ],
)
def test_text_that_is_not_strict_json_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PromptFileError, match=words):
        read_prompt_file(tmp_path / "p.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="can't be read"):
        read_prompt_file(tmp_path / "p.json")
