from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest
from fake_backend import FakeBackend
from phantoms import moving_ball

from medsam2.core.backend import ModelInfo
from medsam2.core.errors import (
    NoPromptError,
    OutsideVolumeError,
    UnsupportedPromptError,
    WireError,
)
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import BoxPrompt, LinePrompt, ObjectPrompts, PointPrompt, mask_on_slice
from medsam2.server.objects import read_object
from medsam2.wire import prompts

VOLUME, MASK_KJI = moving_ball((5, 32, 24))
MODEL = FakeBackend().model
BOX = ObjectPrompts((BoxPrompt(1, (2, 3, 20, 21)),), slice_range=(1, 3))


def read(data: bytes, model: ModelInfo = MODEL):
    return read_object(data, VOLUME, SliceAxis.K, model)


def mask_json(shape_rc: tuple[int, int], count: int = 1) -> bytes:
    """Locked slices whose bits are zeros, however many that are."""
    zeros = bytes((shape_rc[0] * shape_rc[1] + 7) // 8)
    bits = base64.b64encode(zlib.compress(zeros, 9)).decode()
    mask = {"mask": {"index": 0, "shape_rc": list(shape_rc), "bits": bits}}
    return json.dumps({"prompts": [mask] * count}).encode()


def test_prompts_are_kept_with_their_digest_and_reach():
    held = read(prompts.encode(BOX))
    assert prompts.decode(held.prompts) == BOX
    assert held.digest == prompts.digest(BOX)
    assert held.slices == 3


def test_prompts_without_a_range_reach_all_slices():
    assert read(prompts.encode(ObjectPrompts(BOX.prompts))).slices == 5


def test_a_line_reaches_as_far_as_its_ball():
    line = LinePrompt(2, ((10.0, 10.0), (10.0, 15.0)))
    assert read(prompts.encode(ObjectPrompts((line,)))).slices == 3


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (ObjectPrompts(), NoPromptError),
        (ObjectPrompts((BoxPrompt(5, (1, 1, 2, 2)),)), OutsideVolumeError),
        (ObjectPrompts((PointPrompt(0, (99.0, 1.0)),)), OutsideVolumeError),
        (ObjectPrompts((mask_on_slice(0, np.ones((32, 32), bool)),)), OutsideVolumeError),
        (ObjectPrompts((BoxPrompt(0, (1, 1, 2, 2)),), slice_range=(2, 3)), NoPromptError),
    ],
)
def test_prompts_that_do_not_fit_the_volume_are_refused(given, error):
    with pytest.raises(error):
        read(prompts.encode(given))


def test_prompts_that_the_model_does_not_take_are_refused():
    model = ModelInfo("plain", frozenset({"point"}), "cpu", "0" * 64, "")
    with pytest.raises(UnsupportedPromptError, match="box"):
        read(prompts.encode(BOX), model)


def test_a_locked_slice_on_every_slice_is_taken():
    masks = tuple(mask_on_slice(n, MASK_KJI[n]) for n in range(5))
    assert read(prompts.encode(ObjectPrompts(masks))).slices == 5


def test_more_locked_slices_than_slices_are_refused():
    assert read(mask_json((32, 24), 5)).slices == 5
    with pytest.raises(WireError, match="5 locked slices"):
        read(mask_json((32, 24), 6))


def test_a_mask_of_another_shape_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(prompts, "unpack_bits", lambda mask: pytest.fail("it was unpacked"))
    with pytest.raises(OutsideVolumeError, match="shape"):
        read(mask_json((4096, 4096)))


def test_what_is_no_message_is_refused():
    with pytest.raises(WireError):
        read(b"[]")
