"""What stands behind an option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsam2.cli import values
from medsam2.cli.values import BoxValue, FileValue, LineValue, PointValue, RangeValue, SliceValue

Parse = Callable[[str], Any]


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (values.box_ijk, "1,2,3,4,5,6", BoxValue(None, (1, 2, 3, 4, 5, 6))),
        (values.box_ijk, " 1, 2,3 ,4,5,6 ", BoxValue(None, (1, 2, 3, 4, 5, 6))),
        (values.box_ijk, "left lung=1,2,3,4,5,6", BoxValue("left lung", (1, 2, 3, 4, 5, 6))),
        (values.box_ijk, "a=b=1,2,3,4", BoxValue("a=b", (1, 2, 3, 4))),
        (values.box_mm, "-1.5,2,3e1,4,5,6", BoxValue(None, (-1.5, 2.0, 30.0, 4.0, 5.0, 6.0))),
        (values.point, "1,2,3", PointValue(None, (1.0, 2.0, 3.0), True)),
        (values.point, "x=1,2,3,+", PointValue("x", (1.0, 2.0, 3.0), True)),
        (values.point, "-1,2.5,-3, -", PointValue(None, (-1.0, 2.5, -3.0), False)),
        (values.line, "0,0,1,4,0,1", LineValue(None, ((0.0, 0.0, 1.0), (4.0, 0.0, 1.0)))),
        (values.slice_range, "3:9", RangeValue(None, 3, 9)),
        (values.slice_range, "liver=3 : 3", RangeValue("liver", 3, 3)),
        (values.slice_number, "liver=7", SliceValue("liver", 7)),
        (values.slice_list, "10,20-22, 5", (5, 10, 20, 21, 22)),
        (values.slice_list, "ALL", None),
        (values.prompt_file, "roi.mrk.json", FileValue(None, Path("roi.mrk.json"))),
        (values.prompt_file, "liver=roi.mrk.json", FileValue("liver", Path("roi.mrk.json"))),
    ],
)
def test_a_value_is_parsed(parse: Parse, text: str, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (values.box_ijk, "1,2,3", "has 3 numbers"),
        (values.box_ijk, "1,2,3,4,5", "has 5 numbers"),
        (values.box_ijk, "1,2,3,4,5,six", "commas"),
        (values.box_ijk, "1,2,3,4,5,nan", "commas"),
        (values.box_ijk, "1,2,3,4,5,inf", "commas"),
        (values.box_ijk, "1,2,3,4,5.5,6", "--box-mm"),
        (values.box_ijk, "=1,2,3,4,5,6", "no name"),
        (values.box_ijk, "", "commas"),
        (values.box_mm, "1,2,3,4", "has 4 numbers"),
        (values.point, "1,2", "has 2 numbers"),
        (values.point, "1,2,3,4", "has 4 numbers"),
        (values.point, "1,2,+", "has 2 numbers"),
        (values.line, "1,2,3,1,2,3", "same point"),
        (values.slice_range, "3-9", "FIRST:LAST"),
        (values.slice_range, "3:", "FIRST:LAST"),
        (values.slice_range, "-3:4", "FIRST:LAST"),
        (values.slice_number, "-1", "slice number"),
        (values.slice_list, "", "list of slices"),
        (values.slice_list, "1,,2", "list of slices"),
        (values.slice_list, "9-3", "empty range"),
        (values.slice_list, "0-99999999999", "empty range"),
        (values.prompt_file, "=file.json", "equals sign"),
        (values.prompt_file, "name=", "equals sign"),
    ],
)
def test_a_wrong_value_is_told_apart(parse: Parse, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_a_file_with_an_equals_sign_in_its_name_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a=b.mrk.json"
    path.touch()
    assert values.prompt_file(str(path)) == FileValue(None, path)


@given(
    st.text(st.characters(exclude_characters="="), min_size=1).filter(str.strip),
    st.lists(st.integers(-999, 999), min_size=6, max_size=6),
)
def test_any_name_and_box_come_back(name: str, numbers: list[int]) -> None:
    text = f"{name}={','.join(map(str, numbers))}"
    assert values.box_ijk(text) == BoxValue(name.strip(), tuple(numbers))
