"""Where on a slice the user lets a segment be changed: the Segment Editor's "editable area".

The Segment Editor's own logic works this out for the whole volume each time, which takes too long for
a slice that is streamed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import vtk

import slicer

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis

    from .SegmentationBridge import SegmentationBridge

_AREAS = slicer.vtkMRMLSegmentationNode
_INSIDE = (_AREAS.EditAllowedInsideAllSegments, _AREAS.EditAllowedInsideVisibleSegments)
_OUTSIDE = (_AREAS.EditAllowedOutsideAllSegments, _AREAS.EditAllowedOutsideVisibleSegments)
_OF_VISIBLE = (
    _AREAS.EditAllowedInsideVisibleSegments,
    _AREAS.EditAllowedOutsideVisibleSegments,
)


def editable(
    editorNode: vtk.vtkObject,
    bridge: SegmentationBridge,
    segmentId: str,
    axis: SliceAxis,
    index: int,
) -> np.ndarray | None:
    """The pixels of a slice that may change, booleans ``[rows, columns]``; None for all of them.

    Args:
        editorNode: the vtkMRMLSegmentEditorNode that holds the choice.
        bridge: reads the segments.
        segmentId: the segment to be changed; it never stands in its own way.
        axis: that slices are taken across.
        index: of the slice.
    """
    areas = [
        _bySegments(editorNode, bridge, segmentId, axis, index),
        _byIntensity(editorNode, bridge, axis, index),
    ]
    chosen = [area_rc for area_rc in areas if area_rc is not None]
    return np.logical_and.reduce(chosen) if chosen else None


def _bySegments(
    editorNode: vtk.vtkObject,
    bridge: SegmentationBridge,
    segmentId: str,
    axis: SliceAxis,
    index: int,
) -> np.ndarray | None:
    mode = editorNode.GetMaskMode()
    visibleOnly = mode in _OF_VISIBLE
    if mode in _INSIDE:
        return _union(bridge, _among(bridge, visibleOnly=visibleOnly), axis, index)
    if mode in _OUTSIDE:
        others = set(_among(bridge, visibleOnly=visibleOnly)) - {segmentId}
        return ~_union(bridge, others, axis, index)
    if mode == _AREAS.EditAllowedInsideSingleSegment:
        return _union(bridge, [editorNode.GetMaskSegmentID() or ""], axis, index)
    return None


def overwrites(editorNode: vtk.vtkObject) -> bool:
    """Whether the user lets a segment take voxels from others."""
    return bool(editorNode.GetOverwriteMode() != editorNode.OverwriteNone)


def overwritten(editorNode: vtk.vtkObject, bridge: SegmentationBridge) -> list[str]:
    """The segments that a segment may take voxels from: none, the visible ones or all."""
    if not overwrites(editorNode):
        return []
    every = editorNode.GetOverwriteMode() == editorNode.OverwriteAllSegments
    return _among(bridge, visibleOnly=not every)


def _among(bridge: SegmentationBridge, *, visibleOnly: bool) -> list[str]:
    """All segments, or those that are shown."""
    display = bridge.node.GetDisplayNode()
    if not visibleOnly or display is None:
        return bridge.segmentIds
    return [one for one in bridge.segmentIds if display.GetSegmentVisibility(one)]


def _union(
    bridge: SegmentationBridge, segmentIds: Iterable[str], axis: SliceAxis, index: int
) -> np.ndarray:
    masks = [bridge.readSlice(segmentId, axis, index) for segmentId in segmentIds]
    return np.logical_or.reduce([*masks, bridge.readSlice("", axis, index)])


def _byIntensity(
    editorNode: vtk.vtkObject, bridge: SegmentationBridge, axis: SliceAxis, index: int
) -> np.ndarray | None:
    if not editorNode.GetSourceVolumeIntensityMask():
        return None
    voxels_kji = slicer.util.arrayFromVolume(bridge.volume.node)
    values_rc = np.moveaxis(voxels_kji, axis.value, 0)[index]
    values_rc = values_rc[..., 0] if values_rc.ndim == 3 else values_rc
    low, high = editorNode.GetSourceVolumeIntensityMaskRange()
    return (values_rc >= low) & (values_rc <= high)
