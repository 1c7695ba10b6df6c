"""From prompt nodes to the engine's prompts: the one place where millimetres become slices.

Points and lines go to the slice they are nearest to. A line, a box or a lasso that was drawn in a view
across the slices is read as the ball it measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import vtk

from . import PromptNodes
from .PromptNodes import KIND
from .VolumeBridge import spacingOf

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis
    from medsam2.core.masks import PackedMask
    from medsam2.core.prompts import ObjectPrompts, Prompt

    from .VolumeBridge import VolumeBridge

TOLERANCE = 1e-6
"""Of places in voxels, which come through matrices."""
MAX_SCRIBBLE_POINTS = 12
"""A scribble gives at most this many clicks, evenly spread: more tell the model nothing new."""


def readPrompts(
    nodes: Iterable[vtk.vtkObject],
    volume: VolumeBridge,
    axis: SliceAxis,
    locked: Mapping[int, PackedMask] | None = None,
    sliceRange: tuple[int, int] | None = None,
    name: str = "Segment",
) -> ObjectPrompts:
    """Collects one segment's prompts for the engine.

    Args:
        nodes: the segment's prompt nodes; those not placed yet are passed over.
        volume: the volume they lie on.
        axis: the axis that is propagated along.
        locked: the user's own masks by slice.
        sliceRange: inclusive first and last slice to propagate over.
        name: the segment's name, for messages.

    Raises:
        OutsideVolumeError: a box touches no voxel.
    """
    from medsam2.core.prompts import MaskPrompt, ObjectPrompts, RoiBox

    prompts: list[Prompt] = []
    roi = None
    for node in nodes:
        place = volume.at(node)
        if place is None or not PromptNodes.isComplete(node):
            continue
        if node.GetAttribute(KIND) == "roi":
            (first, last), box_rc = axis.split_box(place.boxOf(node))
            roi = RoiBox(first, last, box_rc)
        else:
            prompts.extend(_READERS[node.GetAttribute(KIND)](node, place, axis))
    prompts.extend(MaskPrompt(index, mask_rc) for index, mask_rc in sorted((locked or {}).items()))
    return ObjectPrompts(tuple(prompts), roi, sliceRange, name)


def _inside(node: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis) -> Iterator[Prompt]:
    yield from _clicks(volume.rasToIjk(PromptNodes.points_ras(node)), volume, axis, positive=True)


def _outside(node: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis) -> Iterator[Prompt]:
    yield from _clicks(volume.rasToIjk(PromptNodes.points_ras(node)), volume, axis, positive=False)


def _clicks(
    points_ijk: np.ndarray, volume: VolumeBridge, axis: SliceAxis, *, positive: bool
) -> Iterator[Prompt]:
    """Clicks on the volume; those beside it say nothing of its voxels."""
    from medsam2.core.prompts import point_on_slice

    limit_ijk = np.array(volume.shape_kji[::-1]) - 0.5
    for point_ijk in points_ijk:
        if (point_ijk >= -0.5).all() and (point_ijk <= limit_ijk).all():
            yield point_on_slice(_onCentres(point_ijk, volume, axis), axis, positive=positive)


def _onCentres(point_ijk: np.ndarray, volume: VolumeBridge, axis: SliceAxis) -> tuple:
    """Keeps the slice index inside the volume where a click on its very face would round out."""
    point = [float(value) for value in point_ijk]
    across = axis.ijk_position
    point[across] = min(max(point[across], 0.0), volume.shape_kji[axis.value] - 1.0)
    return tuple(point)


def _line(node: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis) -> Iterator[Prompt]:
    """A diameter, cut where the volume ends; one that lies beside it says nothing of its voxels."""
    from medsam2.core.prompts import line_on_slice

    ends_ijk = volume.rasToIjk(PromptNodes.points_ras(node)[:2])
    steps_ijk = ends_ijk[1] - ends_ijk[0]
    if abs(steps_ijk[axis.ijk_position]) > 1.0:
        ends_ijk = _turnedIntoSlice(ends_ijk, volume, axis)
    last_ijk = np.array(volume.shape_kji[::-1]) - 1.0
    if (ends_ijk.max(axis=0) < -0.5).any() or (ends_ijk.min(axis=0) > last_ijk + 0.5).any():
        return
    ends = tuple(tuple(float(value) for value in end) for end in np.clip(ends_ijk, 0.0, last_ijk))
    yield line_on_slice(ends, axis)


def _turnedIntoSlice(ends_ijk: np.ndarray, volume: VolumeBridge, axis: SliceAxis) -> np.ndarray:
    """A line of the same length that lies in the middle's slice: along its rows or its columns.

    It is moved no further than it must to lie in the volume, along the one that needs less of it.
    """
    spacing_ijk = spacingOf(volume)
    half_mm, middle_ijk = math.dist(*(ends_ijk * spacing_ijk)) / 2, ends_ijk.mean(axis=0)
    turned = []
    for position in reversed(axis.rc_positions_ijk):
        reach, last = half_mm / spacing_ijk[position], volume.shape_kji[2 - position] - 1.0
        reach = min(reach, last / 2)
        moved_ijk = middle_ijk.copy()
        moved_ijk[position] = np.clip(middle_ijk[position], reach, last - reach)
        lost_mm = half_mm - reach * spacing_ijk[position]
        shift_mm = abs(moved_ijk - middle_ijk)[position] * spacing_ijk[position]
        reach_ijk = reach * np.eye(3)[position]
        turned.append((2 * lost_mm + shift_mm, [moved_ijk - reach_ijk, moved_ijk + reach_ijk]))
    return np.array(min(turned, key=lambda one: one[0])[1])


def _box(node: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis) -> Iterator[Prompt]:
    from medsam2.core.prompts import BoxPrompt

    box_ijk = volume.boxOf(node)
    (first, last), box_rc = axis.split_box(box_ijk)
    yield BoxPrompt((first + last) // 2, box_rc)


def _scribble(node: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis) -> Iterator[Prompt]:
    points_ras = PromptNodes.points_ras(node)
    chosen = np.linspace(0, len(points_ras) - 1, min(len(points_ras), MAX_SCRIBBLE_POINTS))
    points_ijk = volume.rasToIjk(points_ras[np.round(chosen).astype(int)])
    yield from _clicks(points_ijk, volume, axis, positive=True)


def _lasso(node: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis) -> Iterator[Prompt]:
    """The box around the outline on the slice it was drawn on; across the slices on its middle one.

    There it is as deep as it is wide on average, as a box that was drawn so.
    """
    from medsam2.core.prompts import BoxPrompt

    points_ijk = volume.rasToIjk(PromptNodes.points_ras(node))
    low_ijk, high_ijk = points_ijk.min(axis=0), points_ijk.max(axis=0)
    if high_ijk[axis.ijk_position] - low_ijk[axis.ijk_position] > 1.0:
        low_ijk, high_ijk = _deepened(low_ijk, high_ijk, volume, axis)
    index, low_rc = axis.split_ijk(low_ijk)
    high_index, high_rc = axis.split_ijk(high_ijk)
    corners = [math.ceil(value - TOLERANCE) for value in low_rc]
    corners += [math.floor(value + TOLERANCE) for value in high_rc]
    middle = np.clip(round((index + high_index) / 2), 0, volume.shape_kji[axis.value] - 1)
    yield BoxPrompt(int(middle), tuple(corners))


def _deepened(
    low_ijk: np.ndarray, high_ijk: np.ndarray, volume: VolumeBridge, axis: SliceAxis
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of an outline that was drawn across the slices, given a depth."""
    spacing_ijk = spacingOf(volume)
    sides_mm, middle_ijk = (high_ijk - low_ijk) * spacing_ijk, (low_ijk + high_ijk) / 2
    flat = min(axis.rc_positions_ijk, key=lambda position: sides_mm[position])
    depth_mm = np.delete(sides_mm, flat).mean()
    reach_ijk = (high_ijk - low_ijk) / 2
    reach_ijk[flat] = max(reach_ijk[flat], depth_mm / 2 / spacing_ijk[flat])
    return middle_ijk - reach_ijk, middle_ijk + reach_ijk


_READERS = {
    "inside": _inside,
    "outside": _outside,
    "box": _box,
    "line": _line,
    "scribble": _scribble,
    "lasso": _lasso,
}
