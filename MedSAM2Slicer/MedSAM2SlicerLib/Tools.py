"""The prompt tools: which one is on, what its clicks make, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import PromptNodes
from .Drawing import Drawing
from .Logic import SegmentationLogic
from .Placement import Placement, alignBox

KINDS = {"drawBox": "roi", "sliceBox": "box"}
"""Prompt kinds of the tools whose names differ."""
PERSISTENT = ("inside", "outside")
STROKES = ("scribble", "lasso")


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
        self._stroke = ""
        self._workspace: Any = None
        self.segmentId = ""
        """The segment that the tool places prompts of."""

    @property
    def current(self) -> str:
        """The tool that is on, or empty."""
        return self._stroke or self._placement.tool

    def stop(self) -> None:
        """Ends the tool; nothing half placed stays."""
        self._stroke = ""
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
        self._workspace, self.segmentId = workspace, segmentId
        kind = KINDS.get(tool, tool)
        if tool in STROKES:
            self._stroke = tool
            self._drawing = Drawing(lambda: workspace.prompts.add(segmentId, kind), self._onEnded)
            self._drawing.start(self._views())
        else:
            node = workspace.prompts.add(segmentId, kind)
            self._placement.start(node, tool, persistent=tool in PERSISTENT)
        self._onChanged()

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
            volume, axis, _ = workspace.volume.inSpace(workspace.axis, 0)
            alignBox(node, volume, axis, self._placement.drawn(), oneSlice=kind == "box")
        if PromptNodes.isComplete(node):
            for other in workspace.prompts.rivals(node):
                workspace.prompts.remove(other)
        workspace.prompts.removeEmpty()
        self._logic.settle()
        self._onChanged()
