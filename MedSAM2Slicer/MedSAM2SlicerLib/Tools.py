"""The prompt tools: which one is on, what its clicks make, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import PromptNodes
from .Drawing import Drawing
from .Logic import SegmentationLogic
from .Placement import Placement, alignBox

BOXES = "boxes"
"""The tool that draws one box after the other, each of a segment of its own."""
KINDS = {"drawBox": "roi", BOXES: "roi", "sliceBox": "box"}
"""Prompt kinds of the tools whose names differ."""
PERSISTENT = ("inside", "outside")
STROKES = ("scribble", "lasso")
OFF_PLANE = (
    "That prompt lies off the slice that is followed through time and is not used. Undo it (Ctrl+Z), "
    "or show its slice and choose Slices across: Time anew."
)


class Tools:
    """At most one prompt tool at a time.

    Args:
        logic: whose current segment gets the prompts.
        views: gives the slice widgets.
        onChanged: called when a tool went on or off.

    Threading: main thread only.
    """

    def __init__(
        self,
        logic: SegmentationLogic,
        views: Callable[[], Iterable[Any]],
        onChanged: Callable[[], None],
    ) -> None:
        self._logic, self._views, self._onChanged = logic, views, onChanged
        self._placement = Placement(logic.scene, self._onEnded)
        self._drawing: Drawing | None = None
        self._tool = self._stroke = ""
        self.isWaiting = False
        """Whether the next of several boxes in a row is still to be begun.

        Not at the click that ends a box: Slicer is still leaving its place mode then.
        """
        self._workspace: Any = None
        self.segmentId = ""
        """The segment that the tool places prompts of."""

    @property
    def current(self) -> str:
        """The tool that is on, or empty."""
        return BOXES if self.isWaiting else self._stroke or self._placement.tool

    @property
    def isAstray(self) -> bool:
        """Whether the tool places into what is no longer chosen, or into a node that was removed."""
        if not self.current:
            return False
        if self._placement.isLost or not self._logic.isAt(self._workspace):
            return True
        isThere = self._workspace.segmentation.segment(self.segmentId) is not None
        return not isThere or self.segmentId != self._logic.parameters.segmentId

    def stop(self) -> None:
        """Ends the tool; nothing half placed stays."""
        self._stroke = self._tool = ""
        self.isWaiting = False
        drawing, self._drawing = self._drawing, None
        if drawing is not None:
            drawing.stop()
        self._placement.stop()
        self._onChanged()

    def start(self, tool: str) -> None:
        """Turns a tool on.

        Raises:
            MedSAM2Error: there is nothing to place a prompt on.
        """
        self.stop()
        workspace, segmentId = self._logic.workspace(), self._logic.currentSegment()
        self._workspace, self.segmentId, self._tool = workspace, segmentId, tool
        kind = KINDS.get(tool, tool)
        if tool in STROKES:
            self._stroke = tool
            self._drawing = Drawing(lambda: workspace.prompts.add(segmentId, kind), self._onEnded)
            self._drawing.start(self._views())
        else:
            node = workspace.prompts.add(segmentId, kind)
            self._placement.start(node, tool, persistent=tool in PERSISTENT)
        self._onChanged()

    def advance(self) -> None:
        """Lets the next box be drawn.

        Raises:
            MedSAM2Error: there is nothing to place it on any more.
        """
        self.start(BOXES)

    def _onEnded(self, node: Any) -> None:
        """A box gets its depth, a prompt that came to nothing goes, a new box replaces the old."""
        self._stroke, self._drawing = "", None
        workspace = self._workspace
        if not workspace.intact:
            self._logic.scene.RemoveNode(node)
            self._onChanged()
            return
        kind = node.GetAttribute(PromptNodes.KIND)
        if kind in ("roi", "box") and max(node.GetSize()) > 0:
            drawn = self._placement.drawn()
            volume, axis, _ = workspace.volume.inSpace(workspace.axis, 0)
            alignBox(node, volume, axis, drawn, oneSlice=kind == "box")
            if drawn is not None and not PromptNodes.isComplete(node):
                self._logic.message.emit("That box lies beside the volume; draw it on the image.")
        if PromptNodes.isComplete(node):
            self._replaceRivals(node)
            if workspace.volume.at(node) is None:
                self._logic.message.emit(OFF_PLANE)
        workspace.prompts.removeEmpty()
        self._logic.settle()
        self._onChanged()

    def _replaceRivals(self, node: Any) -> None:
        """Takes the place of the segment's box, or begins a segment where boxes come in a row."""
        if self._tool == BOXES:
            self.isWaiting = True
            if not self._isBlank(node):
                self._workspace.prompts.hand(node, self._logic.addSegment())
            return
        for other in self._workspace.prompts.rivals(node):
            self._workspace.prompts.remove(other)

    def _isBlank(self, node: Any) -> bool:
        """Whether the segment of a prompt has neither another prompt nor a mask."""
        prompts, memory = self._workspace.prompts, self._workspace.memory
        return prompts.nodes(self.segmentId) == [node] and not memory.occupied(self.segmentId)
