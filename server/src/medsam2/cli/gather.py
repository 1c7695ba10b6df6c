"""From options and files to prompts on a volume's slices, each with the name it was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from medsam2.core.errors import OutsideVolumeError, PromptError
from medsam2.core.geometry import (
    BoxIJK,
    FloatArray,
    SliceAxis,
    box_corners,
    box_from_corners_ras,
    ras_to_ijk,
)
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    PointPrompt,
    Prompt,
    RoiBox,
    box_3d,
    line_on_slice,
    point_on_slice,
)
from medsam2.core.volume import Volume

from .values import BoxValue, LineValue, PointValue, SliceValue

Triple = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Given:
    """What one option or one entry of a file gave.

    Args:
        name: of its object; None when it has none.
        values: on the volume's slices, all for the same object.
        source: the option or file, for messages.
        own: whether it makes an object of its own when it has no name (boxes do).
    """

    name: str | None
    values: tuple[Prompt | RoiBox, ...]
    source: str
    own: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """A volume, and the axis its slices are taken across: where prompts are put."""

    volume: Volume
    axis: SliceAxis

    def ijk(self, point: Triple, *, in_mm: bool) -> Triple:
        """Returns a point in continuous voxel indices; ``in_mm`` says that it is in RAS."""
        if not in_mm:
            return point
        i, j, k = ras_to_ijk(self.volume.affine_ijk_to_ras, point)
        return float(i), float(j), float(k)

    def point(self, at: Triple, *, in_mm: bool, positive: bool) -> PointPrompt:
        """Puts a click onto the slice nearest to it.

        Raises:
            OutsideVolumeError: it lies outside.
        """
        at_ijk = self.ijk(at, in_mm=in_mm)
        self._check_inside(at_ijk, at, in_mm=in_mm)
        return point_on_slice(at_ijk, self.axis, positive=positive)

    def line(self, ends: tuple[Triple, Triple], *, in_mm: bool) -> LinePrompt:
        """Puts a diameter onto the slice nearest to its middle.

        Raises:
            OutsideVolumeError: an end lies outside.
        """
        ends_ijk = self.ijk(ends[0], in_mm=in_mm), self.ijk(ends[1], in_mm=in_mm)
        for end_ijk, end in zip(ends_ijk, ends, strict=True):
            self._check_inside(end_ijk, end, in_mm=in_mm)
        return line_on_slice(ends_ijk, self.axis)

    def roi(self, box_ijk: BoxIJK) -> RoiBox:
        """Makes a 3D box of inclusive voxel indices; see :func:`medsam2.core.prompts.box_3d`."""
        return box_3d(box_ijk, self.volume, self.axis)

    def roi_from_corners(self, corners_ras: FloatArray) -> RoiBox:
        """Makes a 3D box around 8 corners ``[8, 3]`` in RAS mm."""
        affine = self.volume.affine_ijk_to_ras
        return self.roi(box_from_corners_ras(corners_ras, affine, self.volume.shape_kji))

    def flat_box(self, numbers: Sequence[float], index: int) -> BoxPrompt:
        """Makes a box on one slice of four inclusive voxel indices, in i, j, k order."""
        row, column = self.axis.rc_positions_ijk
        first = {min(row, column): numbers[0], max(row, column): numbers[1]}
        last = {min(row, column): numbers[2], max(row, column): numbers[3]}
        box_rc = int(first[row]), int(first[column]), int(last[row]), int(last[column])
        return BoxPrompt(index, box_rc)

    def _check_inside(self, at_ijk: Triple, at: Triple, *, in_mm: bool) -> None:
        limits = [n - 0.5 for n in reversed(self.volume.shape_kji)]
        if all(-0.5 <= x <= limit for x, limit in zip(at_ijk, limits, strict=True)):
            return
        text = ",".join(f"{x:g}" for x in at)
        last = ",".join(f"{limit - 0.5:g}" for limit in limits)
        where = f" mm (RAS) is voxel {','.join(f'{x:.0f}' for x in at_ijk)} and" if in_mm else ""
        msg = f"The point {text}{where} lies outside the volume, voxels 0,0,0 to {last}."
        raise OutsideVolumeError(msg)


def boxes(
    grid: Grid,
    given_ijk: Sequence[BoxValue],
    given_mm: Sequence[BoxValue],
    slices: Sequence[SliceValue],
) -> Iterator[Given]:
    """Yields the boxes given by numbers; those that have a slice start or lie on it.

    Raises:
        PromptError: a flat box has no slice, a slice has no box, or isn't one of its box's.
        OutsideVolumeError: a box touches no voxel.
    """
    by_name = {value.name: value.index for value in slices}
    used = set()
    options = [(box, "--box-ijk") for box in given_ijk] + [(box, "--box-mm") for box in given_mm]
    for box, option in options:
        key = box.name if box.name in by_name else None
        index = by_name.get(key)
        used.add(key)
        if len(box.numbers) == 4:
            yield _flat(grid, box, index)
            continue
        roi = _roi(grid, box, in_mm=option == "--box-mm")
        start = () if index is None else (_start(roi, index),)
        yield Given(box.name, (roi, *start), option, own=True)
    for value in slices:
        if value.name not in used:
            whose = f"of {value.name} " if value.name else ""
            msg = f"--slice {value.index} {whose}has no box; add --box-ijk, or leave it out."
            raise PromptError(msg)


def _flat(grid: Grid, box: BoxValue, index: int | None) -> Given:
    if index is None:
        msg = "A --box-ijk of four numbers lies on one slice; say which with --slice N."
        raise PromptError(msg)
    return Given(box.name, (grid.flat_box(box.numbers, index),), "--box-ijk", own=True)


def _roi(grid: Grid, box: BoxValue, *, in_mm: bool) -> RoiBox:
    if in_mm:
        return grid.roi_from_corners(box_corners(box.numbers[:3], box.numbers[3:]))
    i0, j0, k0, i1, j1, k1 = (int(n) for n in box.numbers)
    return grid.roi((i0, j0, k0, i1, j1, k1))


def _start(roi: RoiBox, index: int) -> BoxPrompt:
    """Returns the box's footprint on the slice that tracking is to start from."""
    if not roi.first <= index <= roi.last:
        msg = f"--slice {index} is not one of its box's slices, {roi.first} to {roi.last}."
        raise PromptError(msg)
    return BoxPrompt(index, roi.box_rc)


def points(grid: Grid, given: Sequence[PointValue], *, in_mm: bool) -> Iterator[Given]:
    """Yields the clicks."""
    for value in given:
        prompt = grid.point(value.at, in_mm=in_mm, positive=value.positive)
        yield Given(value.name, (prompt,), "--point-mm" if in_mm else "--point")


def lines(grid: Grid, given: Sequence[LineValue], *, in_mm: bool) -> Iterator[Given]:
    """Yields the diameters."""
    for value in given:
        prompt = grid.line(value.ends, in_mm=in_mm)
        yield Given(value.name, (prompt,), "--line-mm" if in_mm else "--line-ijk")
