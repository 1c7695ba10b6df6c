from __future__ import annotations

import module_script  # noqa: F401 - makes the library importable
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2SlicerLib.Presenter import TOOLS, Situation, present, readable

SITUATIONS = st.builds(
    Situation,
    placing=st.sampled_from(["", *TOOLS]),
    done=st.integers(0, 300),
    total=st.integers(0, 300),
    slicesPerSecond=st.floats(0, 1000),
    secondsLeft=st.none() | st.floats(0, 1e5),
    missing=st.sampled_from([(), ("torch",), ("torch", "sam2")]),
    undoLabel=st.none() | st.just("Segment"),
    redoLabel=st.none() | st.just("Segment"),
    slice=st.none() | st.integers(0, 300),
    promptedSegments=st.integers(0, 3),
    message=st.sampled_from(["", "9 slices in 0.1 s.", "The server does not answer."]),
)


@given(situation=SITUATIONS)
def test_in_every_situation_the_panel_says_one_line_and_allows_what_makes_sense(situation):
    shown = present(situation)
    enabled = shown.enabled
    assert shown.status
    assert "\n" not in shown.status
    if situation.running:
        assert enabled <= {"cancel"}
        assert ("cancel" in enabled) is not situation.cancelling
        assert shown.progress == (situation.done, situation.total)
        return
    assert "cancel" not in enabled
    assert shown.progress is None
    assert ("undo" in enabled) is (situation.hasVolume and bool(situation.undoLabel))
    assert ("redo" in enabled) is (situation.hasVolume and bool(situation.redoLabel))
    for name in ("forward", "backward", "both"):
        ready = situation.hasVolume and situation.hasPrompt and not situation.missing
        assert (name in enabled) is ready
    assert not {"useSlice", "releaseSlice"} <= enabled
    if not situation.hasVolume:
        assert not enabled & {*TOOLS, "addSegment", "useSlice", "revertSlice"}


@pytest.mark.parametrize("changed", [True, False])
@pytest.mark.parametrize("uncertain", [True, False])
def test_a_slice_that_is_uncertain_can_be_accepted_as_one_that_changed(changed, uncertain):
    situation = Situation(hasVolume=True, sliceChanged=changed, sliceUncertain=uncertain)
    enabled = present(situation).enabled
    assert ("acceptSlice" in enabled) is (changed or uncertain)
    assert ("revertSlice" in enabled) is changed


@given(situation=SITUATIONS)
def test_an_error_is_shown_before_anything_that_can_wait(situation):
    if situation.isError and situation.message and not situation.running:
        assert present(situation).status == situation.message
        assert present(situation).isError


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_says_what_to_do_with_the_mouse(tool):
    status = present(Situation(hasVolume=True, placing=tool)).status
    assert status.startswith(("Click", "Draw"))
    assert "Esc" in status


def test_the_next_step_is_named_from_the_start_to_the_first_run():
    said = [
        present(Situation()).status,
        present(Situation(hasVolume=True)).status,
        present(Situation(hasVolume=True, hasPrompt=True)).status,
        present(Situation(running=True)).status,
        present(
            Situation(running=True, done=3, total=9, slicesPerSecond=2.5, secondsLeft=2.4)
        ).status,
        present(Situation(running=True, cancelling=True, done=3)).status,
    ]
    assert said == [
        "Load a volume and select it above.",
        "Draw a box around the structure: two clicks in any slice view.",
        "Ready. Press Segment.",
        "Preparing the first slice...",
        "Slice 3 of 9, 2.5 per second, 2 s left",
        "Cancelling after this slice...",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3600, "60 min 00 s")],
)
def test_times_are_written_as_a_person_would(seconds, text):
    assert readable(seconds) == text
