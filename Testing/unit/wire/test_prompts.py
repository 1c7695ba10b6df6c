from __future__ import annotations

import base64
import dataclasses
import json
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsam2.core.errors import MessageTooLargeError, OutsideVolumeError, WireError
from medsam2.core.masks import PackedMask
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    Prompt,
    RoiBox,
    mask_on_slice,
)
from medsam2.wire import prompts
from medsam2.wire.limits import LONGEST_AXIS, MOST_PROMPTS

INDEX = st.integers(-LONGEST_AXIS, 2 * LONGEST_AXIS)
PLACE = st.floats(-LONGEST_AXIS, 2 * LONGEST_AXIS)
BOX = st.tuples(INDEX, INDEX, INDEX, INDEX)
POINT = st.tuples(PLACE, PLACE)
MASK = st.builds(
    lambda shape, seed: np.random.default_rng(seed).random(shape) < 0.3,
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 2**32),
)
PROMPT = st.one_of(
    st.builds(BoxPrompt, INDEX, BOX),
    st.builds(PointPrompt, INDEX, POINT, st.booleans()),
    st.builds(LinePrompt, INDEX, st.tuples(POINT, POINT)),
    st.builds(mask_on_slice, INDEX, MASK),
)
OBJECT = st.builds(
    ObjectPrompts,
    st.lists(PROMPT, max_size=6).map(tuple),
    st.none() | st.builds(RoiBox, INDEX, INDEX, BOX),
    st.none() | st.tuples(INDEX, INDEX),
)


def told(prompt: Prompt) -> Any:
    """A prompt as something that can be compared."""
    if not isinstance(prompt, MaskPrompt):
        return prompt
    return prompt.index, prompt.mask_rc.shape_rc, prompt.mask_rc.bits.tobytes()


@settings(max_examples=200, deadline=None)
@given(OBJECT)
def test_prompts_survive_the_way_there_and_back(given_prompts):
    got = prompts.decode(prompts.encode(given_prompts))
    assert list(map(told, got.prompts)) == list(map(told, given_prompts.prompts))
    assert (got.roi, got.slice_range) == (given_prompts.roi, given_prompts.slice_range)
    assert prompts.digest(got) == prompts.digest(given_prompts)
    assert prompts.encode(got) == prompts.encode(given_prompts)


def test_the_name_of_an_object_stays_with_the_user():
    named = ObjectPrompts((BoxPrompt(1, (0, 0, 3, 3)),), name="DOE^JANE left kidney")
    assert b"DOE" not in prompts.encode(named)
    assert prompts.digest(named) == prompts.digest(dataclasses.replace(named, name="Segment"))


def test_numbers_of_numpy_are_sent_like_pythons_own():
    plain = ObjectPrompts(
        (
            BoxPrompt(1, (0, 1, 2, 3)),
            PointPrompt(2, (1.5, 2.0)),
            MaskPrompt(3, PackedMask(np.zeros(2, np.uint8), (3, 4))),
        ),
        RoiBox(0, 5, (0, 1, 2, 3)),
        (1, 4),
    )
    n = np.int64
    same: Any = ObjectPrompts(
        (
            BoxPrompt(n(1), tuple(np.arange(4))),
            PointPrompt(n(2), tuple(np.float32([1.5, 2.0])), np.True_),
            MaskPrompt(n(3), PackedMask(np.zeros(2, np.uint8), (n(3), n(4)))),
        ),
        RoiBox(n(0), n(5), tuple(np.arange(4, dtype=np.int32))),
        (n(1), n(4)),
    )
    assert prompts.encode(same) == prompts.encode(plain)
    assert prompts.digest(same) == prompts.digest(plain)


SAME = ObjectPrompts((PointPrompt(3, (1.0, 2.0)),), RoiBox(1, 5, (0, 0, 9, 9)), (2, 4))


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(SAME, prompts=()),
        dataclasses.replace(SAME, prompts=SAME.prompts * 2),
        dataclasses.replace(SAME, prompts=(PointPrompt(4, (1.0, 2.0)),)),
        dataclasses.replace(SAME, prompts=(PointPrompt(3, (2.0, 1.0)),)),
        dataclasses.replace(SAME, prompts=(PointPrompt(3, (1.0, 2.0), positive=False),)),
        dataclasses.replace(SAME, prompts=(LinePrompt(3, ((1.0, 2.0), (1.0, 2.0))),)),
        dataclasses.replace(SAME, roi=None),
        dataclasses.replace(SAME, roi=RoiBox(1, 5, (0, 0, 9, 8))),
        dataclasses.replace(SAME, slice_range=None),
        dataclasses.replace(SAME, slice_range=(2, 5)),
    ],
)
def test_other_prompts_have_another_digest(other):
    assert prompts.digest(other) != prompts.digest(SAME)


def test_masks_are_told_apart_by_shape_index_and_every_bit():
    def digest(index: int, mask: Any) -> str:
        return prompts.digest(ObjectPrompts((mask_on_slice(index, mask),)))

    mask = np.eye(6, dtype=bool)
    flipped = mask.copy()
    flipped[5, 5] = False
    found = [digest(1, mask), digest(2, mask), digest(1, flipped), digest(1, mask.reshape(4, 9))]
    assert len(set(found)) == 4


def test_the_digest_does_not_depend_on_how_a_mask_was_deflated():
    made = ObjectPrompts((mask_on_slice(1, np.eye(40, dtype=bool)),))
    message = json.loads(prompts.encode(made))
    mask = message["prompts"][0]["mask"]
    plain = zlib.decompress(base64.b64decode(mask["bits"]))
    mask["bits"] = base64.b64encode(zlib.compress(plain, 9)).decode()
    other = json.dumps(message, indent=1).encode()
    assert other != prompts.encode(made)
    assert prompts.digest(prompts.decode(other)) == prompts.digest(made)


def test_digests_are_named_by_object_in_order():
    found = prompts.digests({10: SAME, 9: ObjectPrompts()})
    assert list(found) == ["9", "10"]
    assert found["10"] == prompts.digest(SAME)


def test_a_mask_is_the_deflated_bits_in_base64():
    mask_rc = np.random.default_rng(1).random((5, 7)) < 0.5
    text = prompts.encode(ObjectPrompts((mask_on_slice(4, mask_rc),)))
    mask = json.loads(text)["prompts"][0]["mask"]
    assert (mask["index"], mask["shape_rc"]) == (4, [5, 7])
    assert zlib.decompress(base64.b64decode(mask["bits"])) == np.packbits(mask_rc).tobytes()


def test_the_largest_and_noisiest_mask_fits():
    bits = np.random.default_rng(0).integers(0, 256, LONGEST_AXIS**2 // 8, dtype=np.uint8)
    noisy = MaskPrompt(0, PackedMask(bits, (LONGEST_AXIS, LONGEST_AXIS)))
    (got,) = prompts.decode(prompts.encode(ObjectPrompts((noisy,)))).prompts
    assert told(got) == told(noisy)


def message(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def mask_of(bits: bytes | str, shape_rc: tuple[int, int] = (5, 7), **more: Any) -> bytes:
    text = base64.b64encode(bits).decode() if isinstance(bits, bytes) else bits
    mask = {"index": 0, "shape_rc": list(shape_rc), "bits": text, **more}
    return message(prompts=[{"mask": mask}])


RIGHT = zlib.compress(bytes(5))


@pytest.mark.parametrize(
    "bits",
    [
        zlib.compress(bytes(4)), zlib.compress(bytes(6)), zlib.compress(b""), RIGHT[:-1],
        RIGHT + b"\0", RIGHT * 2, b"", bytes(5), "a", "====", "Zm9v\n", "é" * 4, "\ud800AAA",
        base64.urlsafe_b64encode(b"\xff\xfe" * 6).decode(),
        base64.b64encode(RIGHT).decode() + "\n", "!" + base64.b64encode(RIGHT).decode(),
    ],
)  # fmt: skip
def test_a_masks_bits_that_are_damaged_or_do_not_fill_it_are_refused(bits):
    prompts.decode(mask_of(RIGHT))
    with pytest.raises(WireError):
        prompts.decode(mask_of(bits))


@pytest.mark.parametrize(
    "shape_rc", [(0, 7), (-1, 7), (4097, 7), (7,), (5, 7, 1), (5.0, 7), (True, 40)]
)
def test_a_mask_of_no_shape_is_refused(shape_rc):
    with pytest.raises(WireError):
        prompts.decode(mask_of(RIGHT, shape_rc))


def test_a_mask_that_is_a_bomb_costs_no_more_than_its_shape():
    bomb = mask_of(zlib.compress(bytes(50_000_000), 9), (256, 256))
    tracemalloc.start()
    with pytest.raises(WireError, match="8192 bytes"):
        prompts.decode(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(bomb) < 50_000_000 / 50


def test_small_masks_that_claim_a_large_shape_are_refused_unread_where_the_shape_is_known():
    large = mask_of(zlib.compress(bytes(2 << 20), 9), (4096, 4096))
    with pytest.raises(OutsideVolumeError, match=r"\(4096, 4096\).*\(64, 64\)"):
        prompts.decode(large, shape_rc=(64, 64))
    assert prompts.decode(mask_of(RIGHT), shape_rc=(5, 7)).prompts[0].index == 0


def test_an_object_has_no_more_locked_slices_than_its_volume_has_slices():
    mask = json.loads(mask_of(RIGHT))["prompts"]
    assert len(prompts.decode(message(prompts=mask * 3), slices=3).prompts) == 3
    with pytest.raises(WireError, match="3 locked slices"):
        prompts.decode(message(prompts=mask * 4), slices=3)


BOXED = {"index": 1, "box_rc": [0, 0, 3, 3]}


@pytest.mark.parametrize(
    "prompt",
    [
        {}, {"box": None}, {"box": BOXED, "point": {"index": 1, "point_rc": [1, 2]}}, {"roi": BOXED},
        {"box": [0, 0, 3, 3]}, {"box": {"index": 1}}, {"box": {"index": 1, "box_rc": [0, 0, 3]}},
        {"box": {"index": 1, "box_rc": [0, 0, 3, 8193]}}, {"box": {"index": -4097, "box_rc": [0] * 4}},
        {"box": {"index": 1.0, "box_rc": [0] * 4}}, {"box": {"index": 1, "box_rc": [0, 0, 3, 3.5]}},
        {"point": {"index": 1, "point_rc": [1, 8192.1]}}, {"point": {"index": 1, "point_rc": [1]}},
        {"point": {"index": 1, "point_rc": [1, 2], "positive": 1}},
        {"point": {"index": 1, "point_rc": ["1", 2]}},
        {"line": {"index": 1, "ends_rc": [[1, 2]]}}, {"line": {"index": 1, "ends_rc": [1, 2, 3, 4]}},
        {"line": {"index": 1, "ends_rc": [[1, 2], [3, -4096.5]]}}, None, [], "box", 1,
    ],
)  # fmt: skip
def test_a_prompt_that_is_none_is_refused(prompt):
    with pytest.raises(WireError):
        prompts.decode(message(prompts=[prompt]))


@pytest.mark.parametrize(
    "fields",
    [
        {"roi": {"first": 0, "last": 8193, "box_rc": [0] * 4}}, {"roi": {"first": 0, "last": 1}},
        {"roi": []}, {"slice_range": [1]}, {"slice_range": [1, 2, 3]}, {"slice_range": [1, 2.5]},
        {"slice_range": [False, 2]}, {"name": "Liver"}, {"prompts": {}}, {"prompts": None},
    ],
)  # fmt: skip
def test_a_range_or_roi_that_is_none_is_refused(fields):
    with pytest.raises(WireError):
        prompts.decode(message(**fields))


def test_more_prompts_than_an_object_may_have_are_refused_on_both_sides():
    many = ObjectPrompts((BoxPrompt(1, (0, 0, 1, 1)),) * (MOST_PROMPTS + 1))
    with pytest.raises(MessageTooLargeError, match="4096"):
        prompts.encode(many)
    with pytest.raises(WireError, match="at most 4096 long"):
        prompts.decode(message(prompts=[{"box": BOXED}] * (MOST_PROMPTS + 1)))


@pytest.mark.parametrize("far", [8193, -4097, 10**12, 10**400, float("inf"), -float("inf")])
def test_a_coordinate_beyond_the_wire_is_not_sent(far):
    places: list[Prompt] = [PointPrompt(1, (2.0, far)), LinePrompt(1, ((1.0, 2.0), (far, 1.0)))]
    if isinstance(far, int):
        places += [BoxPrompt(far, (0, 0, 1, 1)), BoxPrompt(1, (0, 0, 1, far))]
    for prompt in places:
        with pytest.raises(WireError, match="too far outside"):
            prompts.encode(ObjectPrompts((prompt,)))


def test_nan_is_neither_sent_nor_hashed():
    lost = ObjectPrompts((PointPrompt(1, (float("nan"), 2.0)),))
    for use in (prompts.encode, prompts.digest):
        with pytest.raises(ValueError, match="JSON compliant"):
            use(lost)


def test_a_message_cut_anywhere_is_refused():
    text = prompts.encode(dataclasses.replace(SAME, prompts=(mask_on_slice(1, np.eye(9)),)))
    for size in range(len(text)):
        with pytest.raises(WireError):
            prompts.decode(text[:size])
