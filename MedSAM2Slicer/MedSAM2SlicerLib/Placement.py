"""Placing prompts by mouse: Slicer's own place mode, and what is done once a box is placed.

A box drawn by two clicks knows nothing of its depth, and Slicer aligns it with the patient, whatever
the view shows. It is made anew from the rectangle that was drawn: turned onto the volume's axes and as
deep as it is wide on average, which the user then adjusts; a slice box gets the one slice it was drawn
on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import vtk

import slicer

from . import PromptNodes
from .VolumeBridge import cornersOf, spacingOf

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis

    from .VolumeBridge import VolumeBridge


class Placement:
    """Turns Slicer's place mode on and off for one prompt node at a time.

    Args:
        scene: the MRML scene.
        onEnded: called with the node when its placing ends, by the last click or by Escape.

    Threading: main thread only.
    """

    def __init__(self, scene: vtk.vtkObject, onEnded: Callable[[vtk.vtkObject], None]) -> None:
        self._scene = scene
        self._onEnded = onEnded
        self._node: vtk.vtkObject | None = None
        self._observed: list[tuple[vtk.vtkObject, int]] = []
        self.tool = ""
        """The tool that is placing, or empty."""
        self.clicks: list[tuple[vtk.vtkObject, np.ndarray]] = []
        """The slice node and the world point of each click in a slice view."""

    def start(self, node: vtk.vtkObject, tool: str, *, persistent: bool) -> None:
        """Lets the next clicks in any view place the node's points.

        Args:
            node: to place points in.
            tool: its name, for :attr:`tool`.
            persistent: whether it goes on after the first; otherwise the node's last point ends it.
        """
        self.stop()
        self.clicks = []
        selection = self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        interaction = self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        self._node, self.tool = node, tool
        interaction.SetPlaceModePersistence(1 if persistent else 0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        tag = interaction.AddObserver(interaction.InteractionModeChangedEvent, self._modeChanged)
        self._observed.append((interaction, tag))
        tag = node.AddObserver(node.PointPositionDefinedEvent, self._clicked)
        self._observed.append((node, tag))

    @property
    def isLost(self) -> bool:
        """Whether the node was removed: the next click would begin one of Slicer's own."""
        return self._node is not None and self._node.GetScene() is None

    def stop(self) -> None:
        """Ends placing; what is not complete stays with its owner to remove."""
        node, self._node, self.tool = self._node, None, ""
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._observed.clear()
        interaction = self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        if node is not None and interaction is not None:
            if interaction.GetCurrentInteractionMode() == interaction.Place:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            if node.GetScene() is not None:
                self._onEnded(node)

    def _clicked(self, *_event: object) -> None:
        crosshair = self._scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        point_ras = [0.0, 0.0, 0.0]
        if crosshair is not None and crosshair.GetCursorPositionRAS(point_ras):
            sliceNode = crosshair.GetCursorPositionXYZ([0.0, 0.0, 0.0])
            if sliceNode is not None:
                self.clicks.append((sliceNode, np.array(point_ras)))

    def drawn(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The rectangle between two clicks in one slice view, as it was seen there.

        Returns:
            Its corners ``[4, 3]`` in world RAS and the view's normal ``[3]``; None where the clicks
            were made elsewhere.
        """
        if len(self.clicks) != 2 or self.clicks[0][0] is not self.clicks[1][0]:
            return None
        (sliceNode, first_ras), (_, second_ras) = self.clicks
        sliceToRas = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        across, normal = sliceToRas[:3, 0], sliceToRas[:3, 2]
        beside_ras = first_ras + across * ((second_ras - first_ras) @ across)
        opposite_ras = first_ras + second_ras - beside_ras
        return np.array([first_ras, beside_ras, second_ras, opposite_ras]), normal

    def _modeChanged(self, interaction: vtk.vtkObject, _event: str) -> None:
        if interaction.GetCurrentInteractionMode() != interaction.Place:
            self.stop()


def alignBox(
    roi: vtk.vtkObject,
    volume: VolumeBridge,
    axis: SliceAxis,
    drawn: tuple[np.ndarray, np.ndarray] | None,
    *,
    oneSlice: bool,
) -> None:
    """Turns a freshly drawn box onto the volume's axes and gives it a depth.

    Args:
        roi: as Slicer placed it.
        volume: that it was drawn on.
        axis: the slice axis.
        drawn: see :meth:`Placement.drawn`; without it the ROI has a depth already.
        oneSlice: whether it means the one slice it was drawn on.
    """
    corners_ras = cornersOf(roi) if drawn is None else drawn[0]
    corners_ijk = volume.rasToIjk(corners_ras)
    low_ijk, high_ijk = corners_ijk.min(axis=0), corners_ijk.max(axis=0)
    middle_ijk, reach_ijk = (low_ijk + high_ijk) / 2, (high_ijk - low_ijk) / 2
    if drawn is not None:
        flat = _axisAlong(drawn[1], corners_ras[0], volume)
        if oneSlice and flat == axis.ijk_position:
            middle_ijk[flat], reach_ijk[flat] = round(middle_ijk[flat]), 0.0
        else:
            depth = _meanSide(corners_ijk, volume) / 2
            reach_ijk[flat] = max(reach_ijk[flat], depth / spacingOf(volume)[flat])
    limit_ijk = np.array(volume.shape_kji[::-1]) - 0.5
    # The voxels that were clicked belong to the box.
    low_ijk = np.maximum(np.round(middle_ijk - reach_ijk) - 0.5, -0.5)
    high_ijk = np.minimum(np.round(middle_ijk + reach_ijk) + 0.5, limit_ijk)
    placeBox(roi, volume, low_ijk, high_ijk)


def _axisAlong(direction_ras: np.ndarray, at_ras: np.ndarray, volume: VolumeBridge) -> int:
    """The place in ``ijk`` of the index axis that runs most along a direction."""
    start_ijk, end_ijk = volume.rasToIjk([at_ras, at_ras + direction_ras])
    return int(np.argmax(np.abs(end_ijk - start_ijk) * spacingOf(volume)))


def _meanSide(corners_ijk: np.ndarray, volume: VolumeBridge) -> float:
    """The mean of a rectangle's two sides in mm."""
    steps_mm = (corners_ijk[1:3] - corners_ijk[:2]) * spacingOf(volume)
    return float(np.linalg.norm(steps_mm, axis=1).mean())


def placeBox(
    roi: vtk.vtkObject, volume: VolumeBridge, low_ijk: np.ndarray, high_ijk: np.ndarray
) -> None:
    """Puts a ROI around continuous voxel indices, aligned with the volume, under its transform."""
    affine, spacing = volume.affine_ijk_to_ras, spacingOf(volume)
    objectToNode = np.eye(4)
    objectToNode[:3, :3] = affine[:3, :3] / spacing
    if np.linalg.det(objectToNode[:3, :3]) < 0:
        objectToNode[:3, 2] *= -1
    middle_ijk = (np.asarray(low_ijk) + np.asarray(high_ijk)) / 2
    objectToNode[:3, 3] = affine[:3, :3] @ middle_ijk + affine[:3, 3]
    roi.SetAndObserveTransformNodeID(volume.node.GetTransformNodeID())
    PromptNodes.setBox(roi, objectToNode, (np.asarray(high_ijk) - np.asarray(low_ijk)) * spacing)
