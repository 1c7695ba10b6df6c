"""The prompts of a segmentation's segments, kept as nodes of the scene.

The scene is the only place where prompts live: the engine's prompts are read from it each time, undo
puts snapshots of it back, and saving the scene saves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import vtk

import slicer

from . import PromptNodes
from .PromptNodes import ADOPTED, IDENTITY, KIND, SEGMENT, SEGMENTATION
from .SceneNodes import nodesOf

Snapshot = dict[str, dict[str, Any]]


class PromptStore:
    """Finds, adds, removes and restores the prompts of one segmentation.

    Args:
        segmentation: a vtkMRMLSegmentationNode in a scene.

    Threading: main thread only.
    """

    def __init__(self, segmentation: vtk.vtkObject) -> None:
        self.segmentation = segmentation

    @property
    def _scene(self) -> vtk.vtkObject:
        return self.segmentation.GetScene()

    def nodes(self, segmentId: str | None = None, kind: str | None = None) -> list[vtk.vtkObject]:
        """The prompt nodes, of one segment and of one kind if given, in the order they were made."""
        return [
            node
            for node in self._all()
            if (segmentId is None or node.GetAttribute(SEGMENT) == segmentId)
            and (kind is None or node.GetAttribute(KIND) == kind)
        ]

    def _all(self) -> Iterator[vtk.vtkObject]:
        for node in nodesOf(self._scene, "vtkMRMLMarkupsNode"):
            if node.GetAttribute(KIND) and self._owns(node):
                yield node

    def _owns(self, node: vtk.vtkObject) -> bool:
        return node.GetNodeReferenceID(SEGMENTATION) == self.segmentation.GetID()

    def add(self, segmentId: str, kind: str) -> vtk.vtkObject:
        """Returns the node to place a prompt in: the segment's own points, or a new node.

        A new box does not take the old one's place before it is drawn.
        """
        existing = self.nodes(segmentId, kind) if kind in ("inside", "outside") else []
        if existing:
            return existing[0]
        return PromptNodes.create(self._scene, self.segmentation, segmentId, kind)

    def roi(self, segmentId: str) -> vtk.vtkObject | None:
        """The segment's box, if it has one that is placed."""
        placed = [node for node in self.nodes(segmentId, "roi") if PromptNodes.isComplete(node)]
        return placed[0] if placed else None

    def adopt(self, roi: vtk.vtkObject, segmentId: str) -> None:
        """Takes a ROI of the user's as the segment's box; the one it had is given up."""
        for node in self.nodes(segmentId, "roi"):
            self.remove(node)
        roi.SetAttribute(ADOPTED, "true")
        PromptNodes.mark(roi, self.segmentation, segmentId, "roi")

    def hand(self, node: vtk.vtkObject, segmentId: str) -> None:
        """Makes a prompt that of another segment, in its colour and under its name."""
        node.SetAttribute(SEGMENT, segmentId)
        PromptNodes.dress(node, self.segmentation)

    def rivals(self, node: vtk.vtkObject) -> list[vtk.vtkObject]:
        """The boxes whose place a box takes once it is drawn."""
        if node.GetAttribute(KIND) != "roi":
            return []
        return [one for one in self.nodes(node.GetAttribute(SEGMENT), "roi") if one is not node]

    def remove(self, node: vtk.vtkObject) -> None:
        """Takes a prompt away; a node of the user's only loses its marks."""
        PromptNodes.takeAway(node)

    def removeEmpty(self) -> None:
        """Takes away nodes whose placing was given up."""
        for node in self.nodes():
            if not PromptNodes.isComplete(node):
                self.remove(node)

    def contents(self, segmentId: str) -> list[dict[str, Any]]:
        """What a segment's placed prompts hold, in plain values."""
        placed = filter(PromptNodes.isComplete, self.nodes(segmentId))
        return [PromptNodes.content(node) for node in placed]

    def snapshot(self) -> Snapshot:
        """All prompts by their ids; equal snapshots mean equal prompts.

        A copy that was made of a prompt, in the Data module say, gets an id of its own.
        """
        found: Snapshot = {}
        for node in filter(PromptNodes.isComplete, self._all()):
            if node.GetAttribute(IDENTITY) in found:
                node.RemoveAttribute(IDENTITY)
                PromptNodes.identify(node)
            found[node.GetAttribute(IDENTITY)] = PromptNodes.content(node)
        return found

    def restore(self, snapshot: Snapshot) -> None:
        """Makes the scene's prompts equal to a snapshot, touching only what differs."""
        present = {node.GetAttribute(IDENTITY): node for node in self._all()}
        with slicer.util.NodeModify(self.segmentation):
            for identity, node in present.items():
                if identity not in snapshot:
                    self.remove(node)
            for identity, held in snapshot.items():
                self._restoreOne(present.get(identity), identity, held)

    def _restoreOne(self, node: Any, identity: str, held: dict[str, Any]) -> None:
        if node is None:
            if held["adopted"]:
                self._adoptedAgain(identity, held)
                return
            if self.segmentation.GetSegmentation().GetSegment(held["segment"]) is None:
                return
            node = self._created(identity, held)
        if PromptNodes.content(node) != held:
            PromptNodes.setContent(node, held)

    def _adoptedAgain(self, identity: str, held: dict[str, Any]) -> None:
        """Marks a node of the user's again, where it is now; it may have gone or serve elsewhere."""
        node = self._scene.GetNodeByID(held["node"])
        if node is not None and not node.GetAttribute(KIND):
            node.SetAttribute(ADOPTED, "true")
            node.SetAttribute(IDENTITY, identity)
            PromptNodes.mark(node, self.segmentation, held["segment"], held["kind"])
            PromptNodes.setFrame(node, held["frame"])

    def _created(self, identity: str, held: dict[str, Any]) -> vtk.vtkObject:
        node = PromptNodes.create(self._scene, self.segmentation, held["segment"], held["kind"])
        node.SetAttribute(IDENTITY, identity)
        return node
