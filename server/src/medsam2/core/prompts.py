"""What the user gives: prompts on slices, collected per object.

All prompts of an object lie on slices across one axis, the one its session was opened with; the
``on_slice`` constructors and :func:`box_3d` split volume coordinates accordingly. Boxes are inclusive
voxel indices, points are continuous ``rc`` indices with pixel centres at integers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from .errors import EmptyRangeError, NoPromptError, OutsideVolumeError
from .geometry import BoxIJK, BoxRC, SliceAxis, check_box_ijk, check_range
from .masks import BoolArray, PackedMask
from .volume import Volume


@dataclasses.dataclass(frozen=True)
class BoxPrompt:
    """A 2D box around the object on one slice (inclusive ``row0, col0, row1, col1``)."""

    index: int
    box_rc: BoxRC


@dataclasses.dataclass(frozen=True)
class PointPrompt:
    """A click on one slice: inside the object when ``positive``, outside it otherwise."""

    index: int
    point_rc: tuple[float, float]
    positive: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class MaskPrompt:
    """The object's exact mask on one slice, drawn or corrected by the user.

    The slice is locked: its result is this mask, bit for bit, whatever else is propagated.
    """

    index: int
    mask_rc: PackedMask


@dataclasses.dataclass(frozen=True)
class LinePrompt:
    """The object's longest diameter on one slice, as in RECIST 1.1 (two ends in ``rc``)."""

    index: int
    ends_rc: tuple[tuple[float, float], tuple[float, float]]

    def length_mm(self, spacing_rc: tuple[float, float]) -> float:
        """Length of the line in mm."""
        (r0, c0), (r1, c1) = self.ends_rc
        return math.hypot((r1 - r0) * spacing_rc[0], (c1 - c0) * spacing_rc[1])

    def box_rc(self, spacing_rc: tuple[float, float], shape_rc: tuple[int, int]) -> BoxRC:
        """The square (in mm) centred on the line with its length as side, clipped to the slice."""
        half = self.length_mm(spacing_rc) / 2
        middle = np.mean(np.array(self.ends_rc), axis=0)
        reach = half / np.array(spacing_rc)
        limit = np.array(shape_rc) - 1
        low = np.clip(np.round(middle - reach), 0, limit).astype(int)
        high = np.clip(np.round(middle + reach), 0, limit).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def extent(
        self, spacing_rc: tuple[float, float], spacing_across_mm: float, count: int
    ) -> tuple[int, int]:
        """The inclusive slice range of a ball with the line as diameter, clipped to the volume."""
        reach = round(self.length_mm(spacing_rc) / 2 / spacing_across_mm)
        return max(0, self.index - reach), min(count - 1, self.index + reach)


Prompt = BoxPrompt | PointPrompt | MaskPrompt | LinePrompt


@dataclasses.dataclass(frozen=True)
class RoiBox:
    """A 3D box that holds the whole object: a slice range and a footprint on each of its slices.

    Nothing outside it is segmented, and every slice of it may use its footprint.
    """

    first: int
    last: int
    box_rc: BoxRC


@dataclasses.dataclass(frozen=True)
class ObjectPrompts:
    """All that is known of one object; a session's results are a function of this alone.

    Args:
        prompts: on any slices, in any mix that the model takes.
        roi: the 3D box, if the user drew one.
        slice_range: inclusive first and last slice to segment; None means the ROI's range, or as
            far as the object reaches.
        name: shown to the user.
    """

    prompts: tuple[Prompt, ...] = ()
    roi: RoiBox | None = None
    slice_range: tuple[int, int] | None = None
    name: str = "Segment"

    def prompted_indices(self) -> list[int]:
        """Slices that carry a prompt, ascending."""
        return sorted({prompt.index for prompt in self.prompts})

    def on_slice(self, index: int) -> Iterator[Prompt]:
        """The prompts on one slice, in the order they were given."""
        return (prompt for prompt in self.prompts if prompt.index == index)

    def checked(self, volume: Volume, axis: SliceAxis) -> ObjectPrompts:
        """Returns these prompts with boxes and ranges clipped to the volume.

        Raises:
            NoPromptError: there is neither a prompt nor a ROI.
            OutsideVolumeError: a prompt lies outside the volume, or a mask has another shape.
            EmptyRangeError: the range is reversed, or leaves nothing of the ROI.
        """
        if not self.prompts and self.roi is None:
            msg = f"{self.name} has no prompt; give a box, a point, a line or a mask."
            raise NoPromptError(msg)
        count, shape_rc = volume.count(axis), volume.shape_rc(axis)
        prompts = tuple(_checked_prompt(p, count, shape_rc) for p in self.prompts)
        roi = self.roi
        if roi is not None:
            first, last = check_range(roi.first, roi.last, count)
            roi = RoiBox(first, last, _clip_box(roi.box_rc, shape_rc))
        slice_range = self.slice_range
        if slice_range is not None:
            slice_range = check_range(*slice_range, count)
        if slice_range is not None and roi is not None:
            slice_range = self._common(slice_range, (roi.first, roi.last))
        return dataclasses.replace(self, prompts=prompts, roi=roi, slice_range=slice_range)

    def _common(self, limit: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
        """The slices of the range that are the ROI's."""
        first, last = max(limit[0], box[0]), min(limit[1], box[1])
        if first > last:
            msg = (
                f"{self.name} has its box on slices {box[0]} to {box[1]}, outside its range "
                f"{limit[0]} to {limit[1]}; widen the range, or move the box."
            )
            raise EmptyRangeError(msg)
        return first, last

    def span(self, volume: Volume, axis: SliceAxis) -> tuple[int, int]:
        """Inclusive first and last slice to segment; for prompts that :meth:`checked` returned.

        The range, else the ROI's, else as far as the balls around the lines reach, else all slices.
        """
        count = volume.count(axis)
        if self.slice_range is not None:
            return self.slice_range
        if self.roi is not None:
            return self.roi.first, self.roi.last
        lines = [p for p in self.prompts if isinstance(p, LinePrompt)]
        if not lines:
            return 0, count - 1
        spacing, across = volume.spacing_rc(axis), volume.spacing_across(axis)
        extents = [line.extent(spacing, across, count) for line in lines]
        extents += [(p.index, p.index) for p in self.prompts]
        return min(first for first, _ in extents), max(last for _, last in extents)

    def within(self, first: int, last: int) -> ObjectPrompts:
        """Returns these prompts without those outside an inclusive range of slices.

        Raises:
            NoPromptError: no prompt is left, and there is no ROI either.
        """
        inside = tuple(p for p in self.prompts if first <= p.index <= last)
        if not inside and self.roi is None:
            msg = f"No prompt of {self.name} lies in its range {first}..{last}; widen the range."
            raise NoPromptError(msg)
        return dataclasses.replace(self, prompts=inside)


def box_3d(box_ijk: BoxIJK, volume: Volume, axis: SliceAxis) -> RoiBox:
    """Makes a ROI from an inclusive voxel box, clipped to the volume.

    Raises:
        OutsideVolumeError: the box touches no voxel.
    """
    (first, last), box_rc = axis.split_box(check_box_ijk(box_ijk, volume.shape_kji))
    return RoiBox(first, last, box_rc)


def point_on_slice(
    point_ijk: tuple[float, float, float], axis: SliceAxis, *, positive: bool = True
) -> PointPrompt:
    """Makes a point prompt on the slice nearest to a continuous ``ijk`` point."""
    index, point_rc = axis.split_ijk(point_ijk)
    return PointPrompt(round(index), point_rc, positive)


def line_on_slice(
    ends_ijk: tuple[tuple[float, float, float], tuple[float, float, float]], axis: SliceAxis
) -> LinePrompt:
    """Makes a diameter prompt on the slice nearest to the middle of a line's two ``ijk`` ends."""
    (index0, rc0), (index1, rc1) = (axis.split_ijk(end) for end in ends_ijk)
    return LinePrompt(round((index0 + index1) / 2), (rc0, rc1))


def mask_on_slice(index: int, mask_rc: BoolArray) -> MaskPrompt:
    """Makes a locked slice from a boolean mask ``[rows, columns]``."""
    return MaskPrompt(index, PackedMask.pack(mask_rc))


def _clip_box(box_rc: BoxRC, shape_rc: tuple[int, int]) -> BoxRC:
    corners = np.array(box_rc).reshape(2, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    limit = np.array(shape_rc) - 1
    if (high < 0).any() or (low > limit).any():
        msg = (
            f"The box {list(box_rc)} (row, column, row, column) lies outside the slice of "
            f"{shape_rc[0]} rows and {shape_rc[1]} columns."
        )
        raise OutsideVolumeError(msg)
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _checked_prompt(prompt: Prompt, count: int, shape_rc: tuple[int, int]) -> Prompt:
    if not 0 <= prompt.index < count:
        msg = f"Slice {prompt.index} is outside the volume's slices 0..{count - 1}."
        raise OutsideVolumeError(msg)
    match prompt:
        case BoxPrompt():
            return dataclasses.replace(prompt, box_rc=_clip_box(prompt.box_rc, shape_rc))
        case MaskPrompt() if prompt.mask_rc.shape_rc != shape_rc:
            msg = (
                f"The mask on slice {prompt.index} has shape {prompt.mask_rc.shape_rc}, "
                f"the volume's slices have {shape_rc}."
            )
            raise OutsideVolumeError(msg)
        case PointPrompt():
            points = [prompt.point_rc]
        case LinePrompt():
            points = list(prompt.ends_rc)
        case _:
            return prompt
    limit = np.array(shape_rc) - 0.5
    if not all(((np.array(p) >= -0.5) & (np.array(p) <= limit)).all() for p in points):
        msg = (
            f"A point on slice {prompt.index} lies outside its {shape_rc[0]} rows and "
            f"{shape_rc[1]} columns."
        )
        raise OutsideVolumeError(msg)
    return prompt
