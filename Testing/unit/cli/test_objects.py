"""Prompts sorted into objects."""

from __future__ import annotations

import pytest

from medsam2.cli.gather import Given
from medsam2.cli.objects import check_supported, make_objects
from medsam2.cli.values import RangeValue
from medsam2.core.errors import MedSAM2Error, NoPromptError, PromptError, UnsupportedPromptError
from medsam2.core.prompts import LinePrompt, PointPrompt, RoiBox

ROI = RoiBox(1, 5, (0, 0, 9, 9))
INSIDE = PointPrompt(3, (4.0, 4.0))
OUTSIDE = PointPrompt(3, (8.0, 8.0), positive=False)
LINE = LinePrompt(2, ((1.0, 1.0), (5.0, 5.0)))


def box(name: str | None = None) -> Given:
    return Given(name, (ROI,), "--box-ijk", own=True)


def point(name: str | None = None, prompt: PointPrompt = INSIDE) -> Given:
    return Given(name, (prompt,), "--point")


def test_boxes_without_names_are_objects_of_their_own() -> None:
    found = make_objects([box(), box("Liver"), box()], [])
    assert [o.name for o in found] == ["Segment 1", "Liver", "Segment 2"]


def test_a_number_that_is_taken_is_not_given_again() -> None:
    found = make_objects([box(), box("Segment 1")], [])
    assert [o.name for o in found] == ["Segment 2", "Segment 1"]


def test_prompts_of_the_same_name_are_one_object() -> None:
    (found,) = make_objects([point("x"), box("x"), Given("x", (LINE,), "--line-ijk")], [])
    assert (found.name, found.roi, found.prompts) == ("x", ROI, (INSIDE, LINE))


@pytest.mark.parametrize("name", [None, "Liver"])
def test_a_point_without_a_name_joins_the_only_object(name: str | None) -> None:
    (found,) = make_objects([point(prompt=OUTSIDE), box(name)], [])
    assert found.prompts == (OUTSIDE,)
    assert found.name == (name or "Segment 1")


def test_points_alone_make_one_object() -> None:
    (found,) = make_objects([point(), point(prompt=OUTSIDE)], [])
    assert (found.name, found.prompts) == ("Segment 1", (INSIDE, OUTSIDE))


def test_ranges_are_for_all_objects_or_for_one() -> None:
    found = make_objects([box("a"), box("b")], [RangeValue(None, 1, 9), RangeValue("b", 2, 3)])
    assert [o.slice_range for o in found] == [(1, 9), (2, 3)]


@pytest.mark.parametrize(
    ("given", "ranges", "error", "says"),
    [
        ([], [], NoPromptError, "give a prompt"),
        ([box(), box(), point()], [], PromptError, "Segment 1 or Segment 2; name its object"),
        ([box("x"), box("x")], [], PromptError, "2 3D boxes"),
        ([point(prompt=OUTSIDE)], [], NoPromptError, "outside of it only"),
        ([box("x")], [RangeValue("y", 1, 2)], PromptError, "the objects are x"),
        ([box()], [RangeValue(None, 1, 2), RangeValue(None, 1, 3)], PromptError, "two ranges"),
    ],
)
def test_what_is_unclear_is_refused(
    given: list[Given], ranges: list[RangeValue], error: type[MedSAM2Error], says: str
) -> None:
    with pytest.raises(error, match=says):
        make_objects(given, ranges)


def test_prompts_that_the_model_does_not_take_are_refused_by_name() -> None:
    objects = make_objects([box("a"), point("b")], [])
    check_supported(objects, "any", {"roi", "point"})
    with pytest.raises(UnsupportedPromptError, match=r"litemedsam takes no point prompt \(for b\)"):
        check_supported(objects, "litemedsam", {"roi", "box"})
