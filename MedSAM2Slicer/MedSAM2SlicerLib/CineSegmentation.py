"""Masks of frames: a sequence of segmentations in the browser of the volume's frames.

The scene shows one frame in the *proxy*, the segmentation node that the user chose; the other frames
are kept in the sequence. Slicer takes what is painted on the proxy into its frame; here it is made
sure of once more before another frame is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vtk

import slicer

from .CineBridge import FrameNodes
from .SegmentationBridge import (
    BINARY_LABELMAP,
    SegmentationBridge,
    createSegmentation,
    stampOf,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from medsam2.core.geometry import SliceAxis

    from .CineBridge import CineBridge

TAGS = (
    slicer.vtkSegment.GetTerminologyEntryTagName(),
    slicer.vtkSlicerSegmentationsModuleLogic.GetStatusTagName(),
)
"""Tags of a segment that hold for all frames, beside its name and colour."""


class FrameTags:
    """Tags of a segment about its frames: kept with the sequence, for each plane apart.

    A segment's own tags change with the frame that is shown.
    """

    def __init__(self, sequence: vtk.vtkObject, segmentId: str, planeName: str) -> None:
        self._sequence = sequence
        self._suffix = f"/{segmentId}/{planeName}"

    def GetTag(self, tag: str, text: Any) -> bool:
        """Sets ``text`` (a ``vtk.reference``) to the tag's text; False where there is none."""
        held = self._sequence.GetAttribute(tag + self._suffix)
        text.set(held or "")
        return bool(held)

    def SetTag(self, tag: str, text: str | None) -> None:
        """Sets the tag, without an event: Slicer would copy the frame in view anew for it."""
        self._sequence.DisableModifiedEventOn()
        self._sequence.SetAttribute(tag + self._suffix, text)
        self._sequence.DisableModifiedEventOff()
        self._sequence.StorableModified()

    def RemoveTag(self, tag: str) -> None:
        """Takes the tag away."""
        self.SetTag(tag, None)


class CineSegmentation:
    """The counterpart of :class:`SegmentationBridge` where slices are frames.

    Args:
        node: the proxy of a segmentation sequence in the volume's browser.
        volume: the frames.
        editorNode: see :class:`SegmentationBridge`.

    Raises:
        OutputError: the segmentation is not such a proxy, or lies on another grid.

    Threading: main thread only.
    """

    def __init__(self, node: vtk.vtkObject, volume: CineBridge, editorNode: vtk.vtkObject) -> None:
        from medsam2.core.errors import OutputError

        sequence = volume.browser.GetSequenceNode(node)
        if sequence is None:
            msg = (
                f"{node.GetName()} holds masks of one frame; choose a new segmentation to "
                "propagate through time."
            )
            raise OutputError(msg)
        self.node, self.volume, self._sequence = node, volume, sequence
        volume.browser.SetPlayback(sequence, True)
        volume.browser.SetSaveChanges(sequence, True)
        self._inView = SegmentationBridge(node, volume.space, editorNode)
        self._stored = SegmentationBridge(node, volume.space, editorNode)
        self._frames = FrameNodes(volume.browser, sequence, exact=True)
        self._shared: dict[str, tuple[Any, ...]] = {}
        self._addMissing()
        self.shareSegments()

    @property
    def nodes(self) -> tuple[vtk.vtkObject, ...]:
        """What must stay in the scene."""
        return self.node, self._sequence

    # Frames

    def _otherFrames(self) -> Iterator[vtk.vtkObject]:
        for frame, node in enumerate(self._frames.nodes()):
            if frame != self.volume.shown and node is not None:
                yield node

    def _bridge(self, frame: int) -> SegmentationBridge | None:
        """Reads and writes one frame; None for one that the sequence lacks."""
        if frame == self.volume.frame:
            return self._inView
        self._stored.node = self._frames.nodes()[frame]
        if self._stored.node is None:
            return None
        self._stored.volume = self.volume.volumeOf(frame)
        return self._stored

    def frames(self) -> Iterator[tuple[vtk.vtkObject, vtk.vtkObject]]:
        """Segmentation and volume of every frame, in the order of time."""
        self.keep(self.volume.frame)
        for frame, node in enumerate(self._frames.nodes()):
            yield (_emptied(self.node) if node is None else node), self.volume.volumeOf(frame).node

    def keep(self, frame: int) -> None:
        """Makes sure that what the proxy shows is in its frame, before it shows another one."""
        self.shareSegments()
        if frame >= self.volume.frameCount:
            return
        value = self.volume.valueOf(frame)
        held = self._sequence.GetDataNodeAtValue(value, True)
        if held is None or _labelmaps(held) != _labelmaps(self.node):
            self._sequence.UpdateDataNodeAtValue(self.node, value, True)

    # Segments

    @property
    def segmentIds(self) -> list[str]:
        """Ids of all segments, in their order."""
        return self._inView.segmentIds

    def segment(self, segmentId: str) -> vtk.vtkObject | None:
        """The segment of that id on the frame in view, or None once it was removed."""
        return self._inView.segment(segmentId)

    def stamp(self, segmentId: str) -> tuple[Any, ...]:
        """See :meth:`SegmentationBridge.stamp`; for all frames."""
        nodes = list(self._frames.nodes())
        nodes[self.volume.frame] = self.node
        return tuple(node and stampOf(node, segmentId) for node in nodes)

    def tags(self, segmentId: str) -> FrameTags | None:
        """Where facts about the segment's frames are kept; None once it was removed."""
        if self.segment(segmentId) is None:
            return None
        return FrameTags(self._sequence, segmentId, self.volume.plane.name)

    def addSegment(self, name: str = "") -> str:
        """Adds an empty segment to all frames; returns its id."""
        segmentId = self._inView.addSegment(name)
        self.shareSegments()
        return segmentId

    def setStatus(self, segmentId: str, *, completed: bool) -> None:
        """See :meth:`SegmentationBridge.setStatus`."""
        self._inView.setStatus(segmentId, completed=completed)
        self.shareSegments()

    def _addMissing(self) -> None:
        """Shows segments that only other frames have."""
        for other in self._otherFrames():
            for segmentId in other.GetSegmentation().GetSegmentIDs():
                if self.segment(segmentId) is None:
                    segment = other.GetSegmentation().GetSegment(segmentId)
                    _describe(self.node, segmentId, _described(segment))

    def shareSegments(self) -> None:
        """Gives all frames the segments of the one in view: names, colours, tags; removes others."""
        now = {one: _described(self.segment(one)) for one in self.segmentIds}
        if now == self._shared:
            return
        removed, self._shared = set(self._shared) - set(now), now
        for node in self._otherFrames():
            for segmentId in removed:
                node.GetSegmentation().RemoveSegment(segmentId)
            for segmentId, facts in now.items():
                _describe(node, segmentId, facts)
        self._sequence.StorableModified()

    # Masks

    def occupied(self, segmentId: str, _axis: SliceAxis) -> list[int]:
        """The frames on which the segment may have voxels."""
        plane = self.volume.plane
        bridges = ((n, self._bridge(n)) for n in range(self.volume.frameCount))
        return [
            frame
            for frame, bridge in bridges
            if bridge is not None and plane.index in bridge.occupied(segmentId, plane.axis)
        ]

    def readSlice(self, segmentId: str, _axis: SliceAxis, index: int) -> np.ndarray:
        """The segment's mask on a frame, booleans ``[rows, columns]``."""
        plane = self.volume.plane
        bridge = self._bridge(index)
        segmentId = "" if bridge is None else segmentId
        return (bridge or self._inView).readSlice(segmentId, plane.axis, plane.index)

    def writeSlice(
        self,
        segmentId: str,
        _axis: SliceAxis,
        index: int,
        mask_rc: np.ndarray,
        *,
        masked: bool = True,
    ) -> np.ndarray:
        """See :meth:`SegmentationBridge.writeSlice`."""
        plane = self.volume.plane
        if self._bridge(index) is None:
            self._sequence.SetDataNodeAtValue(_emptied(self.node), self.volume.valueOf(index))
        bridge = self._bridge(index)
        after_rc = bridge.writeSlice(segmentId, plane.axis, plane.index, mask_rc, masked=masked)
        self._sequence.StorableModified()
        return after_rc


def createCineSegmentation(volume: vtk.vtkObject, browser: vtk.vtkObject) -> vtk.vtkObject:
    """Adds an empty segmentation for each frame; returns the node that shows the one in view."""
    node = createSegmentation(volume)
    frames = browser.GetMasterSequenceNode()
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(f"{node.GetName()} sequence")
    sequence.SetIndexName(frames.GetIndexName())
    sequence.SetIndexUnit(frames.GetIndexUnit())
    sequence.SetIndexType(frames.GetIndexType())
    node.GetScene().AddNode(sequence)
    for number in range(frames.GetNumberOfDataNodes()):
        sequence.SetDataNodeAtValue(node, frames.GetNthIndexValue(number))
    with slicer.util.NodeModify(browser):  # in between, Slicer would make a proxy of its own
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(node, sequence, False)
        browser.SetOverwriteProxyName(sequence, False)
        browser.SetSaveChanges(sequence, True)
    return node


def _described(segment: vtk.vtkObject) -> tuple[Any, ...]:
    """What of a segment is the same on all frames."""
    text = vtk.reference("")
    tags = tuple(str(text) if segment.GetTag(tag, text) else "" for tag in TAGS)
    return segment.GetName(), tuple(segment.GetColor()), tags


def _describe(node: vtk.vtkObject, segmentId: str, facts: tuple[Any, ...]) -> None:
    """Makes a segment of a frame be called and look like that; adds it where there is none."""
    name, color, tags = facts
    segmentation = node.GetSegmentation()
    if segmentation.GetSegment(segmentId) is None:
        segmentation.AddEmptySegment(segmentId, name, color)
    segment = segmentation.GetSegment(segmentId)
    segment.SetName(name)
    segment.SetColor(*color)
    for tag, value in zip(TAGS, tags, strict=True):
        if value:
            segment.SetTag(tag, value)


def _emptied(node: vtk.vtkObject) -> vtk.vtkObject:
    """A copy of a segmentation node, outside any scene, with its segments but no voxel."""
    empty = slicer.vtkMRMLSegmentationNode()
    empty.CopyContent(node, True)
    empty.GetSegmentation().RemoveAllSegments()
    for segmentId in node.GetSegmentation().GetSegmentIDs():
        _describe(empty, segmentId, _described(node.GetSegmentation().GetSegment(segmentId)))
    return empty


def _labelmaps(node: vtk.vtkObject) -> list[Any]:
    """The labelmaps of all segments: one and the same object in a frame and in its proxy."""
    segmentation = node.GetSegmentation()
    return [
        (one, segmentation.GetSegment(one).GetRepresentation(BINARY_LABELMAP))
        for one in segmentation.GetSegmentIDs()
    ]
