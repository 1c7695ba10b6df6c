"""One object's prompts on the wire.

Everything an object has is sent whenever any of it changes, so a message says what is, never what to
do: it can be lost, repeated or replayed without harm. The object's name stays with the user.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Annotated

import numpy as np

from medsam2.core.errors import MessageTooLargeError, OutsideVolumeError, WireError
from medsam2.core.geometry import BoxRC
from medsam2.core.masks import PackedMask
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    Prompt,
    RoiBox,
)

from . import strict
from .arrays import Axis, inflate
from .limits import LONGEST_AXIS, MOST_PROMPTS

Index = Annotated[int, strict.Range(-LONGEST_AXIS, 2 * LONGEST_AXIS)]
Place = Annotated[float, strict.Range(-LONGEST_AXIS, 2 * LONGEST_AXIS)]
Box = tuple[Index, Index, Index, Index]
Point = tuple[Place, Place]
Bits = Annotated[str, strict.Most((LONGEST_AXIS**2 // 8 * 4) // 3 + 1024)]


@dataclasses.dataclass(frozen=True)
class WireMask:
    """A locked slice: ``numpy.packbits`` of the flattened mask, deflated, in base64."""

    index: Index
    shape_rc: tuple[Axis, Axis]
    bits: Bits


@dataclasses.dataclass(frozen=True)
class WireBox:
    """A box on one slice: inclusive row, column, row, column."""

    index: Index
    box_rc: Box


@dataclasses.dataclass(frozen=True)
class WirePoint:
    """A click on one slice, row and column; pixel centres are whole numbers."""

    index: Index
    point_rc: Point
    positive: bool = True


@dataclasses.dataclass(frozen=True)
class WireLine:
    """A diameter on one slice: its two ends, row and column."""

    index: Index
    ends_rc: tuple[Point, Point]


@dataclasses.dataclass(frozen=True)
class WireRoi:
    """A 3D box: inclusive slices and an inclusive footprint."""

    first: Index
    last: Index
    box_rc: Box


@dataclasses.dataclass(frozen=True)
class WirePrompt:
    """One prompt: exactly one of the fields is given."""

    box: WireBox | None = None
    point: WirePoint | None = None
    line: WireLine | None = None
    mask: WireMask | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in vars(self).values()) != 1:
            msg = "A prompt is exactly one of box, point, line or mask."
            raise WireError(msg)


@dataclasses.dataclass(frozen=True)
class WireObject:
    """All prompts of one object, in the order they were given."""

    prompts: Annotated[tuple[WirePrompt, ...], strict.Most(MOST_PROMPTS)] = ()
    roi: WireRoi | None = None
    slice_range: tuple[Index, Index] | None = None


def encode(prompts: ObjectPrompts) -> bytes:
    """Returns an object's prompts as JSON.

    Raises:
        WireError: a coordinate is beyond what the wire carries.
        MessageTooLargeError: there are too many prompts.
        ValueError: a coordinate is NaN.
    """
    if len(prompts.prompts) > MOST_PROMPTS:
        msg = f"An object may have {MOST_PROMPTS} prompts at most; remove some."
        raise MessageTooLargeError(msg)
    roi, span = prompts.roi, prompts.slice_range
    message = WireObject(
        tuple(_to_wire(prompt) for prompt in prompts.prompts),
        None if roi is None else WireRoi(_index(roi.first), _index(roi.last), _box(roi.box_rc)),
        None if span is None else (_index(span[0]), _index(span[1])),
    )
    return strict.to_json(message)


def decode(
    data: bytes | bytearray | memoryview,
    slices: int = LONGEST_AXIS,
    shape_rc: tuple[int, int] | None = None,
) -> ObjectPrompts:
    """Reads an object's prompts; whether they fit the volume is for the session to say.

    Args:
        data: JSON.
        slices: of the volume; an object has no more locked ones.
        shape_rc: of a slice, where it is known; a mask of another shape is refused before it is
            unpacked, so that a small message can't ask for more memory than its volume has.

    Raises:
        WireError: the message is malformed.
        OutsideVolumeError: a mask has another shape.
    """
    message = strict.from_json(WireObject, data)
    masks = [prompt.mask for prompt in message.prompts if prompt.mask is not None]
    if len(masks) > slices:
        msg = f"An object of this volume has {slices} locked slices at most."
        raise WireError(msg)
    for mask in masks if shape_rc is not None else ():
        if mask.shape_rc != shape_rc:
            msg = (
                f"The mask on slice {mask.index} has shape {mask.shape_rc}, the volume's slices "
                f"have {shape_rc}."
            )
            raise OutsideVolumeError(msg)
    roi = message.roi
    return ObjectPrompts(
        tuple(_from_wire(prompt) for prompt in message.prompts),
        None if roi is None else RoiBox(roi.first, roi.last, roi.box_rc),
        message.slice_range,
    )


def digest(prompts: ObjectPrompts) -> str:
    """SHA-256 of what the prompts mean: equal for equal prompts, however they were compressed.

    Raises:
        ValueError: a coordinate is NaN or infinite.
    """
    parts = [_meaning(prompt) for prompt in prompts.prompts]
    roi, span = prompts.roi, prompts.slice_range
    box = None if roi is None else [int(roi.first), int(roi.last), [int(n) for n in roi.box_rc]]
    limits = None if span is None else [int(n) for n in span]
    text = json.dumps([parts, box, limits], separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _meaning(prompt: Prompt) -> list[object]:
    match prompt:
        case BoxPrompt(index, box_rc):
            return ["box", int(index), [int(edge) for edge in box_rc]]
        case PointPrompt(index, point_rc, positive):
            return ["point", int(index), [float(x) for x in point_rc], bool(positive)]
        case LinePrompt(index, ends_rc):
            return ["line", int(index), [[float(x) for x in end] for end in ends_rc]]
        case MaskPrompt(index, mask_rc):
            bits = hashlib.sha256(np.ascontiguousarray(mask_rc.bits).data).hexdigest()
            return ["mask", int(index), [int(n) for n in mask_rc.shape_rc], bits]


def _box(box_rc: BoxRC) -> BoxRC:
    row0, col0, row1, col1 = (_index(edge) for edge in box_rc)
    return row0, col0, row1, col1


def _index(value: int) -> int:
    return int(_place(int(value)))


def _place(value: float) -> float:
    if value < -LONGEST_AXIS or value > 2 * LONGEST_AXIS:
        msg = "A coordinate is too far outside any volume; remove that prompt."
        raise WireError(msg)
    return float(value)


def _to_wire(prompt: Prompt) -> WirePrompt:
    index = _index(prompt.index)
    match prompt:
        case BoxPrompt():
            return WirePrompt(box=WireBox(index, _box(prompt.box_rc)))
        case PointPrompt():
            row, column = (_place(x) for x in prompt.point_rc)
            return WirePrompt(point=WirePoint(index, (row, column), bool(prompt.positive)))
        case LinePrompt():
            (r0, c0), (r1, c1) = ((_place(r), _place(c)) for r, c in prompt.ends_rc)
            return WirePrompt(line=WireLine(index, ((r0, c0), (r1, c1))))
        case MaskPrompt():
            bits = zlib.compress(np.ascontiguousarray(prompt.mask_rc.bits).data, 1)
            text = base64.b64encode(bits).decode("ascii")
            rows, columns = (int(n) for n in prompt.mask_rc.shape_rc)
            return WirePrompt(mask=WireMask(index, (rows, columns), text))


def _from_wire(prompt: WirePrompt) -> Prompt:
    if prompt.box is not None:
        return BoxPrompt(prompt.box.index, prompt.box.box_rc)
    if prompt.point is not None:
        return PointPrompt(prompt.point.index, prompt.point.point_rc, prompt.point.positive)
    if prompt.line is not None:
        return LinePrompt(prompt.line.index, prompt.line.ends_rc)
    if prompt.mask is None:
        msg = "A prompt is exactly one of box, point, line or mask."
        raise WireError(msg)
    return MaskPrompt(prompt.mask.index, unpack_bits(prompt.mask))


def unpack_bits(mask: WireMask) -> PackedMask:
    """Reads a locked slice's bits.

    Raises:
        WireError: they are damaged, or too few or too many for the shape.
    """
    rows, columns = mask.shape_rc
    try:
        squeezed = base64.b64decode(mask.bits, validate=True)
    except (binascii.Error, ValueError):
        msg = "A mask's bits are not base64."
        raise WireError(msg) from None
    plain = inflate(squeezed, (rows * columns + 7) // 8)
    return PackedMask(np.frombuffer(plain, np.uint8), mask.shape_rc)


def digests(objects: Mapping[int, ObjectPrompts]) -> dict[str, str]:
    """Digests by object id, as a job names them."""
    return {str(object_id): digest(prompts) for object_id, prompts in sorted(objects.items())}
