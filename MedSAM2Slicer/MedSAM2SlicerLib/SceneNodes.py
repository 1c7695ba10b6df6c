"""Nodes of a scene by class. Slicer's own list looks into its main scene, whichever it is given."""

from __future__ import annotations

import vtk


def nodesOf(scene: vtk.vtkObject, className: str = "vtkMRMLNode") -> list[vtk.vtkObject]:
    """All nodes of a class and of those derived from it, in the order they were added; main thread."""
    found = scene.GetNodesByClass(className)
    found.UnRegister(None)
    return [found.GetItemAsObject(number) for number in range(found.GetNumberOfItems())]
