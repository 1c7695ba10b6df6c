from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
from phantoms import moving_ball
from tiny_engine import tiny_model, tiny_session

from medsam2.core.backend import CancelToken, Direction, Origin, SessionOptions, SliceResult
from medsam2.core.errors import CancelledError, NoPromptError, SessionClosedError
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    ObjectPrompts,
    PointPrompt,
    RoiBox,
    mask_on_slice,
)
from medsam2.engine.features import FeatureCache

BOX = BoxPrompt(6, (20, 20, 44, 44))
OTHER_BOX = BoxPrompt(3, (5, 30, 30, 60))


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def volume():
    return moving_ball()[0]


def masks(results: Iterable[SliceResult]) -> dict[tuple[int, int], bytes]:
    return {(r.object_id, r.index): r.mask_rc.bits.tobytes() for r in results}


def drawn(seed: int) -> np.ndarray:
    """A user's mask with ragged edges that no model would give."""
    rng = np.random.default_rng(seed)
    mask_rc = np.zeros((64, 64), bool)
    mask_rc[18:40, 22:47] = rng.random((22, 25)) > 0.3
    return mask_rc


def test_every_slice_of_the_range_is_yielded_exactly_once(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        indices = [r.index for r in session.propagate()]
    assert sorted(indices) == list(range(12))


def test_masks_stream_outward_from_the_prompt_in_both_directions_in_turn(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        indices = [r.index for r in session.propagate()]
    assert indices[:7] == [6, 7, 5, 8, 4, 9, 3]


def test_one_direction_leaves_the_other_side_alone(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        forward = [r.index for r in session.propagate(direction=Direction.FORWARD)]
        backward = [r.index for r in session.propagate(direction=Direction.BACKWARD)]
    assert forward == [6, 7, 8, 9, 10, 11]
    assert backward == [6, 5, 4, 3, 2, 1, 0]


def test_the_order_of_directions_does_not_matter(volume, model):
    def run(*directions: Direction) -> dict[tuple[int, int], bytes]:
        with tiny_session(volume, model=model) as session:
            session.put(1, ObjectPrompts((BOX,)))
            for direction in directions:
                list(session.propagate(direction=direction))
            return masks(session.results(1).values())

    forward_first = run(Direction.FORWARD, Direction.BACKWARD)
    assert forward_first == run(Direction.BACKWARD, Direction.FORWARD) == run(Direction.BOTH)


@pytest.mark.parametrize("locked", [[8], [2, 8], [0, 3, 4, 9, 11]])
def test_corrected_slices_are_kept_bit_for_bit_and_change_their_neighbours(volume, model, locked):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        before = masks(session.propagate())
        edits = {index: drawn(index) for index in locked}
        corrections = tuple(mask_on_slice(index, mask_rc) for index, mask_rc in edits.items())
        session.put(1, ObjectPrompts((BOX, *corrections)))
        after = {r.index: r for r in session.propagate()}
    for index, mask_rc in edits.items():
        assert after[index].origin is Origin.LOCKED
        np.testing.assert_array_equal(after[index].mask_rc.unpack(), mask_rc)
    neighbour = locked[-1] - 1
    assert after[neighbour].mask_rc.bits.tobytes() != before[1, neighbour]


def test_a_correction_changes_only_what_depends_on_it(volume, model):
    cache = FeatureCache(64 << 20)
    locks = tuple(mask_on_slice(i, drawn(i)) for i in (0, 2, 4, 6, 8, 10))
    with tiny_session(volume, model=model, cache=cache) as session:
        session.put(1, ObjectPrompts(locks))
        before = masks(session.propagate())
        changed = (*locks[:-1], mask_on_slice(10, drawn(99)))
        session.put(1, ObjectPrompts(changed))
        after = masks(session.propagate())
    same = {index for (_, index), bits in after.items() if bits == before[1, index]}
    assert {0, 1, 2, 4, 6, 8} <= same
    assert 10 not in same
    assert {9, 11} - same


def test_slices_between_two_locks_are_blended_from_both(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((mask_on_slice(2, drawn(1)), mask_on_slice(7, drawn(2)))))
        origins = {r.index: r.origin for r in session.propagate()}
    assert all(origins[i] is Origin.BLENDED for i in range(3, 7))
    assert all(origins[i] is Origin.TRACKED for i in (0, 1, 8, 9, 10, 11))


def test_repeating_a_propagation_gives_the_same_masks_without_encoding(volume, model):
    cache = FeatureCache(64 << 20)
    with tiny_session(volume, model=model, cache=cache) as session:
        session.put(1, ObjectPrompts((BOX,)))
        first = masks(session.propagate())
        encoded = cache.encoded
        session.put(1, ObjectPrompts((BOX,)))
        assert masks(session.propagate()) == first
        session.put(2, ObjectPrompts((OTHER_BOX,)))
        list(session.propagate([2]))
    assert encoded == 12
    assert cache.encoded == encoded


def test_masks_are_the_same_with_a_cache_that_holds_one_slice(volume, model):
    with tiny_session(volume, model=model, cache=FeatureCache(1)) as session:
        session.put(1, ObjectPrompts((BOX,)))
        starved = masks(session.propagate())
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        assert masks(session.propagate()) == starved


def test_objects_do_not_change_each_other(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        alone = masks(session.propagate())
    with tiny_session(volume, model=model) as session:
        session.put(2, ObjectPrompts((OTHER_BOX,), slice_range=(1, 9)))
        session.put(1, ObjectPrompts((BOX,)))
        together = masks(session.propagate())
    assert {key: bits for key, bits in together.items() if key[0] == 1} == alone
    assert {index for n, index in together if n == 2} == set(range(1, 10))


@pytest.mark.parametrize("after", [0, 1, 4, 11])
def test_cancelling_leaves_exactly_the_streamed_slices(volume, model, after):
    token = CancelToken()
    streamed = []
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        if after == 0:
            token.cancel()
        with pytest.raises(CancelledError):
            for result in session.propagate(cancel=token):
                streamed.append(result)
                if len(streamed) == after:
                    token.cancel()
        assert len(streamed) == after
        assert masks(session.results(1).values()) == masks(streamed)
        whole = masks(session.propagate())
    assert whole.items() >= masks(streamed).items()


def test_a_roi_alone_fills_its_slices_and_nothing_else(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(3, 8, (20, 20, 44, 44))))
        indices = sorted(r.index for r in session.propagate())
    assert indices == list(range(3, 9))


def test_a_diameter_line_segments_as_far_as_its_ball_reaches(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((LinePrompt(6, ((32, 27), (32, 37))),)))
        indices = sorted(r.index for r in session.propagate())
    assert indices == [4, 5, 6, 7, 8]


def test_clicks_on_another_slice_refine_what_the_box_made_of_it(volume, model):
    clicks = (PointPrompt(8, (30.0, 30.0)), PointPrompt(8, (50.0, 12.0), positive=False))
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        before = masks(session.propagate())
        session.put(1, ObjectPrompts((BOX, *clicks)))
        after = {r.index: r for r in session.propagate()}
    assert after[8].origin is Origin.PROMPTED
    assert after[8].mask_rc.bits.tobytes() != before[1, 8]


def test_the_preview_of_a_prompted_slice_is_what_propagation_gives_it(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX, PointPrompt(8, (30.0, 30.0)))))
        previews = [session.predict(1, index) for index in (6, 8)]
        results = {r.index: r for r in session.propagate()}
        unprompted = session.predict(1, 2)
    assert masks(previews) == masks([results[6], results[8]])
    assert unprompted.index == 2


def test_masks_are_put_back_into_the_volume_along_each_axis(model):
    volume, _ = moving_ball((24, 28, 32))
    for axis in SliceAxis:
        with tiny_session(volume, SessionOptions(axis, stop_after_empty=0), model=model) as session:
            session.put(1, ObjectPrompts((BoxPrompt(5, (4, 4, 20, 20)),), slice_range=(4, 6)))
            results = {r.index: r.mask_rc.unpack() for r in session.propagate()}
            slices_first = np.moveaxis(session.mask_kji(1), axis.value, 0)
        for index in range(volume.count(axis)):
            np.testing.assert_array_equal(slices_first[index], results.get(index, False))


def test_a_narrower_range_drops_what_lies_outside(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        list(session.propagate())
        session.put(1, ObjectPrompts((BOX,), slice_range=(5, 8)))
        assert session.plan() == 4
        list(session.propagate())
        assert list(session.results(1)) == [5, 6, 7, 8]


def test_a_prompt_outside_the_range_is_an_error_and_changes_nothing(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts((BOX,)))
        with pytest.raises(NoPromptError, match="widen the range"):
            session.put(1, ObjectPrompts((BOX,), slice_range=(0, 3)))
        assert session.objects()[1] == ObjectPrompts((BOX,))


def test_clicks_outside_alone_are_an_error_that_says_what_to_add(volume, model):
    with (
        tiny_session(volume, model=model) as session,
        pytest.raises(NoPromptError, match="add one inside"),
    ):
        session.put(1, ObjectPrompts((PointPrompt(3, (4.0, 4.0), positive=False),)))


def test_a_removed_object_is_gone_and_a_closed_session_says_so(volume, model):
    session = tiny_session(volume, model=model)
    session.put(1, ObjectPrompts((BOX,)))
    session.remove(1)
    with pytest.raises(NoPromptError):
        session.results(1)
    session.close()
    session.close()
    with pytest.raises(SessionClosedError):
        session.put(1, ObjectPrompts((BOX,)))


def test_putting_the_held_prompts_into_a_new_session_restores_the_masks(volume, model):
    prompts = ObjectPrompts((BOX, mask_on_slice(9, drawn(5)), PointPrompt(2, (30.0, 30.0))))
    with tiny_session(volume, model=model) as session:
        session.put(4, prompts)
        first = masks(session.propagate())
        held = session.objects()
    with tiny_session(volume, model=model) as session:
        for object_id, saved in held.items():
            session.put(object_id, dataclasses.replace(saved))
        assert masks(session.propagate()) == first


def test_an_object_that_has_gone_ends_the_search_with_empty_slices(volume, model):
    options = SessionOptions(stop_after_empty=2)
    session = tiny_session(volume, options, model=model)
    tracker = session._tracker
    steps: list[int] = []
    step = tracker.step

    def lose(runs, index, ahead):
        steps.append(index)
        return [
            dataclasses.replace(
                e, present=e.present and index <= 8, logits=e.logits.abs() * (8.5 - index)
            )
            for e in step(runs, index, ahead)
        ]

    tracker.step = lose  # type: ignore[method-assign]
    session.put(1, ObjectPrompts((BOX,)))
    results = {r.index: r for r in session.propagate(direction=Direction.FORWARD)}
    assert steps == [7, 8, 9, 10]
    assert sorted(results) == list(range(6, 12))
    assert not results[11].mask_rc.unpack().any()


def test_nothing_outside_a_roi_is_segmented(volume, model):
    with tiny_session(volume, model=model) as session:
        session.put(1, ObjectPrompts(roi=RoiBox(3, 8, (20, 22, 44, 40))))
        list(session.propagate())
        mask_kji = session.mask_kji(1)
    assert mask_kji.any()
    mask_kji[3:9, 20:45, 22:41] = False
    assert not mask_kji.any()
