from __future__ import annotations

import module_script  # noqa: F401 - makes the library importable
import pytest

pytest.importorskip("slicer", reason="the package slicer-core is not installed")

from MedSAM2SlicerLib.History import History, Step

KEY = ("S1", "K", 4)


def a_step(label, before=b"", after=b"x"):
    step = Step(label)
    step.noteSlice(KEY, before, after)
    return step


def test_steps_come_back_in_the_order_they_were_done_in():
    history = History()
    for label in "abc":
        history.record(a_step(label))
    assert [history.undo().label for _ in range(3)] == ["c", "b", "a"]
    assert history.undo() is None
    assert [history.redo().label for _ in range(3)] == ["a", "b", "c"]
    assert history.redo() is None


def test_what_is_undone_is_the_step_the_other_way_round():
    history = History()
    step = a_step("a", b"old", b"new")
    step.noteFacts("S1", {"locked": 1}, {"locked": 2})
    step.prompts = ({}, {"p": {"kind": "roi"}})
    history.record(step)
    undone = history.undo()
    assert undone.slices == {KEY: (b"new", b"old")}
    assert undone.facts == {"S1": ({"locked": 2}, {"locked": 1})}
    assert undone.prompts == ({"p": {"kind": "roi"}}, {})
    assert history.redo() is step
    assert undone.reversed() == step


def test_a_step_that_changed_nothing_is_no_step():
    history = History()
    history.record(a_step("real"))
    history.undo()
    history.record(a_step("nothing", b"same", b"same"))
    assert history.undoLabel is None
    assert history.redoLabel == "real"


def test_a_new_step_takes_the_place_of_what_was_undone():
    history = History()
    for label in "ab":
        history.record(a_step(label))
    history.undo()
    history.record(a_step("c"))
    assert history.redo() is None
    assert history.undoLabel == "c"


def test_of_several_changes_of_a_slice_in_one_step_the_first_state_is_given_back():
    step = a_step("a", b"first", b"second")
    step.noteSlice(KEY, b"second", b"third")
    assert step.slices == {KEY: (b"first", b"third")}
    step.noteSlice(KEY, b"third", b"first")
    assert not step.changed


def test_the_oldest_steps_go_when_there_are_too_many():
    history = History(limit=20)
    for number in range(25):
        history.record(a_step(str(number)))
    labels = []
    while (step := history.undo()) is not None:
        labels.append(step.label)
    assert labels == [str(number) for number in reversed(range(5, 25))]
