"""Prompts as markups nodes: what kinds there are, how they look, what they hold.

A prompt is an ordinary markups node of the scene, so Slicer saves, shows and moves it. Three
attributes and one reference make it a prompt: its kind, its segment, an id of its own, and the
segmentation. A node of the user's that is taken as a prompt gets the marks and nothing else.
"""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import numpy as np
import vtk

import slicer

from .SceneNodes import nodesOf

KIND = "MedSAM2.Kind"
SEGMENT = "MedSAM2.Segment"
IDENTITY = "MedSAM2.Prompt"
ADOPTED = "MedSAM2.Adopted"
FRAME = "MedSAM2.Frame"
SEGMENTATION = "MedSAM2.Segmentation"


@dataclasses.dataclass(frozen=True)
class Kind:
    """How prompts of one kind are stored and shown."""

    className: str
    label: str
    color: tuple[float, float, float] | None = None
    """Own colour; None takes the segment's."""


KINDS = {
    "roi": Kind("vtkMRMLMarkupsROINode", "box"),
    "inside": Kind("vtkMRMLMarkupsFiducialNode", "inside", (0.2, 0.8, 0.3)),
    "outside": Kind("vtkMRMLMarkupsFiducialNode", "outside", (0.9, 0.25, 0.25)),
    "box": Kind("vtkMRMLMarkupsROINode", "slice box"),
    "line": Kind("vtkMRMLMarkupsLineNode", "diameter"),
    "scribble": Kind("vtkMRMLMarkupsCurveNode", "scribble", (0.2, 0.8, 0.3)),
    "lasso": Kind("vtkMRMLMarkupsClosedCurveNode", "lasso"),
}


LEAST_POINTS = {"line": 2, "scribble": 2, "lasso": 3}
"""With fewer control points a prompt of that kind is not there yet."""


def mark(node: vtk.vtkObject, segmentation: vtk.vtkObject, segmentId: str, kind: str) -> None:
    """Makes a markups node a prompt of a segment; its geometry stays as it is."""
    node.SetAttribute(KIND, kind)
    node.SetAttribute(SEGMENT, segmentId)
    identify(node)
    node.SetNodeReferenceID(SEGMENTATION, segmentation.GetID())


def identify(node: vtk.vtkObject) -> None:
    """Gives a prompt an id of its own, if it has none."""
    if not node.GetAttribute(IDENTITY):
        node.SetAttribute(IDENTITY, uuid.uuid4().hex)


def takeAway(node: vtk.vtkObject) -> None:
    """Takes a prompt away; a node of the user's only loses its marks."""
    if node.GetAttribute(ADOPTED):
        unmark(node)
    else:
        node.GetScene().RemoveNode(node)


def removeOrphans(scene: vtk.vtkObject) -> None:
    """Takes away the prompts of segmentations that were removed: nothing lists them any more."""
    for node in nodesOf(scene, "vtkMRMLMarkupsNode"):
        if node.GetAttribute(KIND) and node.GetNodeReferenceID(SEGMENTATION) is None:
            takeAway(node)


def unmark(node: vtk.vtkObject) -> None:
    """Gives a node back to the user."""
    for attribute in (KIND, SEGMENT, IDENTITY, ADOPTED, FRAME):
        node.RemoveAttribute(attribute)
    node.SetNodeReferenceID(SEGMENTATION, None)


def create(
    scene: vtk.vtkObject, segmentation: vtk.vtkObject, segmentId: str, kind: str
) -> vtk.vtkObject:
    """Adds an empty prompt node, shown in the segment's colour.

    Points go under the segmentation's transform, so that they stay on their voxels where it is moved;
    boxes do once they are drawn, for they are turned onto the volume's axes then.
    """
    node = scene.CreateNodeByClass(KINDS[kind].className)
    node.UnRegister(None)
    mark(node, segmentation, segmentId, kind)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    if kind not in ("roi", "box"):
        node.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
    dress(node, segmentation)
    return node


def dress(node: vtk.vtkObject, segmentation: vtk.vtkObject) -> None:
    """Gives a prompt its segment's name and colour."""
    segment = segmentation.GetSegmentation().GetSegment(node.GetAttribute(SEGMENT))
    kind = KINDS[node.GetAttribute(KIND)]
    node.SetName(node.GetScene().GenerateUniqueName(f"{segment.GetName()} {kind.label}"))
    display = node.GetDisplayNode()
    color = kind.color or segment.GetColor()
    display.SetSelectedColor(*color)
    display.SetColor(*color)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    if node.IsA("vtkMRMLMarkupsROINode"):
        display.SetFillOpacity(0.0)


def freeRois(scene: vtk.vtkObject) -> list[vtk.vtkObject]:
    """The boxes in a scene that are no prompt."""
    return [
        node
        for node in nodesOf(scene, "vtkMRMLMarkupsROINode")
        if not node.GetAttribute(KIND) and not node.GetHideFromEditors() and min(node.GetSize()) > 0
    ]


def frameOf(node: vtk.vtkObject) -> int | None:
    """The frame of a sequence that a prompt belongs to; None for one that belongs to none."""
    held = node.GetAttribute(FRAME)
    return int(held) if held and held.isdigit() else None


def setFrame(node: vtk.vtkObject, frame: int | None) -> None:
    """Makes a prompt belong to a frame."""
    node.SetAttribute(FRAME, None if frame is None else str(frame))


def definedPoints(node: vtk.vtkObject) -> list[int]:
    """Places of the control points that the user has set, without one that still follows the mouse."""
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    count = node.GetNumberOfControlPoints()
    return [n for n in range(count) if node.GetNthControlPointPositionStatus(n) == defined]


def points_ras(node: vtk.vtkObject) -> np.ndarray:
    """The set control points in world RAS ``[n, 3]``."""
    points = [node.GetNthControlPointPositionWorld(n) for n in definedPoints(node)]
    return np.array(points, dtype=float).reshape(-1, 3)


def isComplete(node: vtk.vtkObject) -> bool:
    """Whether the node holds enough to be a prompt."""
    if node.GetAttribute(KIND) in ("roi", "box"):
        return min(node.GetSize()) > 0
    return len(definedPoints(node)) >= LEAST_POINTS.get(node.GetAttribute(KIND), 1)


def content(node: vtk.vtkObject) -> dict[str, Any]:
    """All of a prompt that undo gives back, in the node's own frame; plain values."""
    held: dict[str, Any] = {
        "class": node.GetClassName(),
        "name": node.GetName(),
        "kind": node.GetAttribute(KIND),
        "segment": node.GetAttribute(SEGMENT),
        "adopted": bool(node.GetAttribute(ADOPTED)),
        "node": node.GetID() if node.GetAttribute(ADOPTED) else "",
        "frame": frameOf(node),
        "transform": node.GetTransformNodeID() or "",
    }
    if node.IsA("vtkMRMLMarkupsROINode"):
        matrix = slicer.util.arrayFromVTKMatrix(node.GetObjectToNodeMatrix())
        held["size"], held["matrix"] = list(node.GetSize()), matrix.ravel().tolist()
    else:
        held["points"] = [list(node.GetNthControlPointPosition(n)) for n in definedPoints(node)]
    return held


def setContent(node: vtk.vtkObject, held: dict[str, Any]) -> None:
    """Puts back what :func:`content` gave."""
    with slicer.util.NodeModify(node):
        node.SetName(held["name"])
        node.SetAttribute(SEGMENT, held["segment"])
        setFrame(node, held["frame"])
        node.SetAndObserveTransformNodeID(held["transform"] or None)
        if "matrix" in held:
            setBox(node, np.array(held["matrix"]).reshape(4, 4), held["size"])
        else:
            node.RemoveAllControlPoints()
            for point in held["points"]:
                node.AddControlPoint(vtk.vtkVector3d(*point))


def setBox(roi: vtk.vtkObject, objectToNode: np.ndarray, size: Any) -> None:
    """Places a ROI: centre and directions as a matrix ``[4, 4]``, side lengths in mm."""
    with slicer.util.NodeModify(roi):
        roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(objectToNode))
        roi.SetSize(*(float(side) for side in size))
