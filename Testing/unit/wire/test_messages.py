from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import plain

from medsam2.core.backend import ModelInfo, SessionOptions
from medsam2.core.errors import BadGeometryError, InputError, ShearedGeometryError, WireError
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.wire import messages, strict
from medsam2.wire.messages import JobRequest, SessionRequest

MODEL = ModelInfo("m", frozenset({"box", "point"}), "cpu", "0" * 64, "Apache-2.0")
AFFINE = np.array([[0, 0, 2.5, 1], [-0.7, 0, 0, 2], [0, 0.8, 0, 3], [0, 0, 0, 1.0]])
SHA256 = "a" * 64
OBJECTS = {"1": "b" * 64, "2": "c" * 64}


def request(**changes: Any) -> SessionRequest:
    options = SessionOptions(SliceAxis.K, Window(-160, 240))
    made = SessionRequest.of(SHA256, AFFINE, options, Window(-160, 240))
    return dataclasses.replace(made, **changes)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(SliceAxis),
    st.booleans(),
    st.integers(0, 4096),
    st.tuples(st.floats(-1e12, 1e11), st.floats(1e-3, 1e11)),
)
def test_options_and_geometry_survive_the_way_there_and_back(axis, crop, stop, bounds):
    low, width = bounds
    window = Window(low, low + max(width, abs(low) * 1e-9), "abdomen")
    options = SessionOptions(axis, window, crop, stop)
    sent = SessionRequest.of(SHA256, AFFINE, options, window)
    got = strict.from_json(SessionRequest, strict.to_json(sent))
    assert got == sent
    assert got.affine().tobytes() == AFFINE.tobytes()
    back = got.options()
    assert (back.axis, back.crop, back.stop_after_empty) == (axis, crop, stop)
    assert isinstance(back.window, Window)
    assert (back.window.low, back.window.high) == (window.low, window.high)


def test_numbers_of_numpy_make_the_same_request():
    options: Any = SessionOptions(SliceAxis.K, "auto", np.True_, np.int64(3))
    window = Window(np.float32(-160), np.float64(240))  # type: ignore[arg-type]
    assert SessionRequest.of(SHA256, AFFINE, options, window) == request()


def test_a_session_beyond_what_the_wire_carries_is_not_asked_for():
    options = SessionOptions(SliceAxis.K, Window(0, 1))
    far = AFFINE.copy()
    far[0, 3] = 2e12
    for affine, changed, window in (
        (far, options, Window(0, 1)),
        (AFFINE, options, Window(0, 1e39)),
        (AFFINE, dataclasses.replace(options, stop_after_empty=4097), Window(0, 1)),
        (AFFINE, dataclasses.replace(options, stop_after_empty=-1), Window(0, 1)),
    ):
        with pytest.raises(WireError):
            SessionRequest.of(SHA256, affine, changed, window)


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0)])
def test_an_empty_window_is_an_error_of_the_input(window):
    with pytest.raises(InputError, match="empty"):
        request(window=window).options()


@pytest.mark.parametrize(
    ("affine", "error"),
    [
        (np.zeros((4, 4)), BadGeometryError),
        (np.diag([1.0, 1.0, 0.0, 1.0]), BadGeometryError),
        (
            np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
            ShearedGeometryError,
        ),
    ],
)
def test_an_impossible_geometry_is_an_error_of_the_volume(affine, error):
    wrong = request(affine_ijk_to_ras=tuple(map(tuple, affine.tolist())))
    with pytest.raises(error):
        wrong.affine()


@settings(max_examples=200, deadline=None)
@given(plain(SessionRequest))
def test_no_session_raises_anything_but_an_error_of_the_input(fields):
    got = strict.build(SessionRequest, fields)
    for use in (got.options, got.affine):
        with contextlib.suppress(InputError):
            use()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("volume", "A" * 64), ("volume", "a" * 63), ("volume", "a" * 65), ("volume", None),
        ("axis", "k"), ("axis", 0), ("axis", "R"), ("crop", 1), ("crop", "true"), ("crop", None),
        ("stop_after_empty", -1), ("stop_after_empty", 4097), ("stop_after_empty", 3.0),
        ("window", [0]), ("window", [0, 1, 2]), ("window", [0, 3.5e38]), ("window", ["0", 1]),
        ("window", [False, 1]), ("window", [0, float("nan")]), ("window", "abdomen"),
        ("affine_ijk_to_ras", [[1, 0, 0, 0]] * 3), ("affine_ijk_to_ras", [[1, 0, 0]] * 4),
        ("affine_ijk_to_ras", [1] * 16), ("affine_ijk_to_ras", [[1, 0, 0, 1.1e12]] * 4),
        ("affine_ijk_to_ras", [[1, 0, 0, -float("inf")]] * 4), ("name", "DOE^JANE"),
    ],
)  # fmt: skip
def test_a_session_out_of_bounds_is_refused(field, wrong):
    fields = json.loads(strict.to_json(request()))
    assert strict.build(SessionRequest, fields) == request()
    with pytest.raises(WireError, match=field):
        strict.build(SessionRequest, fields | {field: wrong})


def test_the_fingerprint_is_that_of_the_protocol():
    text = b"\n".join((strict.to_json(request()), b"m", b"0" * 64))
    assert messages.fingerprint(request(), MODEL) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        request(volume="f" * 64), request(axis="J"), request(crop=False), request(stop_after_empty=0),
        request(window=(-160.0, 240.00000000000003)), request(affine_ijk_to_ras=((1.0,) * 4,) * 4),
    ],
)  # fmt: skip
def test_another_session_has_another_fingerprint(other):
    assert messages.fingerprint(other, MODEL) != messages.fingerprint(request(), MODEL)


def test_another_model_has_another_fingerprint_but_another_device_has_not():
    same = dataclasses.replace(MODEL, device="cuda", license="x", prompts=frozenset())
    assert messages.fingerprint(request(), same) == messages.fingerprint(request(), MODEL)
    for change in ({"name": "n"}, {"weights_sha256": "1" * 64}):
        other = dataclasses.replace(MODEL, **change)
        assert messages.fingerprint(request(), other) != messages.fingerprint(request(), MODEL)


def job(**fields: Any) -> JobRequest:
    right = {"session": SHA256, "objects": OBJECTS, "kind": "propagate"}
    return strict.build(JobRequest, right | fields)


def test_jobs_name_their_objects_in_order():
    objects = {str(number): SHA256 for number in (10, 9, 0, 2**31 - 1)}
    assert job(objects=objects).ids() == (0, 9, 10, 2**31 - 1)


ONE = {"1": SHA256}


@pytest.mark.parametrize(
    "fields",
    [
        {"objects": {}},
        {"index": 3},
        {"index": 3, "objects": ONE},
        {"index": 0},
        {"kind": "predict"},
        {"kind": "predict", "index": 3},
        {"kind": "predict", "objects": ONE},
        {"kind": "predict", "objects": {}, "index": 3},
    ],
)
def test_a_prediction_is_of_one_object_on_one_slice_and_a_propagation_of_none(fields):
    assert job(kind="predict", objects=ONE, index=0).index == 0
    assert job(objects=ONE).index is None
    with pytest.raises(WireError):
        job(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"session": "a"}, {"kind": "train"}, {"direction": "up"}, {"direction": None},
        {"objects": {"01": SHA256}}, {"objects": {"-1": SHA256}}, {"objects": {"": SHA256}},
        {"objects": {"1\n": SHA256}}, {"objects": {"\u0661": SHA256}}, {"objects": {"1": "b"}},
        {"objects": {"1" * 11: SHA256}}, {"objects": {str(n): SHA256 for n in range(1025)}},
        {"objects": [1]}, {"objects": {"1": None}}, {"kind": "predict", "objects": ONE, "index": 4096},
        {"kind": "predict", "objects": ONE, "index": -1},
        {"kind": "predict", "objects": ONE, "index": True},
    ],
)  # fmt: skip
def test_a_job_out_of_bounds_is_refused(fields):
    with pytest.raises(WireError):
        job(**fields)


def test_a_jobs_digest_is_that_of_its_json():
    wanted = hashlib.sha256(strict.to_json(job())).hexdigest()
    assert messages.prompts_digest(job()) == wanted
    assert messages.prompts_digest(job(direction="forward")) != wanted


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(["box", "line", "mask", "point", "roi"])),
    st.text(st.characters(codec="utf-8"), max_size=200),
)
def test_a_model_survives_the_way_there_and_back(kinds, name):
    model = ModelInfo(name, frozenset(kinds), "cuda:0", "f" * 64, "CC-BY-SA-4.0")
    sent = strict.to_json(messages.WireModel.of(model))
    assert strict.from_json(messages.WireModel, sent).info() == model


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (messages.ServerInfo, {"protocol": "1"}), (messages.ServerInfo, {"protocol": "1.0.0"}),
        (messages.ServerInfo, {"protocol": "1.0\n"}), (messages.ServerInfo, {"run": "x"}),
        (messages.ServerInfo, {"codecs": ["raw"] * 9}), (messages.ServerInfo, {"most_volume_bytes": 0}),
        (messages.ServerInfo, {"version": "0" * 201}), (messages.ServerInfo, {"model": None}),
        (messages.JobState, {"state": "lost"}), (messages.JobState, {"last": -1}),
        (messages.JobState, {"total": 2**31}), (messages.JobState, {"message": "x" * 1001}),
        (messages.JobState, {"code": "x" * 65}), (messages.Problem, {"code": "Stale"}),
        (messages.Problem, {"code": ""}), (messages.Problem, {"code": "x" * 65}),
        (messages.Problem, {"message": "x" * 1001}), (messages.Problem, {"detail": "trace"}),
        (messages.SessionState, {"objects": {"x": SHA256}}), (messages.SessionState, {"run": None}),
        (messages.ObjectState, {"digest": "b" * 63}),
    ],
)  # fmt: skip
def test_an_answer_out_of_bounds_is_refused(kind, fields):
    right: dict[type, dict[str, Any]] = {
        messages.ServerInfo: {
            "protocol": "1.0", "version": "0.1", "run": "0" * 32, "codecs": ["raw"],
            "model": dataclasses.asdict(messages.WireModel.of(MODEL)) | {"prompts": ["box"]},
            "most_volume_bytes": 2**53,
        },
        messages.JobState: {"job": "0" * 32, "state": "running", "last": 0, "total": 2**31 - 1},
        messages.Problem: {"code": "stale", "message": "x" * 1000},
        messages.SessionState: {"fingerprint": SHA256, "objects": OBJECTS, "run": "0" * 32},
        messages.ObjectState: {"digest": SHA256},
    }  # fmt: skip
    strict.build(kind, right[kind])
    with pytest.raises(WireError):
        strict.build(kind, right[kind] | fields)
