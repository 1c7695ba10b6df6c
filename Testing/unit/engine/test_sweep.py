from __future__ import annotations

import pytest
import torch
from phantoms import moving_ball
from tiny_engine import tiny_session

from medsam2.core.backend import CancelToken
from medsam2.core.errors import OutOfMemoryError
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.engine.sweep import blend
from medsam2.engine.tracker import Estimate

PROMPTS = ObjectPrompts((BoxPrompt(6, (20, 20, 44, 44)),))


def test_blending_weighs_by_distance_and_an_absent_object_does_not_drown_the_other_end():
    below = Estimate(torch.full((2, 2), 4.0), 0.8, True)
    above = Estimate(torch.full((2, 2), -1024.0), 0.2, False)
    near_below = blend(below, above, 0.25)
    assert (near_below.logits > 0).all()
    assert near_below.score == pytest.approx(0.65)
    assert (blend(below, above, 0.75).logits < 0).all()


def test_a_full_device_is_retried_with_less_and_gives_the_same_masks():
    volume, _ = moving_ball()
    with tiny_session(volume) as session:
        session.put(1, PROMPTS)
        expected = [r.mask_rc.bits.tobytes() for r in session.propagate()]
    session = tiny_session(volume)
    tracker, failures = session._tracker, [3, 7]
    step = tracker.step

    def fails_at_times(runs, index, ahead):
        if index in failures:
            failures.remove(index)
            raise torch.OutOfMemoryError("pretended")
        return step(runs, index, ahead)

    tracker.step = fails_at_times
    session.put(1, PROMPTS)
    assert [r.mask_rc.bits.tobytes() for r in session.propagate()] == expected
    assert failures == []


def test_a_step_that_fails_half_way_can_be_taken_again():
    volume, _ = moving_ball()
    other = ObjectPrompts((BoxPrompt(6, (4, 30, 30, 60)),))
    with tiny_session(volume) as session:
        session.put(1, PROMPTS)
        session.put(2, other)
        expected = [r.mask_rc.bits.tobytes() for r in session.propagate()]
    session = tiny_session(volume)
    model, calls = session._tracker._model, []
    remember = model.remember

    def fails_once(index, *rest, **options):
        calls.append(index)
        if len(calls) == 6:
            raise RuntimeError("CUDA out of memory (pretended)")
        return remember(index, *rest, **options)

    model.remember = fails_once
    session.put(1, PROMPTS)
    session.put(2, other)
    assert [r.mask_rc.bits.tobytes() for r in session.propagate()] == expected
    assert len(calls) > 6


def test_a_device_that_stays_full_is_a_clear_error_and_keeps_what_was_made():
    volume, _ = moving_ball()
    session = tiny_session(volume)
    tracker = session._tracker
    step = tracker.step

    def fails_from_nine(runs, index, ahead):
        if index >= 9:
            raise torch.OutOfMemoryError("pretended")
        return step(runs, index, ahead)

    tracker.step = fails_from_nine
    session.put(1, PROMPTS)
    with pytest.raises(OutOfMemoryError, match="smaller model"):
        list(session.propagate(cancel=CancelToken()))
    assert {6, 7, 8} <= set(session.results(1))
