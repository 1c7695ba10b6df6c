"""The panel's part on slices: the strip, the slice in view, the range, going to another slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from .Choices import sliceWidgets
from .Logic import SegmentationLogic
from .SliceStates import SliceState, describe, nextUncertain
from .SliceStrip import SliceStrip

RANGE_WIDGETS = (
    "rangeFirst",
    "rangeFirstFromView",
    "rangeLast",
    "rangeLastFromView",
    "clearRangeButton",
)


class SliceSection:
    """Shows the slices of the current segment.

    Args:
        ui: the panel's widgets by name.
        logic: whose slices.
        attempt: runs an action and shows what is wrong in the status line.

    Threading: main thread only.
    """

    def __init__(self, ui: Any, logic: SegmentationLogic, attempt: Callable[..., Any]) -> None:
        self._ui, self._logic, self._attempt = ui, logic, attempt
        self._shownRange = (0, 0)
        self._strip = SliceStrip(ui.sliceStrip)
        self._strip.clicked.connect(self.goTo)
        ui.rangeFirstFromView.connect("clicked(bool)", lambda _: self._fromView(ui.rangeFirst))
        ui.rangeLastFromView.connect("clicked(bool)", lambda _: self._fromView(ui.rangeLast))
        ui.clearRangeButton.connect("clicked(bool)", lambda _: attempt(logic.setSliceRange, None))
        for box in (ui.rangeFirst, ui.rangeLast):
            box.connect("editingFinished()", self._onRangeEdited)

    # Going

    def inView(self) -> int | None:
        """The slice of the current axis that a view shows, the view under the mouse first."""
        try:
            workspace = self._logic.workspace()
        except Exception:  # noqa: BLE001 (no volume yet, or one that does not fit: no slice either)
            return None
        crosshair = self._logic.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        underMouse = crosshair and crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0])
        nodes = [widget.mrmlSliceNode() for widget in sliceWidgets()]
        for node in sorted(nodes, key=lambda node: node is not underMouse):
            axis, index, _ = workspace.volume.sliceOf(node)
            if axis is workspace.axis:
                return index
        return None

    def goTo(self, index: int) -> None:
        """Moves all slice views to a slice of the current axis."""
        workspace = self._logic.workspace()
        workspace.volume.select(index)
        volume, axis, place = workspace.volume.inSpace(workspace.axis, index)
        point_ras = volume.centreOf(axis, place)
        slicer.vtkMRMLSliceNode.JumpAllSlices(
            self._logic.scene, *point_ras, slicer.vtkMRMLSliceNode.OffsetJumpSlice
        )
        self._logic.changed.emit()

    def goToNextUncertain(self) -> None:
        """Goes to the next slice that the model is unsure of."""
        index = nextUncertain(self._logic.sliceStates(), self.inView() or 0)
        if index is not None:
            self.goTo(index)

    def onSlice(self, action: Callable[[int], object]) -> None:
        """Does something with the slice in view."""
        index = self.inView()
        if index is not None:
            self._attempt(action, index)

    def _fromView(self, box: Any) -> None:
        index = self.inView()
        if index is not None:
            box.setValue(index)
            self._onRangeEdited()

    def _onRangeEdited(self) -> None:
        """A field that was only passed through sets no range."""
        values = self._ui.rangeFirst.value, self._ui.rangeLast.value
        if values != self._shownRange:
            self._attempt(self._logic.setSliceRange, (min(values), max(values)))

    # Showing

    def show(self, states: list[SliceState], index: int | None) -> None:
        """Shows these slices, one of them in view."""
        workspace, count = self._logic.workspace(), len(states)
        self._strip.show(states, index)
        self._ui.sliceLabel.text = ""
        if index is not None:
            name = workspace.volume.sliceName
            self._ui.sliceLabel.text = (
                f"{name} {index} of 0..{count - 1}: {describe(states[index])}"
            )
        held = workspace.sliceRange(self._logic.currentSegment())
        self._shownRange = held or (0, count - 1)
        for box, value in zip(
            (self._ui.rangeFirst, self._ui.rangeLast), self._shownRange, strict=True
        ):
            if not box.hasFocus():
                box.blockSignals(True)
                box.maximum = count - 1
                box.value = value
                box.blockSignals(False)

    def showNothing(self) -> None:
        """There is no segment yet."""
        self._strip.show([], None)
        self._ui.sliceLabel.text = ""

    def enableRange(self, *, enabled: bool) -> None:
        """Lets the range be set, or not."""
        for name in RANGE_WIDGETS:
            getattr(self._ui, name).setEnabled(enabled)
