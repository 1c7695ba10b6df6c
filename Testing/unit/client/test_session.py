from __future__ import annotations

import dataclasses
import gc
import threading
import time

import numpy as np
import pytest
from fake_backend import ALL_KINDS, FakeBackend

from medsam2.core.backend import Backend, CancelToken, Direction, SessionOptions, SliceResult
from medsam2.core.errors import (
    CancelledError,
    EmptyRangeError,
    InputError,
    NoPromptError,
    OutOfMemoryError,
    OutsideVolumeError,
    PromptError,
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
    mask_on_slice,
)
from medsam2.core.volume import Volume

from .scripted import CUT, refusal, wait_until

BOX = BoxPrompt(6, (20, 20, 44, 44))


def masks(results) -> list[tuple[int, int, bytes, float, str]]:
    return [
        (r.object_id, r.index, r.mask_rc.bits.tobytes(), r.score, r.origin.value) for r in results
    ]


def drawn() -> np.ndarray:
    return np.random.default_rng(3).random((64, 64)) > 0.5


MIXED = ObjectPrompts(
    (BOX, PointPrompt(4, (30.5, 31.25)), mask_on_slice(8, drawn())), slice_range=(2, 10)
)
OTHER = ObjectPrompts(roi=RoiBox(1, 9, (10, 12, 50, 52)), name="Other")
LINE = ObjectPrompts((LinePrompt(5, ((20.0, 30.0), (44.0, 30.0))),))


@pytest.fixture
def threads_left():
    """Says which threads a test has started and not ended."""
    before = set(threading.enumerate())

    def left() -> list[str]:
        started = set(threading.enumerate()) - before
        return [thread.name for thread in started if thread.name.startswith("medsam2")]

    return left


def test_the_model_is_the_servers(backend, script):
    assert isinstance(backend, Backend)
    assert backend.model == script.model


@pytest.mark.parametrize("axis", list(SliceAxis))
def test_masks_scores_and_order_are_those_of_a_session_in_this_process(backend, volume, axis):
    options = SessionOptions(axis, window="percentile")
    index = volume.count(axis) // 2
    prompts = ObjectPrompts((BoxPrompt(index, (1, 2, 9, 30)),))
    roi = ObjectPrompts(roi=RoiBox(index - 2, index + 3, (2, 2, 8, 40)), name="Other")
    with backend.open(volume, options) as ours, FakeBackend().open(volume, options) as theirs:
        for session in (ours, theirs):
            session.put(7, prompts)
            session.put(2, roi)
        assert ours.window == theirs.window
        assert ours.plan() == theirs.plan()
        assert ours.plan([2]) == theirs.plan([2]) == 6
        assert masks([ours.predict(7, index)]) == masks([theirs.predict(7, index)])
        assert ours.results(7) == {}
        assert masks(ours.propagate()) == masks(theirs.propagate())
        for object_id in (2, 7):
            assert list(ours.results(object_id)) == list(theirs.results(object_id))
            np.testing.assert_array_equal(ours.mask_kji(object_id), theirs.mask_kji(object_id))


@pytest.mark.parametrize("direction", list(Direction))
def test_every_kind_of_prompt_and_direction_crosses_the_wire(backend, volume, direction):
    with backend.open(volume) as ours, FakeBackend().open(volume) as theirs:
        for session in (ours, theirs):
            session.put(1, MIXED)
            session.put(2, OTHER)
        expected = masks(theirs.propagate([1], direction))
        assert masks(ours.propagate([1], direction)) == expected
        assert {index for _, index, *_ in expected} <= set(range(2, 11))
        assert ours.objects() == {1: MIXED, 2: OTHER}
        ours.put(3, LINE)
        first, last = LINE.span(volume, SliceAxis.K)
        assert ours.plan([3]) == last - first + 1 < volume.count(SliceAxis.K)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", ">i4", "int64", "float64", "float16"])
def test_every_type_of_voxels_gives_the_masks_of_this_process(backend, volume, dtype):
    voxels = volume.voxels_kji
    given = Volume((voxels > 90 if dtype == "bool" else voxels // 2).astype(dtype), np.eye(4))
    options = SessionOptions(window="0:1" if dtype == "bool" else "full")
    with backend.open(given, options) as ours, FakeBackend().open(given, options) as theirs:
        for session in (ours, theirs):
            session.put(1, ObjectPrompts((BOX,)))
        assert masks(ours.propagate()) == masks(theirs.propagate())


def test_colour_is_sent_too(backend, volume):
    colour = Volume(np.stack([volume.voxels_kji] * 3, axis=-1), np.eye(4))
    with backend.open(colour) as session:
        assert session.window.high == 255


@pytest.mark.parametrize(
    ("prompts", "error"),
    [
        (ObjectPrompts(name="Liver"), NoPromptError),
        (ObjectPrompts((BoxPrompt(40, (1, 1, 2, 2)),)), OutsideVolumeError),
        (ObjectPrompts((BOX,), slice_range=(9, 3)), EmptyRangeError),
        (ObjectPrompts((BOX,), slice_range=(8, 9), name="Liver"), NoPromptError),
        (ObjectPrompts((PointPrompt(6, (float("nan"), 1.0)),)), OutsideVolumeError),
    ],
)
def test_prompts_that_do_not_fit_are_refused_before_anything_is_sent(
    backend, script, volume, prompts, error
):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        with pytest.raises(error) as caught:
            session.put(1, prompts)
        assert prompts.name == "Segment" or "Liver" in str(caught.value)
        assert session.objects() == {1: OTHER}
        assert script.count("PUT .*objects") == 1


def test_numbers_from_numpy_are_as_good_as_others(backend, volume):
    numbers = np.array([2, 9])
    roi = RoiBox(numbers[0], numbers[1], tuple(np.array([10, 12, 50, 52])))
    prompts = ObjectPrompts((PointPrompt(numbers[0], tuple(np.float32([20, 21]))),), roi)
    with backend.open(volume) as session:
        session.put(np.int64(1), dataclasses.replace(prompts, slice_range=tuple(numbers)))
        assert session.predict(1, numbers[1]).index == 9


def test_an_object_id_that_the_wire_cannot_carry_is_an_error(backend, volume):
    with backend.open(volume) as session, pytest.raises(PromptError, match="2147483647"):
        session.put(2**31, OTHER)


def test_kinds_that_the_model_cannot_take_are_refused_here(connect, script, volume):
    script.backend = FakeBackend(ALL_KINDS - {"point"})
    with connect().open(volume) as session:
        with pytest.raises(UnsupportedPromptError, match=r"Segment .*fake can't take \(point\)"):
            session.put(1, MIXED)
        assert session.objects() == {}
        assert script.count("PUT .*objects") == 0


def test_what_the_server_refuses_changes_nothing_and_names_the_object(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        before = masks(session.propagate())
        script.fail("PUT .*objects", refusal("no_prompt", "Segment has clicks outside it only."))
        with pytest.raises(NoPromptError, match=r"^Liver has clicks outside it only"):
            session.put(1, dataclasses.replace(MIXED, name="Liver"))
        assert session.objects() == {1: OTHER}
        assert masks(session.propagate()) == before


def test_unknown_objects_and_slices_are_errors_like_those_of_this_process(backend, volume):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        with pytest.raises(NoPromptError):
            session.propagate([1, 5])
        for ask in (session.results, session.mask_kji, lambda n: session.plan([n])):
            with pytest.raises(NoPromptError):
                ask(5)
        with pytest.raises(OutsideVolumeError):
            session.predict(1, 12)
        session.remove(5)
        session.remove(1)
        assert session.objects() == {}
        with pytest.raises(NoPromptError):
            session.predict(1, 3)
        assert list(session.propagate()) == []


def test_a_closed_session_says_so_and_frees_the_servers(backend, script, volume):
    session = backend.open(volume)
    session.put(1, OTHER)
    running = session.propagate()
    next(running)
    session.close()
    session.close()
    assert script.sessions == {}
    for ask in (lambda: session.put(1, OTHER), lambda: session.predict(1, 3), session.propagate):
        with pytest.raises(SessionClosedError):
            ask()
    with pytest.raises(SessionClosedError):
        next(running)


def test_a_closed_backend_opens_nothing_but_its_sessions_go_on(backend, volume):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        backend.close()
        backend.close()
        assert session.predict(1, 3).index == 3
        with pytest.raises(SessionClosedError):
            backend.open(volume)


def test_a_window_that_is_none_is_an_error_before_anything_is_sent(backend, script, volume):
    with pytest.raises(InputError, match="no-such"):
        backend.open(volume, SessionOptions(window="no-such"))
    assert script.count("volumes") == 0


def test_a_click_takes_two_requests(backend, script, volume):
    with backend.open(volume) as session:
        before = len(script.asked)
        session.put(1, OTHER)
        session.predict(1, 4)
        assert [method for method, _ in script.asked[before:]] == ["PUT", "POST"]


def test_a_narrower_range_drops_what_lies_outside_when_it_is_propagated(backend, volume):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        list(session.propagate())
        session.put(1, dataclasses.replace(OTHER, slice_range=(4, 6)))
        assert len(session.results(1)) == 9
        assert len(list(session.propagate())) == len(session.results(1)) == 3


def test_nothing_but_voxels_geometry_and_prompts_crosses_the_wire(backend, script, volume):
    given = Volume(
        volume.voxels_kji, volume.affine_ijk_to_ras, "MR", "DOE^JANE", {"id": "ID-SENTINEL"}
    )
    seen: list[bytes] = []
    answer = script.answer
    script.answer = lambda *args: (seen.append(args[3]), answer(*args))[1]
    with backend.open(given) as session:
        session.put(1, dataclasses.replace(OTHER, name="JANE"))
        session.predict(1, 4)
    sent = b"".join(seen) + str(script.asked).encode() + str(script.headers).encode()
    assert len(sent) > volume.voxels_kji.nbytes
    assert not any(word in sent for word in (b"JANE", b"SENTINEL", b'"MR"'))


# Cancelling


def slow(script, pause_s: float = 0.0, block_at: int | None = None) -> threading.Event:
    """Makes slices take time; at slice ``block_at`` the model waits for the returned event."""
    go_on = threading.Event()

    def on_slice(index: int) -> None:
        time.sleep(pause_s)
        if index == block_at:
            go_on.wait(5)

    script.backend = FakeBackend(on_slice=on_slice)
    return go_on


def test_cancelling_keeps_what_was_streamed_and_stops_the_server(backend, script, volume):
    go_on = slow(script, block_at=9)
    token, streamed = CancelToken(), []
    with backend.open(volume) as session:
        session.put(1, OTHER)
        with pytest.raises(CancelledError):
            for result in session.propagate(cancel=token):
                streamed.append(result.index)
                if len(streamed) == 3:
                    token.cancel()
        assert len(streamed) == 3
        assert sorted(session.results(1)) == sorted(streamed)
        assert script.cancelled.wait(2)
        go_on.set()
        assert len(list(session.propagate())) == 9


def test_cancelling_from_another_thread_ends_a_wait_for_a_slice_that_never_comes(
    backend, script, volume, threads_left
):
    go_on = slow(script, block_at=5)
    token = CancelToken()
    with backend.open(volume) as session:
        session.put(1, OTHER)
        running = session.propagate(cancel=token)
        next_one: list[SliceResult] = []
        threading.Timer(0.1, token.cancel).start()
        begun = time.monotonic()
        with pytest.raises(CancelledError):
            next_one += list(running)
        assert time.monotonic() - begun < 1.0
        assert script.cancelled.wait(2)
        wait_until(lambda: not threads_left(), 2)
        go_on.set()


def test_a_job_whose_start_was_under_way_when_it_was_cancelled_is_cancelled_on_the_server(
    backend, script, volume
):
    arrived, go_on = threading.Event(), threading.Event()
    answer = script.answer

    def late(method, *rest):
        if method == "POST":
            arrived.set()
            go_on.wait(5)
        return answer(method, *rest)

    script.answer = late
    with backend.open(volume) as session:
        session.put(1, OTHER)
        token = CancelToken()
        threading.Thread(target=lambda: (arrived.wait(5), token.cancel())).start()
        with pytest.raises(CancelledError):
            list(session.propagate(cancel=token))
        go_on.set()
        assert script.cancelled.wait(2)


def test_a_token_that_is_set_starts_nothing(backend, script, volume):
    token = CancelToken()
    token.cancel()
    with backend.open(volume) as session:
        session.put(1, OTHER)
        with pytest.raises(CancelledError):
            next(session.propagate(cancel=token))
    assert script.count("POST") == 0


@pytest.mark.parametrize("how", ["closed", "collected"])
def test_a_propagation_that_is_given_up_is_cancelled_on_the_server(backend, script, volume, how):
    go_on = slow(script, block_at=1)
    with backend.open(volume) as session:
        session.put(1, OTHER)
        running = session.propagate()
        next(running)
        if how == "closed":
            running.close()
        else:
            del running
            gc.collect()
        assert script.cancelled.wait(2)
        go_on.set()


def test_cancelling_ends_the_wait_for_a_server_that_is_gone(connect, script, volume):
    session = connect(patience_s=30).open(volume)
    session.put(1, OTHER)
    script.fail_always("POST|GET", CUT)
    token = CancelToken()
    threading.Timer(0.1, token.cancel).start()
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        list(session.propagate(cancel=token))
    assert time.monotonic() - begun < 2.0
    session.close()


def test_no_thread_is_left_behind(backend, volume, threads_left):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        list(session.propagate())
        next(session.propagate())
    wait_until(lambda: not threads_left())


def test_the_slices_of_a_propagation_may_be_previewed_meanwhile(backend, volume):
    with backend.open(volume) as session:
        session.put(1, OTHER)
        same = [
            session.predict(1, result.index).mask_rc.bits.tobytes() == result.mask_rc.bits.tobytes()
            for result in session.propagate()
        ]
    assert same == [True] * 9


def test_an_error_of_the_engine_is_raised_after_the_slices_before_it(backend, script, volume):
    def on_slice(index: int) -> None:
        if index == 7:
            raise OutOfMemoryError("The device has 1 MB; take a smaller model.")

    script.backend = FakeBackend(on_slice=on_slice)
    with backend.open(volume) as session:
        session.put(1, OTHER)
        with pytest.raises(OutOfMemoryError, match="1 MB"):
            list(session.propagate())
        assert 0 < len(session.results(1)) < 9
    assert script.count("DELETE .*jobs") == 0
