"""What sessions promise at their edges: odd prompts, odd voxels, odd moments."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from phantoms import moving_ball
from tiny_engine import backend_for

from medsam2.core.backend import (
    Backend,
    CancelToken,
    Direction,
    Origin,
    Session,
    SessionOptions,
    SliceResult,
)
from medsam2.core.errors import (
    CancelledError,
    EmptyRangeError,
    InputError,
    NoPromptError,
    OutsideVolumeError,
    SessionClosedError,
    UnsupportedPromptError,
)
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    ObjectPrompts,
    PointPrompt,
    RoiBox,
    box_3d,
    mask_on_slice,
)
from medsam2.core.volume import Volume

VOLUME, BALL_KJI = moving_ball((8, 33, 41), seed=3)
BOX = ObjectPrompts((BoxPrompt(3, (9, 12, 24, 30)),), name="ball")
MOVED = ObjectPrompts((BoxPrompt(5, (4, 8, 20, 26)),), name="moved")
BOX_RC = (9, 12, 24, 30)
NARROW = ObjectPrompts(BOX.prompts, slice_range=(2, 4), name="narrow")
ALL = SessionOptions(stop_after_empty=0)

Seen = dict[tuple[int, int], tuple[object, ...]]


@pytest.fixture
def a_session(a_backend):
    with a_backend.open(VOLUME, ALL) as session:
        yield session


def seen(results) -> Seen:
    """Everything that a result says, by object and slice; nothing may come twice."""
    listed = list(results)
    made = {(r.object_id, r.index): facts(r) for r in listed}
    assert len(made) == len(listed)
    return made


def facts(result: SliceResult) -> tuple[object, ...]:
    mask_rc = result.mask_rc
    return mask_rc.bits.tobytes(), mask_rc.shape_rc, result.score, result.origin


def kept(session: Session, object_id: int) -> Seen:
    return seen(session.results(object_id).values())


def fresh(backend: Backend, objects: dict[int, ObjectPrompts], volume=VOLUME, options=ALL) -> Seen:
    """The masks of a session that has heard of nothing else."""
    with backend.open(volume, options) as session:
        for object_id, prompts in objects.items():
            session.put(object_id, prompts)
        return seen(session.propagate())


# What was put


def test_changed_prompts_give_the_masks_of_a_session_that_knew_no_others(a_backend, a_session):
    a_session.put(1, BOX)
    before = seen(a_session.propagate())
    a_session.put(1, MOVED)
    after = seen(a_session.propagate())
    assert after == fresh(a_backend, {1: MOVED})
    assert after != before


def test_results_stay_until_their_slices_are_made_again(a_session):
    a_session.put(1, BOX)
    before = seen(a_session.propagate())
    a_session.put(1, MOVED)
    assert kept(a_session, 1) == before
    after = seen(a_session.propagate(direction=Direction.FORWARD))
    assert kept(a_session, 1) == before | after


def test_a_narrower_range_drops_the_slices_outside_it_once_it_is_propagated(a_session):
    a_session.put(1, BOX)
    list(a_session.propagate())
    a_session.put(1, NARROW)
    assert a_session.plan() == 3
    assert sorted(index for _, index in seen(a_session.propagate())) == [2, 3, 4]
    assert list(a_session.results(1)) == [2, 3, 4]
    assert not a_session.mask_kji(1)[[0, 1, 5, 6, 7]].any()


def test_a_refused_put_leaves_the_masks_too(a_session):
    a_session.put(1, BOX)
    before = seen(a_session.propagate())
    with pytest.raises(OutsideVolumeError):
        a_session.put(1, ObjectPrompts((BoxPrompt(8, (1, 1, 5, 5)),)))
    assert kept(a_session, 1) == before == seen(a_session.propagate())


def test_an_object_that_was_removed_begins_anew(a_backend, a_session):
    a_session.put(1, BOX)
    list(a_session.propagate())
    a_session.remove(1)
    a_session.put(1, MOVED)
    assert a_session.results(1) == {}
    assert seen(a_session.propagate()) == fresh(a_backend, {1: MOVED})


def test_numbers_of_numpy_are_numbers(a_backend):
    box_rc = tuple(np.array([9, 12, 24, 30]))
    point_rc = tuple(np.array([15, 20], dtype=np.float32))
    ours = ObjectPrompts(
        (BoxPrompt(np.int64(3), box_rc), PointPrompt(np.int64(5), point_rc, np.bool_(True))),
        slice_range=(np.int64(1), np.int64(6)),
    )
    plain = ObjectPrompts(
        (BoxPrompt(3, (9, 12, 24, 30)), PointPrompt(5, (15.0, 20.0))), slice_range=(1, 6)
    )
    assert fresh(a_backend, {1: ours}) == fresh(a_backend, {1: plain})


def test_corners_in_any_order_and_beyond_the_slice_are_the_box_within_it(a_backend):
    ours = ObjectPrompts((BoxPrompt(3, (24, 99, 9, 12)),))
    plain = ObjectPrompts((BoxPrompt(3, (9, 12, 24, 40)),))
    assert fresh(a_backend, {1: ours}) == fresh(a_backend, {1: plain})


@pytest.mark.parametrize("kind", ["noise", "nothing", "everything"])
def test_a_locked_slice_survives_every_later_propagation(a_session, kind):
    noise_rc = np.random.default_rng(5).random((33, 41)) > 0.4
    drawn_rc = {
        "noise": noise_rc,
        "nothing": np.zeros_like(noise_rc),
        "everything": np.ones_like(noise_rc),
    }[kind]
    lock = mask_on_slice(6, drawn_rc)
    for boxes in (BOX, MOVED):
        a_session.put(1, ObjectPrompts((*boxes.prompts, lock)))
        for direction in (Direction.BACKWARD, Direction.BOTH):
            list(a_session.propagate(direction=direction))
            result = a_session.results(1)[6]
            assert (result.mask_rc.unpack() == drawn_rc).all()
            assert (result.origin, result.score) == (Origin.LOCKED, 1.0)
    assert (a_session.predict(1, 6).mask_rc.unpack() == drawn_rc).all()


def test_of_two_masks_on_one_slice_the_last_is_locked(a_session):
    first, last = mask_on_slice(3, ~BALL_KJI[3]), mask_on_slice(3, BALL_KJI[3])
    a_session.put(1, ObjectPrompts((first, last)))
    list(a_session.propagate())
    assert (a_session.results(1)[3].mask_rc.unpack() == BALL_KJI[3]).all()


@pytest.mark.parametrize(
    ("prompts", "error"),
    [
        (ObjectPrompts(BOX.prompts, slice_range=(8, 9)), OutsideVolumeError),
        (ObjectPrompts(BOX.prompts, slice_range=(-3, -1)), OutsideVolumeError),
        (ObjectPrompts(roi=RoiBox(5, 2, (4, 4, 9, 9))), EmptyRangeError),
        (ObjectPrompts(roi=RoiBox(8, 9, (4, 4, 9, 9))), OutsideVolumeError),
        (ObjectPrompts(roi=RoiBox(2, 5, (40, 4, 49, 9))), OutsideVolumeError),
        (ObjectPrompts(roi=RoiBox(1, 2, (4, 4, 9, 9)), slice_range=(5, 6)), EmptyRangeError),
        (ObjectPrompts((BoxPrompt(-1, (1, 1, 5, 5)),)), OutsideVolumeError),
        (ObjectPrompts((PointPrompt(3, (float("nan"), 4.0)),)), OutsideVolumeError),
        (ObjectPrompts((PointPrompt(3, (-0.6, 4.0)),)), OutsideVolumeError),
        (ObjectPrompts((mask_on_slice(3, np.ones((41, 33), bool)),)), OutsideVolumeError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_does_not_fit_is_an_error_of_the_same_kind_everywhere(a_session, prompts, error):
    with pytest.raises(error):
        a_session.put(1, prompts)
    assert a_session.objects() == {}


def test_clicks_outside_alone_are_refused_and_change_nothing(a_session):
    a_session.put(1, BOX)
    before = seen(a_session.propagate())
    with pytest.raises(NoPromptError, match="spot has clicks outside"):
        a_session.put(1, ObjectPrompts((PointPrompt(3, (4.0, 4.0), positive=False),), name="spot"))
    assert a_session.objects() == {1: BOX}
    assert seen(a_session.propagate()) == before == kept(a_session, 1)


def test_a_kind_that_the_model_does_not_take_is_refused(a_box_backend):
    assert "point" not in a_box_backend.model.prompts
    with a_box_backend.open(VOLUME, ALL) as session:
        session.put(1, BOX)
        before = seen(session.propagate())
        with pytest.raises(UnsupportedPromptError):
            session.put(1, ObjectPrompts((*BOX.prompts, PointPrompt(3, (15.0, 20.0)))))
        assert session.objects() == {1: BOX}
        assert seen(session.propagate()) == before


def test_masks_of_a_chained_model_are_those_in_process(a_box_backend):
    lock = mask_on_slice(6, BALL_KJI[6])
    objects = {1: ObjectPrompts((*BOX.prompts, lock)), 2: ObjectPrompts(roi=RoiBox(1, 6, BOX_RC))}
    assert fresh(a_box_backend, objects) == fresh(backend_for("tiny-random-chain"), objects)


# Asking


def test_nothing_asked_is_nothing_made(a_session):
    assert list(a_session.propagate()) == []
    assert a_session.plan() == 0
    a_session.put(1, BOX)
    assert list(a_session.propagate([])) == []
    assert a_session.plan([]) == 0


@pytest.mark.parametrize("ids", [(7, 2), [2, 7], {2, 7}, frozenset({7, 2}), {7: 0, 2: 0}])
def test_objects_may_be_named_by_any_collection(a_session, ids):
    for object_id, prompts in ((2, BOX), (5, MOVED), (7, NARROW)):
        a_session.put(object_id, prompts)
    assert a_session.plan(ids) == 8 + 3
    assert {object_id for object_id, _ in seen(a_session.propagate(ids))} == {2, 7}
    assert a_session.results(5) == {}


def test_an_object_named_beside_an_unknown_one_is_not_made(a_session):
    a_session.put(1, BOX)
    with pytest.raises(NoPromptError, match="2"):
        list(a_session.propagate([1, 2]))
    assert a_session.results(1) == {}


def test_slices_come_outward_from_the_prompt(a_session):
    a_session.put(1, BOX)
    away = [abs(r.index - 3) for r in a_session.propagate()]
    assert away == sorted(away)


def test_the_order_of_directions_does_not_matter(a_backend):
    made = []
    for directions in (
        [Direction.FORWARD, Direction.BACKWARD],
        [Direction.BACKWARD, Direction.FORWARD],
        [Direction.BOTH],
    ):
        with a_backend.open(VOLUME, ALL) as session:
            session.put(1, BOX)
            for direction in directions:
                list(session.propagate(direction=direction))
            made.append(kept(session, 1))
    assert made[0] == made[1] == made[2]


def test_predictions_change_no_result(a_backend, a_session):
    a_session.put(1, BOX)
    previews = [a_session.predict(1, index) for index in (0, 3, 7)]
    assert [p.index for p in previews] == [0, 3, 7]
    assert a_session.results(1) == {}
    results = seen(a_session.propagate())
    assert results == fresh(a_backend, {1: BOX})
    assert facts(previews[1]) == results[1, 3]


# Moments


def test_a_token_that_is_set_already_lets_nothing_be_made(a_session):
    a_session.put(1, BOX)
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        list(a_session.propagate(cancel=token))
    assert a_session.results(1) == {}


def test_a_token_may_be_set_by_another_thread(a_backend, a_session):
    a_session.put(1, BOX)
    token = CancelToken()
    results = a_session.propagate(cancel=token)
    first = next(results)
    thread = threading.Thread(target=token.cancel)
    thread.start()
    thread.join()
    rest: list[SliceResult] = []
    with pytest.raises(CancelledError):
        rest.extend(results)
    assert len(rest) <= 1
    assert set(a_session.results(1)) >= {first.index}
    assert seen(a_session.propagate()) == fresh(a_backend, {1: BOX})


def test_a_session_may_move_from_thread_to_thread(a_backend, a_session):
    made: list[Seen] = []

    def work() -> None:
        a_session.put(1, BOX)
        made.append(seen(a_session.propagate()))

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert made == [fresh(a_backend, {1: BOX})] * 2


def test_only_what_was_handed_out_counts_as_streamed(a_session):
    a_session.put(1, BOX)
    results = a_session.propagate()
    taken = [next(results) for _ in range(3)]
    assert kept(a_session, 1) == seen(taken)
    results.close()
    assert kept(a_session, 1) == seen(taken)


def test_a_propagation_that_waits_goes_on_with_the_prompts_it_began_with(a_backend, a_session):
    a_session.put(1, BOX)
    results = a_session.propagate()
    first = next(results)
    a_session.put(1, MOVED)
    assert seen([first, *results]) == fresh(a_backend, {1: BOX})
    assert seen(a_session.propagate()) == fresh(a_backend, {1: MOVED})


def test_propagations_of_two_sessions_may_take_turns(a_backend):
    with a_backend.open(VOLUME, ALL) as one, a_backend.open(VOLUME, ALL) as other:
        one.put(1, BOX)
        other.put(1, MOVED)
        pairs = list(zip(one.propagate(), other.propagate(), strict=True))
    assert seen(ours for ours, _ in pairs) == fresh(a_backend, {1: BOX})
    assert seen(theirs for _, theirs in pairs) == fresh(a_backend, {1: MOVED})


def test_closing_one_session_leaves_the_other_alone(a_backend):
    with a_backend.open(VOLUME, ALL) as other:
        other.put(1, BOX)
        with a_backend.open(VOLUME, ALL) as one:
            one.put(1, MOVED)
            list(one.propagate())
        assert seen(other.propagate()) == fresh(a_backend, {1: BOX})


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.plan([1]),
        lambda session: session.results(1),
        lambda session: session.mask_kji(1),
        lambda session: list(session.propagate([1])),
    ],
    ids=["plan", "results", "mask", "propagate"],
)
def test_a_block_closes_its_session_for_every_use(a_backend, use):
    with pytest.raises(ZeroDivisionError), a_backend.open(VOLUME, ALL) as session:
        session.put(1, BOX)
        raise ZeroDivisionError
    with pytest.raises(SessionClosedError):
        use(session)


# Volumes


def voxels(name: str) -> np.ndarray:
    whole = VOLUME.voxels_kji
    turned = np.ascontiguousarray(whole.transpose(2, 0, 1))
    readonly = whole.copy()
    readonly.setflags(write=False)
    return {
        "uint8": whole,
        "float16": whole.astype(np.float16),
        "big-endian float64": whole.astype(">f8") / 7,
        "uint32": whole.astype(np.uint32) * 90_000_000 // 10,
        "uint64": whole.astype(np.uint64) * 10**15,
        "negative": whole.astype(np.int16) - 30_000,
        "not contiguous": turned.transpose(1, 2, 0),
        "reversed": whole[::-1, :, ::-1][::-1, :, ::-1],
        "read-only": readonly,
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "uint8", "float16", "big-endian float64", "uint32", "uint64", "negative",
        "not contiguous", "reversed", "read-only",
    ],
)  # fmt: skip
def test_masks_do_not_depend_on_how_voxels_are_stored(a_backend, in_process, name):
    stored = voxels(name)
    before = stored.copy()
    volume = Volume(stored, np.diag([0.8, 0.8, 2.0, 1.0]))
    options = SessionOptions(window="full", stop_after_empty=0)
    prompts = {1: NARROW}
    made = fresh(a_backend, prompts, volume, options)
    assert made == fresh(in_process, prompts, volume, options)
    assert any(np.frombuffer(bits, np.uint8).any() for bits, *_ in made.values())
    assert (stored == before).all()


TURNED = {
    "left-handed": (SliceAxis.I, np.diag([-0.7, 0.7, 3.0, 1.0])),
    "upside down": (SliceAxis.J, np.diag([0.7, 0.7, -3.0, 1.0])),
    "sagittal": (
        SliceAxis.K,
        np.array([[0, 0, 3.0, 9], [0.6, 0, 0, 1], [0, -0.9, 0, 2], [0, 0, 0, 1]]),
    ),
}


@pytest.mark.parametrize("name", TURNED)
def test_masks_are_those_in_process_in_every_orientation(a_backend, in_process, name):
    axis, affine_ijk_to_ras = TURNED[name]
    volume = Volume(VOLUME.voxels_kji, affine_ijk_to_ras)
    options = SessionOptions(axis, stop_after_empty=0)
    middle = volume.count(axis) // 2
    roi = box_3d((11, 8, 2, 31, 25, 5), volume, axis)
    prompts = {1: ObjectPrompts(roi=roi, slice_range=(middle - 1, middle + 1))}
    assert fresh(a_backend, prompts, volume, options) == fresh(in_process, prompts, volume, options)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", ""])
def test_a_window_is_what_it_is_in_process(a_backend, in_process, modality):
    hounsfield = VOLUME.voxels_kji.astype(np.int16) * 8 - 1000
    volume = Volume(hounsfield, np.eye(4), modality)
    for window in ("auto", "percentile", "full", "pet", "bone", "-40.5:190"):
        options = SessionOptions(window=window)
        with a_backend.open(volume, options) as ours, in_process.open(volume, options) as theirs:
            assert ours.window == theirs.window


def test_a_window_that_is_none_is_an_input_error(a_backend):
    for window in ("mammography", "90:10", "1:2:3"):
        with pytest.raises(InputError):
            a_backend.open(VOLUME, SessionOptions(window=window))
    flat = Volume(np.full((3, 9, 9), 7, np.int16), np.eye(4))
    with pytest.raises(InputError, match="constant"):
        a_backend.open(flat, SessionOptions(window="percentile"))


@pytest.mark.parametrize("shape_kji", [(1, 20, 24), (5, 1, 24), (5, 20, 1), (1, 1, 1)])
def test_a_volume_may_be_flat_or_a_single_voxel(a_backend, in_process, shape_kji):
    grey = np.random.default_rng(2).integers(0, 255, shape_kji, dtype=np.uint8)
    volume = Volume(grey, np.eye(4))
    rows, columns = shape_kji[1:]
    prompts = {1: ObjectPrompts((BoxPrompt(0, (0, 0, rows - 1, columns - 1)),))}
    assert fresh(a_backend, prompts, volume) == fresh(in_process, prompts, volume)


@pytest.mark.parametrize("stop_after_empty", [1, 3])
@pytest.mark.parametrize("crop", [True, False])
def test_options_reach_the_model(a_backend, in_process, stop_after_empty, crop):
    options = SessionOptions(crop=crop, stop_after_empty=stop_after_empty)
    prompts = {
        1: ObjectPrompts(roi=RoiBox(1, 6, (12, 16, 19, 23))),
        2: ObjectPrompts((LinePrompt(3, ((16.0, 14.0), (16.5, 26.25))),)),
    }
    made = fresh(a_backend, prompts, VOLUME, options)
    assert made == fresh(in_process, prompts, VOLUME, options)
