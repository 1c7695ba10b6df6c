"""From a volume node to the engine's volume, and between the patient and its voxels.

Frames: ``ras`` is Slicer's world (after all parent transforms), ``ijk`` the volume's continuous voxel
indices with centres at integers. The parent transform of a volume may be anything, also non-linear;
points go through it, voxels are never resampled.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk

import slicer

from . import Paths
from .Signal import Signal

if TYPE_CHECKING:
    from medsam2.core.geometry import BoxIJK, SliceAxis
    from medsam2.core.volume import Volume

    from .CineBridge import CineBridge

OBLIQUE_DEGREES = 5.0
"""Slice views that are turned further than this against the voxels are reported."""


class VolumeBridge:
    """One volume node as the engine sees it.

    Args:
        node: a vtkMRMLScalarVolumeNode or vtkMRMLVectorVolumeNode with image data.

    Signals: ``moved()`` where slices lie in time, see :class:`CineBridge`; never here.

    Threading: main thread, except that the arrays of :meth:`snapshot` may be read anywhere.
    """

    def __init__(self, node: vtk.vtkObject) -> None:
        Paths.useBundledServer()
        self.node = node
        self.moved = Signal()

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Number of voxels along k, j and i."""
        i, j, k = self.node.GetImageData().GetDimensions()
        return k, j, i

    @property
    def affine_ijk_to_ras(self) -> np.ndarray:
        """Voxel centres to the node's own RAS, without its parent transform ``[4, 4]``."""
        matrix = vtk.vtkMatrix4x4()
        self.node.GetIJKToRASMatrix(matrix)
        return slicer.util.arrayFromVTKMatrix(matrix)

    def fingerprint(self) -> tuple[Any, ...]:
        """Changes whenever the voxels or their place do; equal fingerprints mean an equal volume."""
        image = self.node.GetImageData()
        scalars = image.GetPointData().GetScalars() if image is not None else None
        where = () if scalars is None else tuple(self.affine_ijk_to_ras.ravel())
        return self.node.GetID(), scalars and scalars.GetMTime(), where

    def snapshotLater(self) -> Callable[[], Volume]:
        """A function that makes the engine's volume, for the worker thread.

        It copies Slicer's voxels there (the array keeps them alive until then), since copying and
        checking half a gigabyte would freeze the window. It raises VolumeError where the volume
        can't be segmented (sheared, not finite, more than one component but no 8-bit colour).
        """
        voxels_kji = slicer.util.arrayFromVolume(self.node)
        facts = self.affine_ijk_to_ras, modality(self.node), self.node.GetName()

        def snapshot() -> Volume:
            from medsam2.core.volume import Volume

            checkComponents(voxels_kji, facts[2])
            return Volume(voxels_kji.copy(), *facts)

        return snapshot

    # What differs where slices lie in time

    isSpatial = True
    """Whether slices lie beside each other, so that their voxels add up to a volume."""
    sliceName = "Slice"
    """What a slice is called."""

    @property
    def nodes(self) -> tuple[vtk.vtkObject, ...]:
        """What must stay in the scene."""
        return (self.node,)

    def close(self) -> None:
        """Nothing is held."""

    def select(self, index: int) -> None:
        """Brings a slice into the scene: all slices of a volume are there at once."""

    def inSpace(self, axis: SliceAxis, index: int) -> tuple[VolumeBridge, SliceAxis, int]:
        """Where in space a slice of the engine's volume lies."""
        return self, axis, index

    def at(self, _prompt: vtk.vtkObject) -> VolumeBridge | None:
        """The bridge that a prompt's points go through; None for a prompt on none of the slices."""
        return self

    # Places

    def rasToIjk(self, points_ras: Any) -> np.ndarray:
        """World points ``[..., 3]`` to continuous voxel indices."""
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            None, self.node.GetParentTransformNode(), transform
        )
        points = np.asarray(points_ras, dtype=float)
        local = [transform.TransformPoint(point) for point in points.reshape(-1, 3)]
        inverse = np.linalg.inv(self.affine_ijk_to_ras)
        return (np.array(local) @ inverse[:3, :3].T + inverse[:3, 3]).reshape(points.shape)

    def ijkToRas(self, points_ijk: Any) -> np.ndarray:
        """Continuous voxel indices ``[..., 3]`` to world points."""
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            self.node.GetParentTransformNode(), None, transform
        )
        points = np.asarray(points_ijk, dtype=float)
        affine = self.affine_ijk_to_ras
        local = points.reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
        return np.array([transform.TransformPoint(point) for point in local]).reshape(points.shape)

    def boxOf(self, roi: vtk.vtkObject) -> BoxIJK:
        """The inclusive voxel box around all 8 corners of a ROI, however it is turned.

        Raises:
            OutsideVolumeError: the ROI touches no voxel.
        """
        from medsam2.core.geometry import box_from_corners_ras

        corners_ijk = self.rasToIjk(cornersOf(roi))
        return box_from_corners_ras(corners_ijk, np.eye(4), self.shape_kji)

    def defaultAxis(self) -> SliceAxis:
        """The axis a reader would scroll along."""
        from medsam2.core.geometry import default_axis

        return default_axis(self.affine_ijk_to_ras)

    def sliceOf(self, sliceNode: vtk.vtkObject) -> tuple[SliceAxis, int, float]:
        """The slice a view shows: its axis, its index, and how many degrees the view is off it."""
        from medsam2.core.geometry import SliceAxis

        sliceToRas = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
        origin_ras, normal_ras = sliceToRas[:3, 3], sliceToRas[:3, 2]
        at_ijk, ahead_ijk = self.rasToIjk([origin_ras, origin_ras + normal_ras])
        direction = (ahead_ijk - at_ijk) * spacingOf(self)
        direction /= np.linalg.norm(direction)
        position = int(np.argmax(np.abs(direction)))
        degrees = math.degrees(math.acos(min(1.0, abs(direction[position]))))
        axis = SliceAxis(2 - position)
        return axis, self._indexAt(axis, at_ijk[position]), degrees

    def _indexAt(self, axis: SliceAxis, coordinate: float) -> int:
        """The slice nearest to a coordinate; the first where a view's place is no number."""
        place = round(float(np.nan_to_num(coordinate)))
        return int(np.clip(place, 0, self.shape_kji[axis.value] - 1))

    def centreOf(self, axis: SliceAxis, index: int) -> np.ndarray:
        """The world point in the middle of a slice ``[3]``."""
        k, j, i = self.shape_kji
        middle_ijk = [(i - 1) / 2, (j - 1) / 2, (k - 1) / 2]
        middle_ijk[axis.ijk_position] = index
        return self.ijkToRas(middle_ijk)


def spacingOf(volume: VolumeBridge | CineBridge) -> tuple[float, float, float]:
    """Voxel size in mm along i, j and k."""
    from medsam2.core.geometry import spacing_ijk

    return spacing_ijk(volume.affine_ijk_to_ras)


def checkComponents(voxels: np.ndarray, name: str) -> None:
    """Refuses voxels of several components that are no 8-bit colour.

    Args:
        voxels: ``[K, J, I]`` or ``[K, J, I, components]``.
        name: the volume's, for the message.

    Raises:
        NotAVolumeError: as said.
    """
    from medsam2.core.errors import NotAVolumeError

    if voxels.ndim > 3 and (voxels.shape[3] != 3 or voxels.dtype != np.uint8):
        msg = (
            f"{name} has {voxels.shape[3]} components of type {voxels.dtype} per voxel; colour "
            "must be 8-bit red, green, blue. Turn it grey first (module Vector to Scalar Volume)."
        )
        raise NotAVolumeError(msg)


def cornersOf(roi: vtk.vtkObject) -> np.ndarray:
    """The 8 corners of a ROI node in world RAS ``[8, 3]``, its rotation and transforms included."""
    objectToWorld = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    half = np.array(roi.GetSize()) / 2
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    return (signs * half) @ objectToWorld[:3, :3].T + objectToWorld[:3, 3]


def modality(node: vtk.vtkObject) -> str:
    """DICOM's term for the volume's modality, or empty where the scene does not know it."""
    named = node.GetAttribute("DICOM.Modality")
    if named:
        return str(named)
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None:
        return ""
    return str(database.instanceValue(uids[0], "0008,0060") or "")
