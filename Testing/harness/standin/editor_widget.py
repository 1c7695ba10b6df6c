"""Double of the Segment Editor's panel, on the real vtkSlicerSegmentEditorLogic."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets

import slicer

from .doubles import Observations, stored
from .effects import NAMES, Effect
from .node_widgets import qMRMLNodeComboBox, qMRMLWidget
from .segment_widgets import qMRMLSegmentationShow3DButton, qMRMLSegmentsTableView, segment_ids
from .uiloader import register

Signal = QtCore.Signal
MOUSE = ("LeftButtonPressEvent", "MouseMoveEvent", "LeftButtonReleaseEvent")
BEFORE_THE_VIEW = 1.0
"""Priority of observers that come before the view's own."""


@register
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Selectors, table of segments, effects, undo and redo.

    Selections live in the vtkMRMLSegmentEditorNode, as in Slicer; without one nothing works.
    """

    cxxSignals: ClassVar = {
        "currentSegmentIDChanged(QString)": "_currentSegmentIDChanged",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "_sourceVolumeNodeChanged",
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "_segmentationNodeChanged",
    }
    _currentSegmentIDChanged = Signal(str)
    _sourceVolumeNodeChanged = Signal(object)
    _segmentationNodeChanged = Signal(object)

    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = stored(
        "segmentationNodeSelectorVisible", bool, True
    )
    sourceVolumeNodeSelectorVisible, setSourceVolumeNodeSelectorVisible = stored(
        "sourceVolumeNodeSelectorVisible", bool, True
    )
    switchToSegmentationsButtonVisible, setSwitchToSegmentationsButtonVisible = stored(
        "switchToSegmentationsButtonVisible", bool, True
    )
    undoEnabled, setUndoEnabled = stored("undoEnabled", bool, True)
    readOnly, setReadOnly = stored("readOnly", bool, False)
    autoShowSourceVolumeNode, setAutoShowSourceVolumeNode = stored(
        "autoShowSourceVolumeNode", bool, True
    )
    unorderedEffectsVisible, setUnorderedEffectsVisible = stored(
        "unorderedEffectsVisible", bool, True
    )
    effectColumnCount, setEffectColumnCount = stored("effectColumnCount", int, 2)
    effectButtonStyle, setEffectButtonStyle = stored("effectButtonStyle", int, 2)
    jumpToSelectedSegmentEnabled, setJumpToSelectedSegmentEnabled = stored(
        "jumpToSelectedSegmentEnabled", bool, False
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._editorNode: Any = None
        self._inViews, self._ofNode = Observations(), Observations()
        self._effects = {name: Effect(name, self) for name in NAMES}
        self._active: Effect | None = None
        self._told: dict[str, Any] = {"segment": "", "segmentation": None, "volume": None}
        self._build()

    def _build(self) -> None:
        self._segmentations = _selector("SegmentationNodeComboBox", "vtkMRMLSegmentationNode")
        self._volumes = _selector("SourceVolumeNodeComboBox", "vtkMRMLScalarVolumeNode")
        self._volumes.setAddEnabled(False)
        self._table = qMRMLSegmentsTableView()
        self._table.setObjectName("SegmentsTableView")
        self._form = QtWidgets.QFormLayout()
        self._form.addRow("Segmentation:", self._segmentations)
        self._form.addRow("Source volume:", self._volumes)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(self._form)
        layout.addLayout(self._segmentButtons())
        layout.addWidget(self._table)
        layout.addLayout(self._effectButtons())
        layout.addLayout(self._undoButtons())
        self._segmentations._currentNodeChanged.connect(self.setSegmentationNode)
        self._volumes._currentNodeChanged.connect(self.setSourceVolumeNode)
        self._table._currentSegmentChanged.connect(self._tableSelected)

    def _segmentButtons(self) -> QtWidgets.QHBoxLayout:
        row = QtWidgets.QHBoxLayout()
        row.addWidget(_button("Add", "AddSegmentButton", self._addSegment))
        row.addWidget(_button("Remove", "RemoveSegmentButton", self._removeSegment))
        self._show3D = qMRMLSegmentationShow3DButton()
        self._show3D.setObjectName("Show3DButton")
        row.addWidget(self._show3D)
        return row

    def _effectButtons(self) -> QtWidgets.QHBoxLayout:
        row = QtWidgets.QHBoxLayout()
        self._effectButton = {}
        for name in (None, *NAMES):
            button = _button(name or "None", name or "NullEffect", self._effectClicked)
            button.setCheckable(True)
            button.setProperty("Effect", name or "")
            self._effectButton[name] = button
            row.addWidget(button)
        return row

    def _undoButtons(self) -> QtWidgets.QHBoxLayout:
        row = QtWidgets.QHBoxLayout()
        self._undo = _button("Undo", "UndoButton", self.undo)
        self._redo = _button("Redo", "RedoButton", self.redo)
        row.addWidget(self._undo)
        row.addWidget(self._redo)
        return row

    def propertyChanged(self, name: str) -> None:
        """Shows and hides parts of the panel."""
        self._form.setRowVisible(self._segmentations, self.segmentationNodeSelectorVisible)
        self._form.setRowVisible(self._volumes, self.sourceVolumeNodeSelectorVisible)
        for button in (self._undo, self._redo):
            button.setVisible(self.undoEnabled)
        if name == "undoEnabled" and self.undoEnabled:
            self._logic.ClearUndoState()

    def logic(self) -> Any:
        """The vtkSlicerSegmentEditorLogic; for the harness, Slicer does not give it away."""
        return self._logic

    def _observeScene(self) -> None:
        self._logic.SetMRMLScene(self._scene)
        self._segmentations.setMRMLScene(self._scene)
        self._volumes.setMRMLScene(self._scene)
        if self._scene is not None:
            event = slicer.vtkMRMLScene.EndCloseEvent
            self._observed.add(self._scene, event, self._sceneClosed)

    def _sceneClosed(self, *_event: Any) -> None:
        if self._editorNode is not None and self._editorNode.GetScene() is None:
            self.setMRMLSegmentEditorNode(None)

    def mrmlSegmentEditorNode(self) -> Any:
        """The vtkMRMLSegmentEditorNode, or None."""
        return self._editorNode

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        """Sets the node that holds all selections."""
        self.setActiveEffect(None)
        self._ofNode.clear()
        self._editorNode = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._ofNode.add(node, "ModifiedEvent", self.updateWidgetFromMRML)
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self, *_event: Any) -> None:
        """Shows what the editor node says."""
        node, volume = self.segmentationNode(), self.sourceVolumeNode()
        if node is not self._told["segmentation"]:
            self._told["segmentation"] = node
            self._segmentations.setCurrentNode(node)
            self._table.setSegmentationNode(node)
            self._show3D.setSegmentationNode(node)
            self._table.setSelectedSegmentIDs(segment_ids(node)[:1])  # whatever the node says
            self._segmentationNodeChanged.emit(node)
        if volume is not self._told["volume"]:
            self._told["volume"] = volume
            self._volumes.setCurrentNode(volume)
            self._sourceVolumeNodeChanged.emit(volume)
        segment = self.currentSegmentID()
        if segment != self._told["segment"]:
            self._told["segment"] = segment
            self._table.setSelectedSegmentIDs([segment])

    def segmentationNode(self) -> Any:
        """The edited segmentation, or None."""
        return self._editorNode.GetSegmentationNode() if self._editorNode else None

    def segmentationNodeID(self) -> str:
        """Its id."""
        node = self.segmentationNode()
        return node.GetID() if node else ""

    def setSegmentationNode(self, node: Any) -> None:
        """Edits a segmentation."""
        if self._editorNode is not None:
            self._logic.SetSegmentationNode(node)

    def setSegmentationNodeID(self, nodeId: str) -> None:
        """Edits the segmentation of that id."""
        self.setSegmentationNode(self._scene.GetNodeByID(nodeId))

    def sourceVolumeNode(self) -> Any:
        """The volume under the segmentation, or None."""
        return self._editorNode.GetSourceVolumeNode() if self._editorNode else None

    def sourceVolumeNodeID(self) -> str:
        """Its id."""
        node = self.sourceVolumeNode()
        return node.GetID() if node else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        """Sets the volume under the segmentation; an empty segmentation takes its grid."""
        if self._editorNode is not None:
            self._logic.SetSourceVolumeNode(node)

    def setSourceVolumeNodeID(self, nodeId: str) -> None:
        """Sets the volume of that id."""
        self.setSourceVolumeNode(self._scene.GetNodeByID(nodeId))

    def currentSegmentID(self) -> str:
        """The id of the selected segment."""
        return (self._editorNode.GetSelectedSegmentID() if self._editorNode else "") or ""

    def setCurrentSegmentID(self, segmentId: str) -> None:
        """Selects a segment."""
        if self._editorNode is not None:
            self._editorNode.SetSelectedSegmentID(segmentId)

    def _tableSelected(self, segmentId: str) -> None:
        """Tells of a choice in the table; of one made by the node or a button Slicer says nothing."""
        if segmentId and segmentId != self.currentSegmentID():
            self.setCurrentSegmentID(segmentId)
            self._currentSegmentIDChanged.emit(segmentId)

    def _addSegment(self) -> None:
        self.saveStateForUndo()
        self.setCurrentSegmentID(self.segmentationNode().GetSegmentation().AddEmptySegment())

    def _removeSegment(self) -> None:
        self.saveStateForUndo()
        self.segmentationNode().GetSegmentation().RemoveSegment(self.currentSegmentID())

    def availableEffectNames(self) -> list[str]:
        """The names of all effects."""
        return list(self._effects)

    def setEffectNameOrder(self, names: list[str]) -> None:
        """Sets which effects are shown first; only those where unordered ones are hidden."""
        for name, button in self._effectButton.items():
            button.setVisible(name is None or name in names or self.unorderedEffectsVisible)

    def effectByName(self, name: str) -> Effect | None:
        """The effect of that name, or None."""
        return self._effects.get(name)

    def activeEffect(self) -> Effect | None:
        """The effect that takes the mouse, or None."""
        return self._active

    def setActiveEffectByName(self, name: str) -> None:
        """Has an effect take the mouse; an empty name gives it back to the views."""
        self.setActiveEffect(self._effects.get(name))

    def setActiveEffect(self, effect: Effect | None) -> None:
        """Has an effect take the mouse; None gives it back to the views."""
        self._active = effect
        if effect is not None:
            interaction = slicer.app.applicationLogic().GetInteractionNode()
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        if self._editorNode is not None:
            self._editorNode.SetActiveEffectName(effect.name if effect else "")
        for name, button in self._effectButton.items():
            button.setChecked(name == (effect.name if effect else None))

    def _effectClicked(self) -> None:
        chosen = self.sender()
        self.setActiveEffectByName(chosen.property("Effect"))

    def setupViewObservations(self) -> None:
        """Lets the active effect take the mouse in all slice views."""
        self.removeViewObservations()
        layout = slicer.app.layoutManager()
        for name in layout.sliceViewNames():
            interactor = layout.sliceWidget(name).sliceView().interactor()
            for event in MOUSE:
                self._inViews.add(interactor, event, self._mouse, BEFORE_THE_VIEW)
        node = slicer.app.applicationLogic().GetInteractionNode()
        self._inViews.add(node, "ModifiedEvent", self._interactionModeChanged)

    def removeViewObservations(self) -> None:
        """Leaves the mouse to the views."""
        self._inViews.clear()

    def _mouse(self, interactor: Any, event: str) -> bool:
        if self._active is None or self.readOnly:
            return False
        views = [widget.canvas.view for widget in slicer.app.layoutManager().viewWidgets()]
        view = next(view for view in views if view.interactor is interactor)
        return self._active.processEvent(event, view)

    def _interactionModeChanged(self, node: Any, _event: str) -> None:
        """Whoever places markups does not paint."""
        if node.GetCurrentInteractionMode() != node.ViewTransform:
            self.setActiveEffect(None)

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        """Sets how many steps can be undone."""
        self._logic.SetMaximumNumberOfUndoStates(count)

    maximumNumberOfUndoStates = QtCore.Property(
        int, lambda self: self._logic.GetMaximumNumberOfUndoStates(), setMaximumNumberOfUndoStates
    )

    def saveStateForUndo(self) -> None:
        """Keeps the segmentation as it is, so that :meth:`undo` comes back to it.

        As in Slicer, ``undoEnabled`` only hides the buttons.
        """
        if self.segmentationNode() is not None:
            self._logic.SaveStateForUndo()

    def undo(self) -> None:
        """Goes back to the state that was kept last."""
        self._logic.Undo()

    def redo(self) -> None:
        """Undoes :meth:`undo`."""
        self._logic.Redo()

    def installKeyboardShortcuts(self, _parent: Any = None) -> None:
        """Takes keys for effects and segments; here none are taken."""

    def uninstallKeyboardShortcuts(self) -> None:
        """Gives the keys back."""


def _selector(name: str, kind: str) -> Any:
    box = qMRMLNodeComboBox()
    box.setObjectName(name)
    box.setNodeTypes([kind])
    box.setNoneEnabled(True)
    return box


def _button(text: str, name: str, clicked: Any) -> QtWidgets.QPushButton:
    button = QtWidgets.QPushButton(text)
    button.setObjectName(name)
    button.clicked.connect(clicked)
    return button
