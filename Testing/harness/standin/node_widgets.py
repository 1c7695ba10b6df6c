"""Doubles of the qMRML widgets that show the scene: the base class and the node selector."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets

import slicer

from .doubles import Observations, as_wide_as_there_is_room, stored
from .uiloader import register

Signal = QtCore.Signal
SEPARATOR = "-"


class SceneWidget(QtWidgets.QWidget):
    """A widget that knows the scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observed = Observations()

    def mrmlScene(self) -> Any:
        """The scene, or None."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Sets the scene."""
        if scene is not self._scene:
            self._scene = scene
            self._observed.clear()
            self._observeScene()

    def _observeScene(self) -> None:
        """What a derived class does with a new scene."""


@register
class qMRMLWidget(SceneWidget):
    """A widget that tells others of its scene."""

    cxxSignals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "_mrmlSceneChanged"}
    _mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        """Sets the scene."""
        if scene is not self._scene:
            super().setMRMLScene(scene)
            self._mrmlSceneChanged.emit(scene)


@register
class qMRMLNodeComboBox(SceneWidget):
    """Selects a node of the scene.

    As in Slicer the list may offer none, and ends with what can be done to nodes. Without ``none`` the
    first node is selected as soon as there is one.
    """

    cxxSignals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "_currentNodeChanged",
        "currentNodeChanged(bool)": "_currentNodeValid",
        "currentNodeIDChanged(QString)": "_currentNodeIDChanged",
        "nodeActivated(vtkMRMLNode*)": "_nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "_nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "_nodeAdded",
        "nodeAddedByUserAction(vtkMRMLNode*)": "_nodeAddedByUserAction",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "_nodeAboutToBeRemoved",
    }
    _currentNodeChanged = Signal(object)
    _currentNodeValid = Signal(bool)
    _currentNodeIDChanged = Signal(str)
    _nodeActivated = Signal(object)
    _nodeAdded = Signal(object)
    _nodeAddedByUserAction = Signal(object)
    _nodeAboutToBeRemoved = Signal(object)

    nodeTypes, setNodeTypes = stored("nodeTypes", "QStringList", [])
    hideChildNodeTypes, setHideChildNodeTypes = stored("hideChildNodeTypes", "QStringList", [])
    showHidden, setShowHidden = stored("showHidden", bool, False)
    showChildNodeTypes, setShowChildNodeTypes = stored("showChildNodeTypes", bool, True)
    noneEnabled, setNoneEnabled = stored("noneEnabled", bool, False)
    noneDisplay, setNoneDisplay = stored("noneDisplay", str, "None")
    addEnabled, setAddEnabled = stored("addEnabled", bool, True)
    removeEnabled, setRemoveEnabled = stored("removeEnabled", bool, True)
    renameEnabled, setRenameEnabled = stored("renameEnabled", bool, False)
    editEnabled, setEditEnabled = stored("editEnabled", bool, False)
    baseName, setBaseName = stored("baseName", str, "")
    selectNodeUponCreation, setSelectNodeUponCreation = stored("selectNodeUponCreation", bool, True)
    interactionNodeSingletonTag, setInteractionNodeSingletonTag = stored(
        "interactionNodeSingletonTag", str, "Singleton"
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._attributes: list[tuple[str, str, Any]] = []
        self._currentId = ""
        self._updating = False
        self._box = QtWidgets.QComboBox()
        as_wide_as_there_is_room(self, self._box)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(self._activated)
        self.setEnabled(False)

    def propertyChanged(self, _name: str) -> None:
        """Lists the nodes anew."""
        self._update()

    def _observeScene(self) -> None:
        scene, events = self._scene, slicer.vtkMRMLScene
        self.setEnabled(scene is not None)
        if scene is not None:
            for event in (
                events.NodeAddedEvent,
                events.NodeRemovedEvent,
                events.EndBatchProcessEvent,
                events.EndCloseEvent,
            ):
                self._observed.add(scene, event, self._sceneChanged)
            self._observed.add(scene, events.EndImportEvent, self._sceneImported)
        self._update()

    def _sceneChanged(self, _caller: Any, event: str) -> None:
        if event == "NodeAddedEvent":
            for node in self.nodes():
                if node.GetID() not in self._listed():
                    self._nodeAdded.emit(node)
        self._update()

    def _sceneImported(self, *_event: Any) -> None:
        """Slicer lists all nodes anew then, and forgets which one was selected (its issue 4570)."""
        self._select("")
        self._update()

    def _listed(self) -> list[str]:
        return [self._box.itemData(row) for row in range(self._box.count)]

    def _fits(self, node: Any) -> bool:
        kinds = list(self.nodeTypes)
        fits = any(
            node.IsA(k) if self.showChildNodeTypes else node.GetClassName() == k for k in kinds
        )
        hidden = node.GetHideFromEditors() and not self.showHidden
        if not fits or hidden or any(node.IsA(kind) for kind in self.hideChildNodeTypes):
            return False
        return all(
            node.GetAttribute(name) is not None
            and (value is None or node.GetAttribute(name) == str(value))
            for kind, name, value in self._attributes
            if node.IsA(kind)
        )

    def nodes(self) -> list[Any]:
        """The nodes that can be selected."""
        if self._scene is None:
            return []
        count = self._scene.GetNumberOfNodes()
        every = (self._scene.GetNthNode(place) for place in range(count))
        return [node for node in every if self._fits(node)]

    def _update(self) -> None:
        """Lists the nodes; keeps the selected one if it is still among them."""
        nodes = self.nodes()
        self._updating = True
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay, "")
        for node in nodes:
            self._box.addItem(node.GetName() or "", node.GetID())
        for text in self._actions():
            self._box.addItem(text, SEPARATOR + text)
        self._updating = False
        ids = [node.GetID() for node in nodes]
        first = "" if self.noneEnabled or not ids else ids[0]
        self._select(self._currentId if self._currentId in ids else first)

    def _actions(self) -> list[str]:
        if self._scene is None:
            return []
        kind = (list(self.nodeTypes) or [""])[0].removeprefix("vtkMRML").removesuffix("Node")
        offered = (
            (self.renameEnabled, "Rename current"),
            (self.addEnabled, f"Create new {kind}"),
            (self.removeEnabled, "Delete current"),
        )
        return [text for enabled, text in offered if enabled]

    def _select(self, nodeId: str) -> None:
        self._box.setCurrentIndex(self._box.findData(nodeId))
        if nodeId == self._currentId:
            return
        self._currentId = nodeId
        node = self.currentNode()
        self._currentNodeIDChanged.emit(nodeId)
        self._currentNodeChanged.emit(node)
        self._currentNodeValid.emit(node is not None)

    def _activated(self, row: int) -> None:
        """The user chose an entry of the list."""
        chosen = self._box.itemData(row)
        if not chosen.startswith(SEPARATOR):
            self._select(chosen)
            self._nodeActivated.emit(self.currentNode())
        elif chosen.startswith(f"{SEPARATOR}Create"):
            self._nodeAddedByUserAction.emit(self.addNode())
        elif chosen.startswith(f"{SEPARATOR}Delete"):
            self.removeCurrentNode()
        self._box.setCurrentIndex(self._box.findData(self._currentId))

    def currentNode(self) -> Any:
        """The selected node, or None."""
        return self._scene.GetNodeByID(self._currentId) if self._scene and self._currentId else None

    def setCurrentNode(self, node: Any) -> None:
        """Selects a node; None selects none."""
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeID(self, nodeId: str) -> None:
        """Selects a node by its id; one that is not in the list selects none."""
        self._select(nodeId if nodeId in [node.GetID() for node in self.nodes()] else "")

    currentNodeID = QtCore.Property(str, lambda self: self._currentId, setCurrentNodeID)

    def setCurrentNodeIndex(self, index: int) -> None:
        """Selects the node at that place of the list."""
        self.setCurrentNode(self.nodeFromIndex(index))

    def addNode(self, nodeType: str = "") -> Any:
        """Adds a node of the type, the first of the types if none is named, and selects it."""
        node = self._scene.CreateNodeByClass(nodeType or next(iter(self.nodeTypes)))
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for kind, name, value in self._attributes:
            if node.IsA(kind) and value is not None:
                node.SetAttribute(name, str(value))
        added = self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(added)
        return added

    def removeCurrentNode(self) -> None:
        """Removes the selected node from the scene."""
        node = self.currentNode()
        if node is not None:
            self._nodeAboutToBeRemoved.emit(node)
            self._scene.RemoveNode(node)

    def nodeCount(self) -> int:
        """How many nodes can be selected."""
        return len(self.nodes())

    def nodeFromIndex(self, index: int) -> Any:
        """The node at that place of the list, or None."""
        nodes = self.nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addAttribute(self, nodeType: str, name: str, value: Any = None) -> None:
        """Lists only nodes that have the attribute, with that value unless it is None."""
        self._attributes.append((nodeType, name, value))
        self._update()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        """Undoes :meth:`addAttribute`."""
        self._attributes = [held for held in self._attributes if held[:2] != (nodeType, name)]
        self._update()
