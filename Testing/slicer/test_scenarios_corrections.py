"""What a user corrected stays, and nothing but what was asked for changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from module_script import BOX, Script, drawn_rc, noise, slowly


def filled(script, segment_id=None):
    """Indices of the slices that hold voxels."""
    return [n for n, mask_rc in enumerate(script.slices(segment_id)) if mask_rc.any()]


def differing(before, after):
    """Indices of the slices that differ."""
    return [
        n for n, pair in enumerate(zip(before, after, strict=True)) if (pair[0] ^ pair[1]).any()
    ]


def test_five_edited_slices_stay_bit_for_bit_and_their_neighbours_follow_them(a_script):
    a_script.box(BOX)
    a_script.run()
    before = a_script.slices()
    edited = {index: drawn_rc(a_script, index) for index in (3, 5, 7, 9, 11)}
    for index, mask_rc in edited.items():
        a_script.paint(index, mask_rc)
    a_script.run()
    after = a_script.slices()
    assert all(np.array_equal(after[index], mask_rc) for index, mask_rc in edited.items())
    assert set(differing(before, after)) - set(edited) == {2, 4, 6, 8, 10, 12}
    assert a_script.workspace.locked(a_script.segment_id) == set(edited)
    assert "5 of yours kept" in a_script.messages[-1]
    a_script.run()
    assert np.array_equal(a_script.slices(), after)


def test_a_slice_that_was_emptied_by_hand_stays_empty(a_script):
    a_script.box(BOX)
    a_script.run()
    a_script.paint(6, np.zeros(a_script.workspace.shape_rc, dtype=bool))
    a_script.run()
    assert not a_script.slices()[6].any()
    assert a_script.slices()[5].any()


def test_a_stroke_that_goes_on_while_a_run_streams_is_kept_and_counts_as_evidence(a_scene):
    script = Script(a_scene, noise(a_scene), slowly)
    script.box(BOX)
    script.logic.segment()
    run = script.logic.run
    script.idle(until=lambda: run.progress.done >= 3)
    mask_rc = drawn_rc(script, 1)
    script.paint(12, mask_rc)
    script.paint(0, mask_rc)
    script.idle()
    script.settle()
    assert np.array_equal(script.slices()[12], mask_rc)
    assert script.workspace.locked(script.segment_id) == {0, 12}
    assert script.logic.history.undoLabel == "Edit"
    script.run()
    assert np.array_equal(script.slices()[[0, 12]], [mask_rc, mask_rc])
    script.close()


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations("kji", 2)))
def test_a_lock_holds_for_a_run_along_another_axis(a_script, first, second):
    a_script.logic.parameters.axis = first
    a_script.box(BOX)
    a_script.run()
    mask_rc = drawn_rc(a_script, 5)
    a_script.paint(6, mask_rc)
    a_script.settle()
    before = a_script.mask_kji()
    a_script.logic.parameters.axis = second
    a_script.box((*BOX[:3], BOX[3] - 2, *BOX[4:]))
    a_script.run()
    after = a_script.mask_kji()
    kept = np.moveaxis(after, "kji".index(first), 0)[6]
    assert np.array_equal(kept, mask_rc)
    assert not np.array_equal(after, before)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations("kji", 2)))
def test_what_the_model_made_along_one_axis_is_still_the_models_along_another(
    a_script, first, second
):
    a_script.logic.parameters.axis = first
    a_script.box(BOX)
    a_script.run()
    a_script.logic.parameters.axis = second
    a_script.box((5, 4, 4, 9, 8, 10))
    a_script.run()
    assert a_script.workspace.locked(a_script.segment_id) == set()
    made = a_script.mask_kji()
    a_script.logic.parameters.segmentation = None
    a_script.box((5, 4, 4, 9, 8, 10))
    a_script.run()
    assert np.array_equal(made, a_script.mask_kji())


def test_going_from_axis_to_axis_and_back_makes_nothing_the_users(a_script):
    for number, axis in enumerate("kjikj"):
        a_script.logic.parameters.axis = axis
        a_script.box(BOX)
        a_script.run()
        assert a_script.workspace.locked(a_script.segment_id) == set()
        a_script.box((*BOX[:3], BOX[3] - 1 - number, *BOX[4:]))
        a_script.run()
        assert not a_script.mask_kji()[:, :, BOX[3] - number].any()


def test_a_shrunken_box_takes_the_models_slices_back_but_never_the_users(a_script):
    a_script.box(BOX)
    a_script.run()
    mask_rc = drawn_rc(a_script, 2)
    a_script.paint(3, mask_rc)
    a_script.box((3, 2, 6, 12, 10, 9))
    a_script.run()
    slices = a_script.slices()
    assert filled(a_script) == [3, 6, 7, 8, 9]
    assert np.array_equal(slices[3], mask_rc)


def test_a_range_limits_a_run_to_its_slices(a_script):
    a_script.box(BOX)
    a_script.run()
    before = a_script.slices()
    a_script.paint(7, drawn_rc(a_script, 3))
    a_script.do("setSliceRange", (5, 9))
    painted = a_script.slices()
    a_script.run()
    assert differing(painted, a_script.slices()) == [5, 6, 8, 9]
    a_script.do("setSliceRange", None)
    a_script.run()
    assert set(differing(before, a_script.slices())) == set(range(2, 13))


@pytest.mark.parametrize(
    ("direction", "reached"), [("forward", range(6, 11)), ("backward", range(2, 7))]
)
def test_a_direction_leaves_the_other_side_as_it_was(a_script, direction, reached):
    a_script.box((3, 2, 2, 12, 10, 10))
    a_script.run(direction=direction)
    assert filled(a_script) == list(reached)
    a_script.run()
    assert all(one.any() for one in a_script.slices()[2:11])


def test_the_range_of_one_segment_does_not_keep_leftovers_of_another(a_script):
    first = a_script.segment_id
    a_script.box(BOX)
    second = a_script.add()
    a_script.box((6, 4, 2, 14, 9, 8))
    a_script.do("segmentAll")
    a_script.do("setSliceRange", (3, 6))
    a_script.box((3, 2, 6, 12, 10, 9), first)
    a_script.do("segmentAll")
    assert filled(a_script, first) == [6, 7, 8, 9]
    assert filled(a_script, second) == [2, 3, 4, 5, 6, 7, 8]


def test_a_slice_can_be_put_back_as_it_was_before_the_run_and_then_stays(a_script):
    a_script.box(BOX)
    a_script.run()
    before = a_script.slices()
    a_script.paint(7, drawn_rc(a_script, 4))
    a_script.run()
    changed = [n for n, state in enumerate(a_script.logic.sliceStates()) if state.changed]
    assert set(changed) == set(differing(before, a_script.slices())) - {7}
    a_script.do("revertSlice", 6)
    assert np.array_equal(a_script.slices()[6], before[6])
    assert a_script.workspace.locked(a_script.segment_id) == {6, 7}
    a_script.run()
    assert np.array_equal(a_script.slices()[6], before[6])
    a_script.do("undo")
    a_script.do("undo")
    assert a_script.workspace.locked(a_script.segment_id) == {7}


def test_an_accepted_slice_is_no_longer_marked_and_not_changed(a_script):
    a_script.box(BOX)
    a_script.run()
    a_script.paint(7, drawn_rc(a_script, 4))
    a_script.run()
    made = a_script.slices()
    assert a_script.logic.sliceStates()[6].changed
    a_script.do("acceptSlice", 6)
    assert not a_script.logic.sliceStates()[6].changed
    assert np.array_equal(a_script.slices(), made)


def test_marks_of_a_run_that_was_undone_are_gone(a_script):
    a_script.box(BOX)
    a_script.run()
    a_script.paint(7, drawn_rc(a_script, 4))
    a_script.run()
    a_script.do("undo")
    assert not any(state.changed for state in a_script.logic.sliceStates())


def test_a_released_slice_belongs_to_the_model_again(a_script):
    a_script.box(BOX)
    a_script.run()
    before = a_script.slices()
    a_script.paint(7, drawn_rc(a_script, 4))
    a_script.run()
    a_script.do("releaseSlice", 7)
    a_script.run()
    assert np.array_equal(a_script.slices(), before)


BOXES = ((1, 1, 1, 9, 8, 8), (6, 5, 4, 14, 11, 11), (4, 0, 6, 11, 7, 13))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_overlapping_segments_keep_their_voxels_in_whatever_order_they_are_made(a_script, order):
    ids = {number: a_script.segment_id if number == 0 else a_script.add() for number in range(3)}
    alone = {}
    for number in order:
        a_script.logic.selectSegment(ids[number])
        a_script.box(BOXES[number])
        before = {one: a_script.mask_kji(ids[one]) for one in range(3)}
        a_script.run()
        alone[number] = a_script.mask_kji(ids[number])
        assert alone[number].any()
        for other in set(range(3)) - {number}:
            assert np.array_equal(a_script.mask_kji(ids[other]), before[other])
    for number in order:
        a_script.logic.selectSegment(ids[number])
        a_script.run()
        for other in range(3):
            assert np.array_equal(a_script.mask_kji(ids[other]), alone[other])


WRITES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from("kji"),
        st.integers(0, 4),
        st.integers(0, 2**32 - 1),
        st.sampled_from(["run", "undo"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=WRITES, mode=st.sampled_from(["None", "AllSegments", "VisibleSegments"]))
def test_writing_slices_changes_exactly_what_the_overwrite_mode_says(a_scene, writes, mode):
    a_scene.Clear(0)
    script = Script(a_scene, noise(a_scene, (5, 5, 6)))
    ids = [script.segment_id, script.add(), script.add()]
    bridge, editor = script.workspace.segmentation, script.logic.parameters.editor
    bridge.node.GetDisplayNode().SetSegmentVisibility(ids[1], False)
    editor.SetOverwriteMode(getattr(editor, f"Overwrite{mode}"))
    expected = np.zeros((3, 5, 5, 6), dtype=bool)
    takes_from = {"None": [], "AllSegments": [0, 1, 2], "VisibleSegments": [0, 2]}[mode]
    for number, axis_name, index, seed, how in writes:
        axis = type(script.workspace.axis).parse(axis_name)
        slices = [np.moveaxis(one, axis.value, 0)[index] for one in expected]
        mask_rc = np.random.default_rng(seed).random(slices[0].shape) < 0.5
        added_rc = mask_rc & ~slices[number]
        bridge.writeSlice(ids[number], axis, index, mask_rc, masked=how == "run")
        slices[number][:] = mask_rc
        for other in takes_from if how == "run" else []:
            if other != number:
                slices[other][added_rc] = False
    for number in range(3):
        assert np.array_equal(script.mask_kji(ids[number]), expected[number])
    script.close()


@pytest.mark.parametrize("mode", ["OverwriteAllSegments", "OverwriteVisibleSegments"])
def test_a_run_that_takes_voxels_of_a_neighbour_is_still_one_step_to_undo(a_script, mode):
    first = a_script.segment_id
    a_script.box(BOX)
    a_script.run()
    second = a_script.add()
    editor = a_script.logic.parameters.editor
    editor.SetOverwriteMode(getattr(editor, mode))
    a_script.box((6, 5, 4, 14, 11, 10))
    a_script.settle()
    before = a_script.state()
    a_script.run()
    assert not (a_script.mask_kji(first) & a_script.mask_kji(second)).any()
    assert a_script.workspace.locked(first) == set()
    a_script.settle()
    taken = a_script.state()
    assert taken["voxels"][first] != before["voxels"][first]
    a_script.do("undo")
    assert a_script.state() == before
    a_script.do("redo")
    assert a_script.state() == taken
    a_script.logic.forgetWorkspace()
    assert a_script.segment_id
    a_script.settle()
    assert a_script.workspace.locked(first) == set(), "what is left is still the model's"


def areas(script, first, other):
    """Where each mode lets a third segment be: the union of both others, or of the visible one."""
    both = first | other
    everywhere = np.ones_like(first)
    return {
        "EditAllowedEverywhere": everywhere,
        "EditAllowedInsideAllSegments": both,
        "EditAllowedInsideVisibleSegments": first,
        "EditAllowedOutsideAllSegments": ~both,
        "EditAllowedOutsideVisibleSegments": ~first,
        "EditAllowedInsideSingleSegment": first,
    }


@pytest.mark.parametrize("bright", [False, True])
@pytest.mark.parametrize("mode", list(areas(None, *np.zeros((2, 1), dtype=bool))))
def test_a_run_changes_only_what_the_editable_area_allows(a_script, mode, bright):
    ids = [a_script.segment_id, a_script.add(), a_script.add()]
    for one, box in zip(ids[:2], BOXES[:2], strict=True):
        a_script.logic.selectSegment(one)
        a_script.box(box)
        a_script.run()
    masks = [a_script.mask_kji(one) for one in ids[:2]]
    a_script.logic.selectSegment(ids[2])
    a_script.box((0, 0, 0, 15, 12, 14))
    a_script.run()
    everything = a_script.mask_kji()
    a_script.do("undo")
    a_script.workspace.segmentation.node.GetDisplayNode().SetSegmentVisibility(ids[1], False)
    editor = a_script.logic.parameters.editor
    editor.SetMaskMode(getattr(a_script.workspace.segmentation.node, mode))
    editor.SetMaskSegmentID(ids[0])
    editor.SetSourceVolumeIntensityMask(bright)
    editor.SetSourceVolumeIntensityMaskRange(200, 255)
    allowed = areas(a_script, *masks)[mode]
    if bright:
        import slicer

        voxels_kji = slicer.util.arrayFromVolume(a_script.logic.parameters.volume)
        allowed = allowed & (voxels_kji >= 200)
    a_script.run()
    assert np.array_equal(a_script.mask_kji(), everything & allowed)
    for one, mask in zip(ids[:2], masks, strict=True):
        assert np.array_equal(a_script.mask_kji(one), mask)
    a_script.box((2, 1, 2, 11, 9, 8))
    a_script.run()
    inside = np.zeros_like(allowed)
    inside[2:9, 1:10, 2:12] = True
    assert np.array_equal(a_script.mask_kji(), everything & allowed & inside)
    for _ in range(3):
        a_script.do("undo")
    assert not a_script.mask_kji().any()
    for one, mask in zip(ids[:2], masks, strict=True):
        assert np.array_equal(a_script.mask_kji(one), mask)
