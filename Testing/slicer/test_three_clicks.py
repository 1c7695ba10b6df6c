"""A box of two clicks, Segment: the mask is there. And what a user does next."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
import standin
from fake_backend import FakeBackend


def test_three_clicks_segment_a_structure(a_user):
    a_user.press("drawBox")
    a_user.click(12, (8, 10), (32, 38))
    a_user.run()
    masks = a_user.masks()
    assert masks[12].sum() > 100
    assert not masks[0].any()
    assert a_user.ui.statusLabel.text.endswith(" s.")


def test_the_masks_are_those_that_the_engine_gives_for_the_same_box(a_user):
    from medsam2.core.prompts import ObjectPrompts, RoiBox

    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.run()
    volume = a_user.workspace.volume.snapshotLater()()
    with FakeBackend().open(volume) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(8, 16, (8, 10, 32, 38))))
        wanted = {result.index: result.mask_rc.unpack() for result in session.propagate()}
    masks = a_user.masks()
    assert sorted(index for index, mask in masks.items() if mask.any()) == sorted(
        index for index, mask in wanted.items() if mask.any()
    )
    assert all(np.array_equal(masks[index], mask) for index, mask in wanted.items())


def test_a_painted_slice_is_kept_and_informs_the_next_run(a_user):
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.run()
    drawn = np.zeros_like(a_user.masks()[12])
    drawn[2:5, 3:9] = True
    a_user.paint(12, drawn)
    assert a_user.workspace.locked(a_user.segment_id) == {12}
    a_user.run("both")
    assert np.array_equal(a_user.masks()[12], drawn)
    assert "yours kept" in a_user.ui.statusLabel.text


def test_one_undo_takes_back_a_run_and_another_one_the_box(a_user):
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.run()
    made = a_user.masks()
    a_user.press("undo")
    a_user.settle()
    assert not any(mask.any() for mask in a_user.masks().values())
    assert a_user.workspace.prompts.roi(a_user.segment_id) is not None
    for _ in range(3):
        if a_user.logic.history.undoLabel:
            a_user.press("undo")
            a_user.settle()
    assert a_user.workspace.prompts.nodes() == []
    while a_user.logic.history.redoLabel:
        a_user.press("redo")
        a_user.settle()
    assert all(np.array_equal(mask, made[index]) for index, mask in a_user.masks().items())


def test_twenty_steps_can_be_undone_and_done_again(a_user):
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.run()
    states = [a_user.masks()]
    for step in range(20):
        mask = states[-1][12].copy()
        mask[step, step] = ~mask[step, step]
        a_user.paint(12, mask)
        states.append(a_user.masks())
    for state in reversed(states[:-1]):
        a_user.press("undo")
        a_user.settle()
        assert np.array_equal(a_user.masks()[12], state[12])
    for state in states[1:]:
        a_user.press("redo")
        a_user.settle()
        assert np.array_equal(a_user.masks()[12], state[12])


def test_segments_beside_it_stay_as_they_are_byte_for_byte(a_user):
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    first = a_user.segment_id
    a_user.run()
    before = a_user.masks(first)
    a_user.press("addSegment")
    assert a_user.segment_id != first
    a_user.draw_box(12, (6, 8, 30, 36), (6, 18))
    a_user.run()
    assert sum(mask.sum() for mask in a_user.masks().values()) > 0
    assert all(np.array_equal(mask, before[index]) for index, mask in a_user.masks(first).items())


def test_a_run_that_is_cancelled_keeps_its_slices_and_is_one_step(a_user):
    slow = FakeBackend(on_slice=lambda _index: time.sleep(0.05))
    a_user.logic.compute = type(a_user.logic.compute)(lambda: slow)
    a_user.draw_box(12, (8, 10, 32, 38), (4, 20))
    a_user.press("segment")
    run = a_user.logic.run
    assert standin.pump(10, until=lambda: run.progress.done >= 3)
    a_user.press("cancel")
    standin.pump(10, until=lambda: a_user.logic.run is None)
    made = [index for index, mask in a_user.masks().items() if mask.any()]
    assert 3 <= len(made) < 17
    a_user.press("undo")
    a_user.settle()
    assert not any(mask.any() for mask in a_user.masks().values())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no usleep")
def test_a_run_goes_on_while_the_event_loop_keeps_pythons_lock(a_user, monkeypatch):
    def work(_index):
        for _ in range(30):
            time.sleep(0.0002)  # lets go of the lock and takes it again, as torch does

    keep = standin.clock.sleep_with_the_lock
    busy = FakeBackend(on_slice=work)
    a_user.logic.compute = type(a_user.logic.compute)(lambda: busy)
    a_user.draw_box(12, (8, 10, 32, 38), (4, 20))
    monkeypatch.setattr(standin.clock, "wait", lambda _seconds: keep(0.02))
    begun = time.monotonic()
    a_user.press("segment")
    assert standin.pump(30, until=lambda: a_user.logic.run is None)
    assert time.monotonic() - begun < 5  # 17 * 30 waits for the main thread take 10 s
