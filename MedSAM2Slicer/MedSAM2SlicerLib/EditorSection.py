"""The embedded Segment Editor: painting and erasing on the same segments, with the module's undo.

The editor works on a Segment Editor node of the module's own, so that it takes nothing from the
Segment Editor module's state; its own undo is off, since it would know neither prompts nor locks.
"""

from __future__ import annotations

from typing import Any

from .Logic import SegmentationLogic

EFFECTS = (
    "Paint",
    "Draw",
    "Erase",
    "Scissors",
    "Islands",
    "Smoothing",
    "Margin",
    "Logical operators",
)
"""Shown in this order; Slicer's other effects are left out."""


class EditorSection:
    """Keeps the editor on what the module works on.

    Args:
        editor: the qMRMLSegmentEditorWidget.
        logic: whose volume, segmentation and current segment it shares.

    Threading: main thread only.
    """

    def __init__(self, editor: Any, logic: SegmentationLogic) -> None:
        self._editor, self._logic = editor, logic
        self._known: tuple[Any, ...] = ()
        self._attaching = False
        editor.undoEnabled = False
        editor.maximumNumberOfUndoStates = 0  # else each stroke copies the segments all the same
        editor.setEffectNameOrder(list(EFFECTS))
        editor.unorderedEffectsVisible = False
        editor.connect("currentSegmentIDChanged(QString)", self._onSegment)

    def enter(self) -> None:
        """Lets the active effect see the mouse in the views."""
        self._editor.setupViewObservations()

    def exit(self) -> None:
        """Puts the brush away."""
        self.stop()
        self._editor.removeViewObservations()

    def stop(self) -> None:
        """Ends the active effect, for a prompt tool to take the mouse."""
        self._editor.setActiveEffectByName("")

    @property
    def active(self) -> bool:
        """Whether an effect has the mouse."""
        return self._editor.activeEffect() is not None

    def forget(self) -> None:
        """Lets go of the nodes of a scene that is about to close; a brush in hand would stay there."""
        self.stop()
        self._editor.setSegmentationNode(None)
        self._known = ()

    def show(self) -> None:
        """Makes the editor show the module's choices, and takes over the segment chosen in it.

        Costs nothing where they are the same.
        """
        parameters = self._logic.parameters
        wanted = (parameters.editor, parameters.segmentation, parameters.volume)
        if wanted != self._known:
            self._known = wanted
            self._attach(*wanted)
        elif parameters.editor is not None:
            # Its buttons that add and remove segments select others without a signal.
            self._onSegment(parameters.editor.GetSelectedSegmentID() or "")

    def _attach(self, node: Any, segmentation: Any, volume: Any) -> None:
        """The editor selects the first segment of what it is given; the current one is put back."""
        self._attaching = True
        try:
            self._editor.setMRMLSegmentEditorNode(node)
            if node is not None:
                self._editor.setSegmentationNode(segmentation)
                self._editor.setSourceVolumeNode(volume)
                if self._logic.workspace().segmentation.segmentIds:
                    node.SetSelectedSegmentID(self._logic.currentSegment())
        finally:
            self._attaching = False

    def _onSegment(self, segmentId: str) -> None:
        if self._attaching or segmentId in ("", self._logic.parameters.segmentId):
            return
        if self._logic.workspace().segmentation.segment(segmentId) is not None:
            self._logic.selectSegment(segmentId)
