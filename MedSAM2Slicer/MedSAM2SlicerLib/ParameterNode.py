"""What the user chose, in the scene: a typed face on the module's one vtkMRMLScriptedModuleNode.

Choices that belong to a case (volume, segmentation, axis, window, ...) are saved with the scene;
those that belong to a computer (server, model folder) are in :mod:`Settings`. Slicer's own
``parameterNodeWrapper`` does the same for widgets of its own; this one needs the node alone, so
scripts, tests and Slicer share it.
"""

from __future__ import annotations

from typing import Any

import vtk

import slicer

MODULE = "MedSAM2Slicer"


class _Choice:
    """A text parameter with a default, as an attribute."""

    def __init__(self, name: str, default: str) -> None:
        self._name, self._default = name, default

    def __get__(self, owner: ParameterNode | None, kind: type) -> Any:
        if owner is None:
            return self
        return owner.node.GetParameter(self._name) or self._default

    def __set__(self, owner: ParameterNode, value: str) -> None:
        owner.node.SetParameter(self._name, str(value))


class _Flag(_Choice):
    """A yes or no."""

    def __get__(self, owner: ParameterNode | None, kind: type) -> Any:
        value = super().__get__(owner, kind)
        return value if owner is None else value == "true"

    def __set__(self, owner: ParameterNode, value: bool) -> None:
        owner.node.SetParameter(self._name, "true" if value else "false")


class _Reference:
    """Another node of the scene, or None."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __get__(self, owner: ParameterNode | None, kind: type) -> Any:
        return self if owner is None else owner.node.GetNodeReference(self._role)

    def __set__(self, owner: ParameterNode, node: Any) -> None:
        owner.node.SetNodeReferenceID(self._role, node.GetID() if node is not None else None)


class ParameterNode:
    """The choices of one scene.

    Args:
        scene: where the node is looked for, and made if there is none.

    Threading: main thread only.
    """

    volume = _Reference("Volume")
    segmentation = _Reference("Segmentation")
    editor = _Reference("SegmentEditor")
    segmentId = _Choice("SegmentID", "")
    axis = _Choice("Axis", "auto")
    """``auto``, ``i``, ``j``, ``k`` or ``time``."""
    plane = _Choice("Plane", "")
    """The slice that is followed through time, as ``K 10``; empty takes the middle one."""
    window = _Choice("Window", "auto")
    """A preset's name, ``display``, or ``LOW:HIGH``."""
    model = _Choice("Model", "")
    """The model's name; empty takes the settings' one."""
    livePreview = _Flag("LivePreview", "true")

    def __init__(self, scene: vtk.vtkObject) -> None:
        self.node = scene.GetSingletonNode(MODULE, "vtkMRMLScriptedModuleNode") or _added(scene)

    def modifying(self) -> Any:
        """A ``with`` block in which any number of changes count as one."""
        return slicer.util.NodeModify(self.node)


def _added(scene: vtk.vtkObject) -> vtk.vtkObject:
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetSingletonTag(MODULE)
    node.SetName(MODULE)
    node.SetModuleName(MODULE)
    return scene.AddNode(node)
