"""The selectors of volume, segmentation, window and slice axis, and the scene's choices behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

import slicer

from . import Paths
from .Bridges import TIME, workedOn
from .CineBridge import browserOf, planeInView
from .Logic import SegmentationLogic

AXES = {
    "auto": "Automatic",
    "k": "K (as acquired)",
    "j": "J (rows)",
    "i": "I (columns)",
}

USUAL_VIEWS = ("Red", "Yellow", "Green")


class Choices:
    """Keeps the selectors and the scene's parameters the same.

    Args:
        ui: the panel's widgets by name.
        logic: holds the parameters.
        onChanged: called when a choice changed.

    Threading: main thread only.
    """

    def __init__(self, ui: Any, logic: SegmentationLogic, onChanged: Callable[[], None]) -> None:
        self._ui, self._logic, self._onChanged = ui, logic, onChanged
        self._held = False
        self._fill()
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onVolume)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentation)
        ui.windowSelector.connect("activated(int)", self._onWindow)
        ui.windowPreviewCheckBox.connect("toggled(bool)", lambda _: self._showWindow())
        ui.axisSelector.connect("activated(int)", self._onAxis)

    def _fill(self) -> None:
        Paths.useBundledServer()
        from medsam2.core.intensity import PRESETS

        for name, label in (("auto", "Automatic"), ("display", "As displayed")):
            self._ui.windowSelector.addItem(label, name)
        for name, window in PRESETS.items():
            level, width = (window.low + window.high) / 2, window.high - window.low
            self._ui.windowSelector.addItem(f"CT {name} ({level:g} / {width:g})", name)
        for name, label in (("percentile", "MR (percentiles)"), ("pet", "PET")):
            self._ui.windowSelector.addItem(label, name)
        for name, label in AXES.items():
            self._ui.axisSelector.addItem(label, name)

    def hold(self) -> None:
        """Until :meth:`fromScene` what the selectors say is no choice of the user's.

        They lose their nodes when a scene has been added to this one (Slicer's issue 4570).
        """
        self._held = True

    def fromScene(self) -> None:
        """Shows the choices that the scene holds; takes the volume in view where it holds none."""
        self._held = False
        parameters = self._logic.parameters
        segmentation = parameters.segmentation
        self._ui.volumeSelector.setCurrentNode(parameters.volume or _volumeInView())
        parameters.segmentation = segmentation
        self._ui.segmentationSelector.setCurrentNode(segmentation)
        _choose(self._ui.windowSelector, parameters.window)
        self._offerTime()
        self._onChanged()

    def _leave(self) -> None:
        """What was done so far is not of what is chosen now: neither its steps nor its messages."""
        self._logic.cancel()
        self._logic.history.clear()
        self._logic.message.emit("")

    def _onVolume(self, node: Any) -> None:
        parameters = self._logic.parameters
        if self._held or node is parameters.volume:
            return
        self._leave()
        parameters.volume = node
        parameters.segmentation = None if parameters.axis == TIME else workedOn(node)
        self._ui.segmentationSelector.setCurrentNode(parameters.segmentation)
        self._offerTime()
        if node is not None and node is not _volumeInView():  # else the user's zoom would go
            slicer.util.setSliceViewerLayers(background=node, fit=True)
        self._onChanged()

    def _onSegmentation(self, node: Any) -> None:
        parameters = self._logic.parameters
        if not self._held and node is not parameters.segmentation:
            self._leave()
            parameters.segmentation = node
            self._onChanged()

    def _onWindow(self, index: int) -> None:
        self._logic.parameters.window = self._ui.windowSelector.itemData(index)
        self._showWindow()

    def _showWindow(self) -> None:
        """Sets the display to the chosen window, if asked for; the voxels stay as they are."""
        from medsam2.core.intensity import PRESETS

        preset = PRESETS.get(self._logic.parameters.window)
        volume = self._logic.parameters.volume
        shown = volume is not None and volume.GetDisplayNode() is not None
        if preset is None or not shown or not self._ui.windowPreviewCheckBox.checked:
            return
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevelMinMax(preset.low, preset.high)

    def _onAxis(self, index: int) -> None:
        parameters = self._logic.parameters
        wanted = self._ui.axisSelector.itemData(index)
        self._leave()
        if (wanted == TIME) != (
            parameters.axis == TIME
        ):  # masks of frames are another segmentation
            parameters.segmentation = None
            self._ui.segmentationSelector.setCurrentNode(None)
        if wanted == TIME:
            views = [widget.mrmlSliceNode() for widget in sliceWidgets()]
            parameters.plane = planeInView(parameters.volume, views).name
        parameters.axis = wanted
        self._onChanged()

    def _offerTime(self) -> None:
        """Offers time where the volume shows the frames of a sequence."""
        selector, parameters = self._ui.axisSelector, self._logic.parameters
        known = selector.findData(TIME)
        isSequence = browserOf(parameters.volume) is not None
        if isSequence and known < 0:
            selector.addItem("Time (frames of the sequence)", TIME)
        elif known >= 0 and not isSequence:
            selector.removeItem(known)
        if not isSequence and parameters.axis == TIME:
            parameters.axis = "auto"
        _choose(selector, parameters.axis)

    def showSegmentation(self) -> None:
        """Shows the segmentation that the logic may have made meanwhile."""
        made = self._logic.parameters.segmentation
        if made is not None and self._ui.segmentationSelector.currentNode() is not made:
            self._ui.segmentationSelector.setCurrentNode(made)


def sliceWidgets() -> list[Any]:
    """The slice views that the layout shows, the usual ones first; none without a main window.

    Slicer lists those of earlier layouts too, in no order; they show slices that nobody sees.
    """
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return []
    names = sorted(layoutManager.sliceViewNames())
    usual = [name for name in USUAL_VIEWS if name in names]
    widgets = [layoutManager.sliceWidget(name) for name in dict.fromkeys((*usual, *names))]
    return [one for one in widgets if one is not None and one.mrmlSliceNode().IsMappedInLayout()]


def _choose(selector: qt.QComboBox, data: str) -> None:
    selector.setCurrentIndex(max(0, selector.findData(data)))


def _volumeInView() -> Any:
    for widget in sliceWidgets():
        shown = widget.mrmlSliceCompositeNode().GetBackgroundVolumeID()
        volume = slicer.mrmlScene.GetNodeByID(shown or "")
        if volume is not None:
            return volume
    return None
