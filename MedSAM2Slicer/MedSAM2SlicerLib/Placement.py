"""Placing prompts by mouse: Slicer's own place mode, and what is done once a box is placed.

A box drawn by two clicks knows nothing of its depth, and Slicer aligns it with the patient. It is
turned onto the volume's axes and made as deep as it is wide on average, which the user then adjusts;
a slice box gets the one slice it was drawn on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import vtk

import slicer

from . import PromptNodes

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

    def start(self, node: vtk.vtkObject, tool: str, *, persistent: bool) -> None:
        """Lets the next clicks in any view place the node's points.

        Args:
            node: to place points in.
            tool: its name, for :attr:`tool`.
            persistent: whether it goes on after the first; otherwise the node's last point ends it.
        """
        self.stop()
        selection = self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        interaction = self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        self._node, self.tool = node, tool
        interaction.SetPlaceModePersistence(1 if persistent else 0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        tag = interaction.AddObserver(interaction.InteractionModeChangedEvent, self._modeChanged)
        self._observed.append((interaction, tag))

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

    def _modeChanged(self, interaction: vtk.vtkObject, _event: str) -> None:
        if interaction.GetCurrentInteractionMode() != interaction.Place:
            self.stop()


def alignBox(roi: vtk.vtkObject, volume: VolumeBridge, axis: SliceAxis, *, oneSlice: bool) -> None:
    """Turns a freshly drawn box onto the volume's axes and gives it a depth.

    Args:
        roi: drawn by two clicks on a plane, so flat or nearly so across it.
        volume: that it was drawn on.
        axis: the slice axis.
        oneSlice: whether it means the one slice it was drawn on.
    """
    corners_ijk = volume.rasToIjk(_diagonal(roi))
    low_ijk, high_ijk = corners_ijk.min(axis=0), corners_ijk.max(axis=0)
    spacing = np.linalg.norm(volume.affine_ijk_to_ras[:3, :3], axis=0)
    sides_mm = (high_ijk - low_ijk) * spacing
    flat = int(np.argmin(sides_mm))
    middle_ijk = (low_ijk + high_ijk) / 2
    reach_ijk = (high_ijk - low_ijk) / 2
    if oneSlice and flat == axis.ijk_position:
        middle_ijk[flat], reach_ijk[flat] = round(middle_ijk[flat]), 0.5
    else:
        reach_ijk[flat] = np.delete(sides_mm, flat).mean() / 2 / spacing[flat]
    limit_ijk = np.array(volume.shape_kji[::-1]) - 0.5
    low_ijk = np.maximum(middle_ijk - reach_ijk, -0.5)
    high_ijk = np.minimum(middle_ijk + reach_ijk, limit_ijk)
    placeBox(roi, volume, low_ijk, high_ijk)


def placeBox(
    roi: vtk.vtkObject, volume: VolumeBridge, low_ijk: np.ndarray, high_ijk: np.ndarray
) -> None:
    """Puts a ROI around continuous voxel indices, aligned with the volume, under its transform."""
    affine = volume.affine_ijk_to_ras
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    objectToNode = np.eye(4)
    objectToNode[:3, :3] = affine[:3, :3] / spacing
    if np.linalg.det(objectToNode[:3, :3]) < 0:
        objectToNode[:3, 2] *= -1
    middle_ijk = (np.asarray(low_ijk) + np.asarray(high_ijk)) / 2
    objectToNode[:3, 3] = affine[:3, :3] @ middle_ijk + affine[:3, 3]
    roi.SetAndObserveTransformNodeID(volume.node.GetTransformNodeID())
    PromptNodes.setBox(roi, objectToNode, (np.asarray(high_ijk) - np.asarray(low_ijk)) * spacing)


def _diagonal(roi: vtk.vtkObject) -> np.ndarray:
    """The two opposite corners of a ROI that Slicer placed, in world RAS ``[2, 3]``."""
    objectToWorld = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    half = np.array(roi.GetSize()) / 2
    return np.array([-half, half]) @ objectToWorld[:3, :3].T + objectToWorld[:3, 3]
