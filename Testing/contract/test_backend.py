"""What every backend and every session promises; see :mod:`medsam2.core.backend`."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import moving_ball

from medsam2.core.backend import CancelToken, Direction, Origin, SessionOptions
from medsam2.core.errors import (
    CancelledError,
    EmptyRangeError,
    NoPromptError,
    OutsideVolumeError,
    PromptError,
    SessionClosedError,
)
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    ObjectPrompts,
    PointPrompt,
    RoiBox,
    mask_on_slice,
)
from medsam2.core.volume import Volume

VOLUME, BALL_KJI = moving_ball((10, 48, 48))
BOX = ObjectPrompts((BoxPrompt(4, (14, 14, 34, 34)),), name="ball")
ROI = ObjectPrompts(roi=RoiBox(2, 7, (12, 12, 36, 36)), name="roi")
ALL = SessionOptions(stop_after_empty=0)


@pytest.fixture
def a_session(a_backend):
    with a_backend.open(VOLUME, ALL) as session:
        yield session


def same(ours, theirs) -> bool:
    return (
        (ours.object_id, ours.index, ours.score, ours.origin)
        == (theirs.object_id, theirs.index, theirs.score, theirs.origin)
        and ours.mask_rc.shape_rc == theirs.mask_rc.shape_rc
        and bool((ours.mask_rc.bits == theirs.mask_rc.bits).all())
    )


def test_a_propagation_yields_every_slice_of_the_range_once(a_session):
    a_session.put(1, ROI)
    results = list(a_session.propagate())
    assert sorted(r.index for r in results) == [2, 3, 4, 5, 6, 7]
    assert {r.object_id for r in results} == {1}
    assert all(0 <= r.score <= 1 for r in results)
    assert all(r.mask_rc.shape_rc == (48, 48) for r in results)


def test_the_plan_is_never_less_than_what_comes(a_session):
    a_session.put(1, ROI)
    a_session.put(2, BOX)
    assert a_session.plan() == 6 + 10
    assert a_session.plan([1]) == 6
    assert len(list(a_session.propagate())) == 16


def test_what_was_streamed_is_kept(a_session):
    a_session.put(1, ROI)
    results = {r.index: r for r in a_session.propagate()}
    kept = a_session.results(1)
    assert list(kept) == sorted(results)
    assert all(same(kept[index], results[index]) for index in results)
    mask_kji = a_session.mask_kji(1)
    assert mask_kji.shape == VOLUME.shape_kji
    assert not mask_kji[[0, 1, 8, 9]].any()
    assert (mask_kji[4] == results[4].mask_rc.unpack()).all()


def test_a_second_propagation_with_the_same_prompts_gives_the_same(a_session):
    a_session.put(1, ROI)
    first = {r.index: r for r in a_session.propagate()}
    a_session.put(1, ROI)
    second = {r.index: r for r in a_session.propagate()}
    assert all(same(first[index], second[index]) for index in first)


def test_a_locked_slice_is_kept_bit_for_bit(a_session):
    drawn_rc = np.random.default_rng(1).random((48, 48)) > 0.7
    a_session.put(1, ObjectPrompts((BoxPrompt(2, (14, 14, 34, 34)), mask_on_slice(6, drawn_rc))))
    results = {r.index: r for r in a_session.propagate()}
    assert (results[6].mask_rc.unpack() == drawn_rc).all()
    assert (results[6].origin, results[6].score) == (Origin.LOCKED, 1.0)


def test_a_prediction_is_for_the_slice_asked(a_session):
    a_session.put(1, BOX)
    result = a_session.predict(1, 4)
    assert (result.object_id, result.index, result.origin) == (1, 4, Origin.PROMPTED)
    assert a_session.results(1) == {}


@pytest.mark.parametrize(
    ("direction", "indices"),
    [
        (Direction.FORWARD, range(4, 10)),
        (Direction.BACKWARD, range(5)),
        (Direction.BOTH, range(10)),
    ],
)
def test_a_direction_is_kept_to(a_session, direction, indices):
    a_session.put(1, BOX)
    found = sorted(r.index for r in a_session.propagate(direction=direction))
    assert found == list(indices)


def test_objects_are_independent(a_session):
    a_session.put(1, BOX)
    alone = {r.index: r for r in a_session.propagate()}
    a_session.put(2, ROI)
    together = {r.index: r for r in a_session.propagate() if r.object_id == 1}
    assert all(same(alone[index], together[index]) for index in alone)
    assert {r.object_id for r in a_session.propagate([2])} == {2}


def test_objects_are_told_as_they_were_put(a_session):
    a_session.put(3, BOX)
    a_session.put(1, ROI)
    assert a_session.objects() == {3: BOX, 1: ROI}
    a_session.remove(3)
    a_session.remove(99)
    assert a_session.objects() == {1: ROI}
    with pytest.raises(NoPromptError):
        a_session.predict(3, 4)
    with pytest.raises(NoPromptError):
        a_session.results(3)


def test_the_window_is_resolved_alike(a_backend):
    for wanted in ("auto", "percentile", "lung", "10:200", Window(5, 90, "mine")):
        with a_backend.open(VOLUME, SessionOptions(window=wanted)) as session:
            assert session.window.high > session.window.low
            assert session.volume is VOLUME
            assert session.options.window == wanted
            if isinstance(wanted, Window):
                assert session.window == wanted


@pytest.mark.parametrize(
    ("prompts", "error"),
    [
        (ObjectPrompts(), NoPromptError),
        (ObjectPrompts((BoxPrompt(10, (1, 1, 5, 5)),)), OutsideVolumeError),
        (ObjectPrompts((BoxPrompt(4, (50, 50, 60, 60)),)), OutsideVolumeError),
        (ObjectPrompts((PointPrompt(4, (10.0, 48.0)),)), OutsideVolumeError),
        (ObjectPrompts((LinePrompt(4, ((1.0, 1.0), (1.0, 99.0))),)), OutsideVolumeError),
        (ObjectPrompts((mask_on_slice(4, np.ones((3, 3), bool)),)), OutsideVolumeError),
        (ObjectPrompts((BoxPrompt(4, (1, 1, 5, 5)),), slice_range=(7, 3)), EmptyRangeError),
    ],
    ids=["nothing", "slice", "box", "point", "line", "mask", "range"],
)
def test_prompts_that_do_not_fit_are_refused_and_change_nothing(a_session, prompts, error):
    a_session.put(1, BOX)
    with pytest.raises(error):
        a_session.put(1, prompts)
    assert a_session.objects() == {1: BOX}
    assert issubclass(error, PromptError)


def test_a_range_without_a_prompt_is_refused(a_session):
    with pytest.raises(NoPromptError, match="ball"):
        a_session.put(1, ObjectPrompts(BOX.prompts, slice_range=(6, 8), name="ball"))


def test_an_unknown_object_is_named(a_session):
    with pytest.raises(NoPromptError, match="7"):
        list(a_session.propagate([7]))
    with pytest.raises(NoPromptError, match="7"):
        a_session.plan([7])


def test_a_cancelled_propagation_stops_within_one_slice_and_keeps_what_came(a_session):
    a_session.put(1, BOX)
    token, seen = CancelToken(), []
    with pytest.raises(CancelledError):
        for result in a_session.propagate(cancel=token):
            seen.append(result.index)
            if len(seen) == 3:
                token.cancel()
    assert len(seen) <= 4
    assert sorted(a_session.results(1)) == sorted(seen)
    assert len(list(a_session.propagate())) == 10


def test_an_abandoned_propagation_does_no_harm(a_session):
    a_session.put(1, BOX)
    iterator = a_session.propagate()
    next(iterator)
    iterator.close()
    assert len(list(a_session.propagate())) == 10


def test_prompts_may_change_while_a_propagation_waits(a_session):
    a_session.put(1, BOX)
    iterator = a_session.propagate()
    next(iterator)
    a_session.put(1, ROI)
    a_session.put(2, BOX)
    list(iterator)
    after = {r.index: r for r in a_session.propagate([1])}
    assert sorted(after) == [2, 3, 4, 5, 6, 7]
    assert sorted(a_session.results(1)) == [2, 3, 4, 5, 6, 7]


def test_two_sessions_on_one_volume_do_not_see_each_other(a_backend):
    with a_backend.open(VOLUME, ALL) as one, a_backend.open(VOLUME, ALL) as other:
        one.put(1, BOX)
        assert other.objects() == {}
        other.put(1, ROI)
        assert len(list(one.propagate())) == 10
        assert len(list(other.propagate())) == 6


def test_a_closed_session_says_so(a_backend):
    session = a_backend.open(VOLUME, ALL)
    session.put(1, BOX)
    session.close()
    session.close()
    for action in (
        lambda: session.put(1, BOX),
        lambda: session.predict(1, 4),
        lambda: list(session.propagate()),
    ):
        with pytest.raises(SessionClosedError):
            action()


def test_the_model_is_told(a_backend, in_process):
    ours, theirs = a_backend.model, in_process.model
    assert (ours.name, ours.prompts) == (theirs.name, theirs.prompts)
    assert (ours.weights_sha256, ours.license) == (theirs.weights_sha256, theirs.license)


OBLIQUE = np.array(
    [[0.6, -0.8 * 0.9, 0, 5], [0.8, 0.6 * 0.9, 0, -7], [0, 0, -2.5, 3], [0, 0, 0, 1]], float
)
SCENES = {
    "box": (VOLUME, ALL, {1: BOX}),
    "roi and crop": (VOLUME, SessionOptions(), {1: ROI}),
    "several objects": (VOLUME, ALL, {1: BOX, 4: ROI}),
    "clicks": (
        VOLUME,
        ALL,
        {1: ObjectPrompts((PointPrompt(4, (24.0, 23.5)), PointPrompt(6, (3.0, 3.0), False)))},
    ),
    "line": (VOLUME, ALL, {1: ObjectPrompts((LinePrompt(4, ((24.0, 16.0), (24.0, 32.5))),))}),
    "locked slices": (
        VOLUME,
        ALL,
        {1: ObjectPrompts(tuple(mask_on_slice(k, BALL_KJI[k]) for k in (2, 7)))},
    ),
    "across j": (
        VOLUME,
        SessionOptions(SliceAxis.J, stop_after_empty=0),
        {1: ObjectPrompts((BoxPrompt(24, (1, 14, 8, 34)),), slice_range=(20, 28))},
    ),
    "across i": (
        VOLUME,
        SessionOptions(SliceAxis.I, stop_after_empty=0),
        {1: ObjectPrompts((BoxPrompt(24, (1, 14, 8, 34)),), slice_range=(20, 28))},
    ),
    "oblique": (Volume(VOLUME.voxels_kji, OBLIQUE), ALL, {1: BOX}),
    "window": (VOLUME, SessionOptions(window="70:190", stop_after_empty=0), {1: BOX}),
    "colour": (
        Volume(np.repeat(VOLUME.voxels_kji[..., None], 3, axis=3), np.eye(4)),
        ALL,
        {1: BOX},
    ),
    **{
        f"voxels of {name}": (
            Volume((VOLUME.voxels_kji.astype(np.float64) * scale).astype(name), np.eye(4)),
            SessionOptions(window="percentile", stop_after_empty=0),
            {1: ObjectPrompts(BOX.prompts, slice_range=(3, 6))},
        )
        for name, scale in (
            ("int8", 0.4),
            ("int16", 100.3),
            (">i2", 100.3),
            ("uint16", 200.7),
            ("int32", 90000.1),
            ("int64", 9e12),
            ("float32", 0.123),
            ("float64", 0.123),
        )
    },
}


@pytest.mark.parametrize("scene", SCENES)
def test_masks_are_those_of_the_engine_in_process(a_backend, in_process, scene):
    volume, options, objects = SCENES[scene]
    with a_backend.open(volume, options) as ours, in_process.open(volume, options) as theirs:
        for session in (ours, theirs):
            for object_id, prompts in objects.items():
                session.put(object_id, prompts)
        made = {(r.object_id, r.index): r for r in ours.propagate()}
        expected = {(r.object_id, r.index): r for r in theirs.propagate()}
        assert made.keys() == expected.keys()
        assert all(same(made[place], expected[place]) for place in made)
        assert any(r.mask_rc.bits.any() for r in expected.values())
        for object_id in objects:
            assert (ours.mask_kji(object_id) == theirs.mask_kji(object_id)).all()
            index = ours.objects()[object_id].prompted_indices() or [4]
            assert same(ours.predict(object_id, index[0]), theirs.predict(object_id, index[0]))
