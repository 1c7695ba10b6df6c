"""Recorded messages of protocol 1.0; whoever changes a line here breaks somebody's client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medsam2.core.backend import ModelInfo, Origin, SessionOptions
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.prompts import BoxPrompt, LinePrompt, MaskPrompt, PointPrompt, RoiBox
from medsam2.core.volume import Volume
from medsam2.wire import arrays, messages, prompts, records, strict, volumes
from medsam2.wire.records import End, Head, RecordReader, Slice

RUN = "0123456789abcdef" * 2
JOB = "fedcba9876543210" * 2
VOLUME = "5242a58762c2f45b3d83985b2ee245bba31a571a9c826643652e02269b8b5902"
OBJECT = "a9b073e62ef847d82eb96383738919b3170a1ac9374d3597a9c1e5876ac65978"
OTHER_OBJECT = "463bba5d08f6726b8d86f09258e2bfc64f78d77debdd3f962792334536cbbf9a"
SESSION = "03db485043d11a67e685328232596f7808e9dfbf764f522fed45ffd35c9cf157"
JOB_ASKED = "8a80156dfcb14ced0c3f1709ef7ebc8ea1afa1fd76edfc9cc9cb248a5ae5e5e9"
MODEL = ModelInfo("litemedsam", frozenset({"box", "roi", "line"}), "cpu", "ab" * 32, "Apache-2.0")
MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]], bool)
NUMBERS = np.arange(24).reshape(2, 3, 4)
VOXELS = {
    "uint8": NUMBERS * 10,
    "int16": NUMBERS * 1000 - 12_000,
    "uint16": NUMBERS * 2500,
    "int32": NUMBERS * 100_000_000 - 1_200_000_000,
    "float32": NUMBERS / 8 - 1.5,
}
AFFINE = np.array([[0.8, 0, 0, -10.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -30.125], [0, 0, 0, 1]])

FOLDER = Path(__file__).resolve().parents[2] / "data" / "wire-1.0"
FRAMES = sorted(path.name for path in FOLDER.glob("frame-*"))


def recorded(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def test_every_recording_is_read_by_a_test_here():
    text = Path(__file__).read_text("utf-8")
    others = {path.name for path in FOLDER.iterdir()} - {"README.md", *FRAMES}
    assert len(FRAMES) == 7
    assert len(others) == 18
    assert {name for name in others if f'"{name}"' not in text} == set()


@pytest.mark.parametrize("name", FRAMES)
def test_frames_hold_their_voxels(name):
    _, dtype, codec = name.removesuffix(".bin").split("-")
    if codec not in arrays.codecs():
        pytest.skip(f"the codec {codec} is not installed")
    voxels = np.empty((2, 3, 4), dtype)
    arrays.decode_into(recorded(name), voxels)
    assert np.array_equal(voxels, VOXELS[dtype])


def test_volumes_have_their_headers_and_their_name():
    grey = strict.from_json(volumes.VolumeHeader, recorded("volume.json"))
    assert grey == volumes.VolumeHeader("int16", (2, 3, 4))
    colour = strict.from_json(volumes.VolumeHeader, recorded("volume-colour.json"))
    assert (colour.shape, colour.planes_per_chunk, colour.chunk_count) == (
        (300, 480, 640, 3),
        9,
        34,
    )
    local = Volume(VOXELS["int16"].astype(np.float64).astype(np.int64), np.eye(4))
    assert volumes.wire_volume(local).content_hash == VOLUME


def test_prompts_mean_what_they_meant():
    got = prompts.decode(recorded("object.json"))
    locked = got.prompts[4]
    assert isinstance(locked, MaskPrompt)
    assert locked.index == 0
    assert np.array_equal(locked.mask_rc.unpack(), MASK)
    assert got.prompts[:4] == (
        BoxPrompt(0, (0, 1, 2, 3)),
        PointPrompt(1, (1.5, 2.25), positive=False),
        PointPrompt(1, (0.0, -0.5), positive=True),
        LinePrompt(1, ((0.0, 0.5), (2.0, 3.25))),
    )
    assert (got.roi, got.slice_range) == (RoiBox(0, 1, (0, 0, 2, 3)), (0, 1))
    assert prompts.digest(got) == OBJECT


def test_prompts_written_by_hand_mean_what_they_meant():
    got = prompts.decode(recorded("object-by-hand.json"))
    assert got.prompts == (PointPrompt(1, (1.0, 2.0), positive=True),)
    assert (got.roi, got.slice_range) == (RoiBox(0, 1, (0, 0, 2, 3)), None)
    assert prompts.digest(got) == OTHER_OBJECT


def test_sessions_mean_what_they_meant_and_keep_their_fingerprint():
    got = strict.from_json(messages.SessionRequest, recorded("session.json"))
    assert got.volume == VOLUME
    assert got.options() == SessionOptions(SliceAxis.J, Window(-160, 240), False, 5)
    assert np.array_equal(got.affine(), AFFINE)
    assert messages.fingerprint(got, MODEL) == SESSION


def test_sessions_written_by_hand_take_the_same_defaults_as_ever():
    got = strict.from_json(messages.SessionRequest, recorded("session-by-hand.json"))
    assert got.options() == SessionOptions(SliceAxis.J, Window(-160, 240), True, 3)
    wanted = "9b97b1d0da1aa25e881ba9b7e5e3f52300e9540683eae31ce4b0d54e5b0a58d7"
    assert messages.fingerprint(got, MODEL) == wanted


@pytest.mark.parametrize(
    ("name", "wanted", "digest"),
    [
        (
            "job-propagate.json",
            messages.JobRequest(
                SESSION, {"1": OBJECT, "12": OTHER_OBJECT}, "propagate", "backward"
            ),
            JOB_ASKED,
        ),
        (
            "job-predict.json",
            messages.JobRequest(SESSION, {"1": OBJECT}, "predict", index=1),
            "ef788f991783fc1b48b6dcd1f3f468ac51df449b1186cf6163c08c6203a622e7",
        ),
        (
            "job-by-hand.json",
            messages.JobRequest(SESSION, {"1": OBJECT}, "propagate", "both"),
            "4e8a0b4b6c0ffc8b21e36dc6f7287a228db02832a70cacc05ad1175803af1521",
        ),
    ],
)
def test_jobs_ask_for_what_they_asked_for(name, wanted, digest):
    got = strict.from_json(messages.JobRequest, recorded(name))
    assert got == wanted
    assert messages.prompts_digest(got) == digest


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "info.json",
            messages.ServerInfo(
                "1.0", "0.1.0", RUN, messages.WireModel.of(MODEL), ("zstd", "zlib", "raw"), 2 << 30
            ),
        ),
        ("upload-state.json", volumes.UploadState(complete=False, missing=(0, 3, 4))),
        (
            "session-state.json",
            messages.SessionState(SESSION, {"1": OBJECT, "12": OTHER_OBJECT}, RUN),
        ),
        ("object-state.json", messages.ObjectState(OBJECT)),
        (
            "job-state.json",
            messages.JobState(
                JOB, "failed", 2, 7, "out_of_memory", "The memory did not suffice; crop the volume."
            ),
        ),
        (
            "problem.json",
            messages.Problem("stale", "Put the prompts again, then start the job."),
        ),
    ],
)
def test_answers_say_what_they_said(name, wanted):
    assert strict.from_json(type(wanted), recorded(name)) == wanted


def stream(name: str) -> list[tuple[records.Record, bytes]]:
    reader = RecordReader()
    found = list(reader.feed(recorded(name)))
    assert reader.pending == 0
    assert found[0][0] == Head("00112233445566778899aabbccddeeff", JOB, SESSION, JOB_ASKED, 7, 0)
    return found[1:]


def test_results_are_the_masks_that_they_were():
    *slices, (end, _) = stream("results.bin")
    assert end == End("done", 4)
    results = [
        records.result_of(header, body) for header, body in slices if isinstance(header, Slice)
    ]
    assert [(r.object_id, r.index, r.score, r.origin) for r in results] == [
        (1, 0, 1.0, Origin.LOCKED),
        (1, 1, 0.25, Origin.TRACKED),
        (12, 1, 0.75, Origin.BLENDED),
        (12, 0, 0.5, Origin.PROMPTED),
    ]
    masks = MASK, np.zeros_like(MASK), np.ones_like(MASK), ~MASK
    assert all(
        np.array_equal(result.mask_rc.unpack(), mask)
        for result, mask in zip(results, masks, strict=True)
    )


def test_streams_end_as_they_ended():
    assert stream("results-shutdown.bin") == [(End("running", 2, shutdown=True), b"")]
    assert stream("results-failed.bin") == [(End("failed", 0, "no_prompt", "Draw one."), b"")]


def test_what_is_written_today_is_what_was_recorded():
    for name, kind in (
        ("volume.json", volumes.VolumeHeader),
        ("session.json", messages.SessionRequest),
        ("job-propagate.json", messages.JobRequest),
        ("job-predict.json", messages.JobRequest),
    ):
        assert strict.to_json(strict.from_json(kind, recorded(name))) == recorded(name)
