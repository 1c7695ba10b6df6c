"""Prompts from files: Slicer's markups, our own JSON, and masks of given slices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medsam2.core.errors import OutsideVolumeError, PromptError, PromptFileError
from medsam2.core.geometry import FloatArray, SliceAxis, box_corners
from medsam2.core.prompts import MaskPrompt, Prompt, RoiBox, mask_on_slice
from medsam2.io.files import has_suffix
from medsam2.io.markups import Markups, MarkupsPoints, MarkupsRoi, read_markups
from medsam2.io.prompt_json import ObjectEntry, PromptFile, read_prompt_file
from medsam2.io.segmentations import read_segments
from medsam2.io.segments import Segment

from .gather import Given, Grid, Triple
from .values import FileValue, RangeValue

_SLICERS_OWN = re.compile(
    r"(R|F|L|ROI|Points?|PointList|Line|Markups(ROI|Fiducial|Line)?)([ _]\d+)?", re.IGNORECASE
)
"""Names that Slicer gives to new markups: they say nothing of the object."""

Read = PromptFile | tuple[Markups, ...]


def read_file(value: FileValue) -> Read:
    """Reads one file of prompts.

    Raises:
        PromptFileError: it can't be read, or is of another kind.
    """
    path = value.path
    if has_suffix(path, ".mrk.json"):
        return read_markups(path)
    if not has_suffix(path, ".json"):
        msg = (
            f"{path.name} is no file of prompts; give .mrk.json (saved by Slicer) or .json, and "
            "masks as --mask."
        )
        raise PromptFileError(msg)
    found = read_prompt_file(path)
    if value.name is not None:
        msg = f"{path.name} names its objects itself; leave out {value.name}= in front of it."
        raise PromptFileError(msg)
    return found


def axis_of(files: Sequence[Read], chosen: SliceAxis | None) -> SliceAxis | None:
    """Returns the axis that the user or a file asks for, None where nobody does.

    Raises:
        PromptError: they ask for different ones.
    """
    asked = {SliceAxis.parse(f.axis) for f in files if isinstance(f, PromptFile) and f.axis}
    if chosen is not None:
        asked.add(chosen)
    if len(asked) > 1:
        names = " and ".join(sorted(axis.name.lower() for axis in asked))
        msg = f"The prompts are for slices across {names} at once; keep one --axis."
        raise PromptError(msg)
    return asked.pop() if asked else None


def prompts(grid: Grid, value: FileValue, content: Read) -> Iterator[Given]:
    """Yields what a file gives, on the volume's slices.

    Raises:
        OutsideVolumeError: something lies outside the volume.
    """
    if isinstance(content, PromptFile):
        for entry in content.objects:
            yield Given(entry.name, tuple(_entry(grid, entry)), value.path.name)
        return
    for markup in content:
        name = value.name or _object_name(markup.name)
        own = isinstance(markup, MarkupsRoi)
        yield Given(name, tuple(_markup(grid, markup)), value.path.name, own=own)


def ranges(content: Read) -> Iterator[RangeValue]:
    """Yields the ranges of slices that a file asks for."""
    for entry in content.objects if isinstance(content, PromptFile) else ():
        if entry.slice_range is not None:
            yield RangeValue(entry.name, *entry.slice_range)


def masks(grid: Grid, value: FileValue, slices: tuple[int, ...] | None) -> Iterator[Given]:
    """Yields every segment's masks on the given slices (None: on all that it touches).

    A segment that is on none of them is left out.

    Raises:
        PromptError: no segment is on any of the slices, or one name is for several segments.
        OutsideVolumeError: a slice is outside the volume.
    """
    segments = read_segments(value.path, onto=grid.volume).segments
    if value.name is not None and len(segments) > 1:
        count, file = len(segments), value.path.name
        msg = f"{file} has {count} segments with names of their own; leave out {value.name}=."
        raise PromptError(msg)
    found = False
    for segment in segments:
        given = tuple(_mask_prompts(grid, segment, slices))
        if given:
            found = True
            alone = len(segments) == 1 and segment.name == f"Label {segment.label_value}"
            yield Given(value.name or (None if alone else segment.name), given, value.path.name)
    if not found:
        where = "anywhere" if slices is None else "on the slices of --mask-slices"
        axis = grid.axis.name.lower()
        msg = f"{value.path.name} holds nothing {where} (slices across {axis}); choose others."
        raise PromptError(msg)


def _mask_prompts(
    grid: Grid, segment: Segment, slices: Sequence[int] | None
) -> Iterator[MaskPrompt]:
    masks_rc = np.moveaxis(segment.mask_kji, grid.axis.value, 0)
    count = masks_rc.shape[0]
    for index in range(count) if slices is None else slices:
        if not 0 <= index < count:
            msg = f"Mask slice {index} is outside the volume's slices 0 to {count - 1}."
            raise OutsideVolumeError(msg)
        if masks_rc[index].any():
            yield mask_on_slice(index, masks_rc[index])


def _object_name(markup: str) -> str | None:
    """Returns what a markup's name says of its object; ``liver negative`` is about the liver."""
    name = re.sub(r"[\s_-]*negative[\s_-]*", " ", markup, flags=re.IGNORECASE).strip()
    return None if not name or _SLICERS_OWN.fullmatch(name) else name


def _markup(grid: Grid, markup: Markups) -> Iterator[Prompt | RoiBox]:
    if isinstance(markup, MarkupsRoi):
        yield grid.roi_from_corners(markup.corners_ras)
    elif isinstance(markup, MarkupsPoints):
        for at_ras, positive in zip(markup.points_ras, markup.positive, strict=True):
            yield grid.point(_triple(at_ras), in_mm=True, positive=positive)
    else:
        ends_ras = _triple(markup.ends_ras[0]), _triple(markup.ends_ras[1])
        yield grid.line(ends_ras, in_mm=True)


def _entry(grid: Grid, entry: ObjectEntry) -> Iterator[Prompt | RoiBox]:
    if entry.box_ijk is not None:
        yield grid.roi(entry.box_ijk)
    if entry.box_ras_mm is not None:
        yield grid.roi_from_corners(box_corners(entry.box_ras_mm[:3], entry.box_ras_mm[3:]))
    for in_mm, points in ((False, entry.points_ijk), (True, entry.points_ras_mm)):
        for point in points:
            yield grid.point(point.at, in_mm=in_mm, positive=point.positive)
    for in_mm, ends in ((False, entry.line_ijk), (True, entry.line_ras_mm)):
        if ends is not None:
            yield grid.line(ends, in_mm=in_mm)
    if entry.mask is not None:
        yield from _entry_mask(grid, entry.mask.file, entry.mask.label, entry.mask.slices)


def _entry_mask(
    grid: Grid, file: Path, label: int, slices: tuple[int, ...] | None
) -> Iterator[MaskPrompt]:
    segments = read_segments(file, onto=grid.volume, labels=[label]).segments
    found = tuple(p for segment in segments for p in _mask_prompts(grid, segment, slices))
    if not found:
        msg = f"{file.name} has nothing of label {label} on the slices asked for; choose others."
        raise PromptError(msg)
    yield from found


def _triple(point: FloatArray) -> Triple:
    x, y, z = (float(n) for n in point)
    return x, y, z
