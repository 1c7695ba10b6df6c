"""Prompts on frames: each belongs to the frame it was placed on and is shown on that one only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vtk

from . import PromptNodes
from .PromptNodes import ADOPTED, KIND, SEGMENT
from .PromptStore import PromptStore, Snapshot

if TYPE_CHECKING:
    from .CineBridge import CineBridge


class CinePrompts(PromptStore):
    """The counterpart of :class:`PromptStore` where slices are frames.

    Args:
        segmentation: see :class:`PromptStore`.
        volume: the frames.

    Threading: main thread only.
    """

    def __init__(self, segmentation: vtk.vtkObject, volume: CineBridge) -> None:
        super().__init__(segmentation)
        self._volume = volume
        self.showFrame()

    def _onFrame(self, node: vtk.vtkObject) -> bool:
        return PromptNodes.frameOf(node) == self._volume.frame

    def add(self, segmentId: str, kind: str) -> vtk.vtkObject:
        """Returns the node to place a prompt of the frame in view in.

        A box has no depth in time, so it is always one of a slice.
        """
        kind = "box" if kind == "roi" else kind
        if kind in ("inside", "outside"):
            existing = [node for node in self.nodes(segmentId, kind) if self._onFrame(node)]
            if existing:
                return existing[0]
        node = PromptNodes.create(self._scene, self.segmentation, segmentId, kind)
        PromptNodes.setFrame(node, self._volume.frame)
        return node

    def adopt(self, roi: vtk.vtkObject, segmentId: str) -> None:
        """Takes a ROI of the user's as the box of the frame in view."""
        roi.SetAttribute(ADOPTED, "true")
        PromptNodes.mark(roi, self.segmentation, segmentId, "box")
        PromptNodes.setFrame(roi, self._volume.frame)
        for node in self.rivals(roi):
            self.remove(node)

    def rivals(self, node: vtk.vtkObject) -> list[vtk.vtkObject]:
        """Other boxes of the segment on the same frame."""
        if node.GetAttribute(KIND) != "box":
            return []
        boxes = self.nodes(node.GetAttribute(SEGMENT), "box")
        frame = PromptNodes.frameOf(node)
        return [one for one in boxes if one is not node and PromptNodes.frameOf(one) == frame]

    def restore(self, snapshot: Snapshot) -> None:
        """See :meth:`PromptStore.restore`."""
        super().restore(snapshot)
        self.showFrame()

    def showFrame(self) -> None:
        """Shows the prompts of the frame in view and hides the others; the user's own stay."""
        for node in self.nodes():
            if not node.GetAttribute(ADOPTED):
                node.SetDisplayVisibility(self._onFrame(node))
