"""Double of the buttons that place markups."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

import slicer

from .doubles import Observations, stored
from .node_widgets import qMRMLWidget
from .uiloader import register

Signal, Property = QtCore.Signal, QtCore.Property


@register
class qSlicerMarkupsPlaceWidget(qMRMLWidget):
    """Switches place mode for one markups node; Slicer's selection and interaction nodes hold it."""

    ShowPlaceMultipleMarkupsOption, HidePlaceMultipleMarkupsOption = 0, 1
    ForcePlaceSingleMarkup, ForcePlaceMultipleMarkups = 2, 3

    activeMarkupsPlaceModeChanged = Signal(bool)
    activeMarkupsFiducialPlaceModeChanged = Signal(bool)

    placeMultipleMarkups, setPlaceMultipleMarkups = stored("placeMultipleMarkups", int, 0)
    buttonsVisible, setButtonsVisible = stored("buttonsVisible", bool, True)
    deleteAllControlPointsOptionVisible, setDeleteAllControlPointsOptionVisible = stored(
        "deleteAllControlPointsOptionVisible", bool, True
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._was = False
        self._modes = Observations()
        self._place = QtWidgets.QToolButton()
        self._place.setObjectName("PlaceButton")
        self._place.setText("Place")
        self._place.setCheckable(True)
        self._place.clicked.connect(self.setPlaceModeEnabled)
        self._delete = QtWidgets.QToolButton()
        self._delete.setObjectName("DeleteButton")
        self._delete.setText("Delete")
        self._delete.clicked.connect(self.deleteLastPoint)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._place)
        layout.addWidget(self._delete)

    def propertyChanged(self, _name: str) -> None:
        """Shows and hides the buttons."""
        for button in (self._place, self._delete):
            button.setVisible(self.buttonsVisible)

    def _observeScene(self) -> None:
        self._modes.clear()
        if self._scene is not None:
            for node in (self.interactionNode(), self.selectionNode()):
                self._modes.add(node, "ModifiedEvent", self._update)

    def interactionNode(self) -> Any:
        """The scene's vtkMRMLInteractionNode."""
        return slicer.app.applicationLogic().GetInteractionNode()

    def selectionNode(self) -> Any:
        """The scene's vtkMRMLSelectionNode."""
        return slicer.app.applicationLogic().GetSelectionNode()

    def currentNode(self) -> Any:
        """The markups node, or None."""
        return self._node

    currentMarkupsNode = currentNode

    def setCurrentNode(self, node: Any) -> None:
        """Sets the markups node."""
        self._node = node
        self.setEnabled(node is not None)
        self._update()

    def _isActive(self) -> bool:
        return (
            self._node is not None
            and self.selectionNode().GetActivePlaceNodeID() == self._node.GetID()
        )

    def setCurrentNodeActive(self, active: bool) -> None:
        """Makes the node the one that clicks would add to."""
        if active:
            self.selectionNode().SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
            self.selectionNode().SetActivePlaceNodeID(self._node.GetID())
        elif self.currentNodeActive:
            self.selectionNode().SetActivePlaceNodeID(None)

    currentNodeActive = Property(bool, _isActive, setCurrentNodeActive)

    def _isPlacing(self) -> bool:
        interaction = self.interactionNode()
        placing = interaction.GetCurrentInteractionMode() == interaction.Place
        return bool(placing and self.currentNodeActive)

    def setPlaceModeEnabled(self, enabled: bool) -> None:
        """Starts or ends placing."""
        interaction = self.interactionNode()
        if not enabled:
            if self.placeModeEnabled:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        elif self._node is not None:
            self.setCurrentNodeActive(True)
            if self.placeMultipleMarkups == self.ForcePlaceSingleMarkup:
                interaction.SetPlaceModePersistence(0)
            elif self.placeMultipleMarkups == self.ForcePlaceMultipleMarkups:
                interaction.SetPlaceModePersistence(1)
            interaction.SetCurrentInteractionMode(interaction.Place)
        self._update()

    placeModeEnabled = Property(bool, _isPlacing, setPlaceModeEnabled)

    def _isPersistent(self) -> bool:
        return bool(self.interactionNode().GetPlaceModePersistence())

    def setPlaceModePersistency(self, persistent: bool) -> None:
        """Whether placing goes on after the first point."""
        self.interactionNode().SetPlaceModePersistence(int(persistent))

    placeModePersistency = Property(bool, _isPersistent, setPlaceModePersistency)

    def _update(self, *_event: Any) -> None:
        enabled = self.placeModeEnabled
        self._place.setChecked(enabled)
        if enabled != self._was:
            self._was = enabled
            self.activeMarkupsPlaceModeChanged.emit(enabled)
            self.activeMarkupsFiducialPlaceModeChanged.emit(enabled)

    def placeButton(self) -> QtWidgets.QToolButton:
        """The button that starts placing."""
        return self._place

    def deleteButton(self) -> QtWidgets.QToolButton:
        """The button that deletes."""
        return self._delete

    def deleteLastPoint(self) -> None:
        """Deletes the point that was placed last."""
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)

    def deleteAllPoints(self) -> None:
        """Deletes all points."""
        if self._node is not None:
            self._node.RemoveAllControlPoints()
