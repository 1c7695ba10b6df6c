"""Masks of slices into and out of a segmentation node, on the voxels of its volume.

A slice is written in place, into a labelmap of the segment's own: no other segment can change.
Where the user lets a segment take voxels from others, these lose them in the same way. Slicer's own
vtkSlicerSegmentEditorLogic copies whole labelmaps for each slice, of every segment that loses
voxels; its "set" erases all other slices of the segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

import slicer

from . import Paths
from .EditableArea import editable, overwritten
from .Labelmaps import BINARY_LABELMAP, labels_kji, ownLabelmap, thicken

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis

    from .VolumeBridge import VolumeBridge

TISSUE = (
    "Segmentation category and type - DICOM master list~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~"
    "Anatomic codes - DICOM master list~^^~^^"
)
"""Slicer's own default terminology; the user changes it in the Segment Editor's table."""
GRID_TOLERANCE = 1e-3
"""Largest difference in mm or in voxels per axis between two grids that count as one."""


class SegmentationBridge:
    """One segmentation node on one volume.

    Args:
        node: the vtkMRMLSegmentationNode.
        volume: the volume whose voxels the segments share.
        editorNode: the vtkMRMLSegmentEditorNode whose overwrite and masking modes hold.

    Raises:
        OutputError: the segmentation lies on another grid than the volume.

    Threading: main thread only.
    """

    def __init__(
        self, node: vtk.vtkObject, volume: VolumeBridge, editorNode: vtk.vtkObject
    ) -> None:
        Paths.useBundledServer()
        self.node = node
        self.volume = volume
        self._editorNode = editorNode
        self._checkGrid()

    def _checkGrid(self) -> None:
        from medsam2.core.errors import OutputError

        if self.volume.node.GetParentTransformNode() is not self.node.GetParentTransformNode():
            msg = (
                f"{self.node.GetName()} and {self.volume.node.GetName()} are under different "
                "transforms; put both under the same one, or choose a new segmentation."
            )
            raise OutputError(msg)
        if self.segmentIds and not self._isOfVoxels():
            msg = (
                f"{self.node.GetName()} is made of surfaces; make the binary labelmap its source in "
                "the Segmentations module, or choose a new segmentation."
            )
            raise OutputError(msg)
        for labelmap in self._labelmaps():
            if not self._onGrid(labelmap):
                msg = (
                    f"{self.node.GetName()} lies on another grid than "
                    f"{self.volume.node.GetName()}; choose a new segmentation for this volume."
                )
                raise OutputError(msg)

    def _isOfVoxels(self) -> bool:
        return bool(self.node.GetSegmentation().GetSourceRepresentationName() == BINARY_LABELMAP)

    def _labelmaps(self) -> list[vtk.vtkObject]:
        segmentation = self.node.GetSegmentation()
        found = (
            segmentation.GetNthSegment(n).GetRepresentation(BINARY_LABELMAP)
            for n in range(segmentation.GetNumberOfSegments())
        )
        return [labelmap for labelmap in found if labelmap is not None and not labelmap.IsEmpty()]

    def _onGrid(self, labelmap: vtk.vtkObject) -> bool:
        """Whether the labelmap's voxels are the volume's, and numbered as those are."""
        matrix = vtk.vtkMatrix4x4()
        labelmap.GetImageToWorldMatrix(matrix)
        difference = np.linalg.inv(self.volume.affine_ijk_to_ras) @ slicer.util.arrayFromVTKMatrix(
            matrix
        )
        return bool(np.allclose(difference, np.eye(4), atol=GRID_TOLERANCE))

    @property
    def segmentIds(self) -> list[str]:
        """Ids of all segments, in their order."""
        return list(self.node.GetSegmentation().GetSegmentIDs())

    def segment(self, segmentId: str) -> vtk.vtkObject | None:
        """The segment of that id, or None once it was removed."""
        return self.node.GetSegmentation().GetSegment(segmentId)

    @property
    def nodes(self) -> tuple[vtk.vtkObject, ...]:
        """What must stay in the scene."""
        return (self.node,)

    def tags(self, segmentId: str) -> vtk.vtkObject | None:
        """Where facts about the segment's slices are kept: the segment itself."""
        return self.segment(segmentId)

    def stamp(self, segmentId: str) -> Any:
        """Changes whenever a voxel of the segment's labelmap does; None without a labelmap."""
        return stampOf(self.node, segmentId)

    def shareSegments(self) -> None:
        """Makes all slices have the same segments, as they have here."""

    def addSegment(self, name: str = "") -> str:
        """Adds an empty segment of the terminology "Tissue"; returns its id."""
        segmentId = str(self.node.GetSegmentation().AddEmptySegment("", name))
        self.segment(segmentId).SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TISSUE)
        return segmentId

    def setStatus(self, segmentId: str, *, completed: bool) -> None:
        """Sets the status that Slicer's Segment Editor shows and filters by."""
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        status = logic.Completed if completed else logic.InProgress
        logic.SetSegmentStatus(self.segment(segmentId), status)

    def _labels_kji(self, segmentId: str) -> tuple[np.ndarray, tuple[slice, slice, slice]] | None:
        """A view of the labels that the segment shares, and where in the volume they lie."""
        segment = self.segment(segmentId)
        labelmap = segment.GetRepresentation(BINARY_LABELMAP) if segment is not None else None
        if labelmap is None or labelmap.IsEmpty():
            return None
        i0, i1, j0, j1, k0, k1 = labelmap.GetExtent()
        spans = ((k0, k1), (j0, j1), (i0, i1))
        counts = self.volume.shape_kji
        where = [
            slice(max(first, 0), max(0, min(last + 1, count)))
            for (first, last), count in zip(spans, counts, strict=True)
        ]
        inside = [
            slice(part.start - first, max(0, part.stop - first))
            for part, (first, _) in zip(where, spans, strict=True)
        ]
        return labels_kji(labelmap)[tuple(inside)], (where[0], where[1], where[2])

    def occupied(self, segmentId: str, axis: SliceAxis) -> range:
        """The slices on which the segment may have voxels."""
        found = self._labels_kji(segmentId)
        if found is None:
            return range(0)
        across = found[1][axis.value]
        return range(across.start, across.stop)

    def readSlice(self, segmentId: str, axis: SliceAxis, index: int) -> np.ndarray:
        """The segment's mask on one slice of the volume, booleans ``[rows, columns]``."""
        shape_rc = [n for a, n in enumerate(self.volume.shape_kji) if a != axis.value]
        mask_rc = np.zeros(shape_rc, dtype=bool)
        found = self._labels_kji(segmentId)
        if found is None or index not in self.occupied(segmentId, axis):
            return mask_rc
        labels, where_kji = found
        rows, columns = (part for a, part in enumerate(where_kji) if a != axis.value)
        labels_rc = np.moveaxis(labels, axis.value, 0)[index - where_kji[axis.value].start]
        mask_rc[rows, columns] = labels_rc == self.segment(segmentId).GetLabelValue()
        return mask_rc

    def writeSlice(
        self,
        segmentId: str,
        axis: SliceAxis,
        index: int,
        mask_rc: np.ndarray,
        *,
        masked: bool = True,
    ) -> np.ndarray:
        """Replaces the segment's mask on one slice; nothing else of the segment changes.

        Args:
            segmentId: whose mask.
            axis: that slices are taken across.
            index: of the slice.
            mask_rc: booleans ``[rows, columns]`` of the whole slice.
            masked: whether the user's editable area and overwrite mode hold; without them the
                mask is written as it is and no other segment changes.

        Returns:
            What the slice holds afterwards.
        """
        before_rc = self.readSlice(segmentId, axis, index)
        may_rc = editable(self._editorNode, self, segmentId, axis, index) if masked else None
        change_rc = before_rc ^ mask_rc if may_rc is None else (before_rc ^ mask_rc) & may_rc
        if masked:
            self._take(segmentId, axis, index, change_rc & mask_rc)
        if change_rc.any():
            self._writeInPlace(segmentId, axis, index, change_rc, mask_rc)
        return self.readSlice(segmentId, axis, index)

    def _writeInPlace(
        self,
        segmentId: str,
        axis: SliceAxis,
        index: int,
        change_rc: np.ndarray,
        mask_rc: np.ndarray,
    ) -> None:
        """Changes pixels of a labelmap that is the segment's alone."""
        from medsam2.core.masks import bounding_box_rc

        row0, column0, row1, column1 = bounding_box_rc(change_rc)
        low_ijk = [int(value) for value in axis.join_ijk(index, (row0, column0))]
        high_ijk = [int(value) for value in axis.join_ijk(index, (row1, column1))]
        wanted = [bound for pair in zip(low_ijk, high_ijk, strict=True) for bound in pair]
        k, j, i = self.volume.shape_kji
        matrix = slicer.util.vtkMatrixFromArray(self.volume.affine_ijk_to_ras)
        segmentation = self.node.GetSegmentation()
        labelmap = ownLabelmap(
            segmentation,
            segmentId,
            wanted,
            (0, i - 1, 0, j - 1, 0, k - 1),
            matrix,
        )
        starts_kji = labelmap.GetExtent()[4::-2]
        part = tuple(
            slice(low - start, high - start + 1)
            for low, high, start in zip(low_ijk[::-1], high_ijk[::-1], starts_kji, strict=True)
        )
        labels_rc = np.moveaxis(labels_kji(labelmap)[part], axis.value, 0)[0]
        inside = slice(row0, row1 + 1), slice(column0, column1 + 1)
        value = self.segment(segmentId).GetLabelValue()
        labels_rc[change_rc[inside]] = np.where(mask_rc[inside], value, 0)[change_rc[inside]]
        labelmap.GetPointData().GetScalars().Modified()
        labelmap.Modified()
        # As Slicer's own logic does: without it views stay as they are, and the node counts as saved.
        segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentId)

    def _take(self, segmentId: str, axis: SliceAxis, index: int, added_rc: np.ndarray) -> None:
        """Takes pixels from the other segments: from all, or from the visible ones."""
        for other in set(overwritten(self._editorNode, self)) - {segmentId}:
            taken_rc = self.readSlice(other, axis, index) & added_rc
            if taken_rc.any():
                self._writeInPlace(other, axis, index, taken_rc, ~taken_rc)


def stampOf(node: vtk.vtkObject, segmentId: str) -> Any:
    """See :meth:`SegmentationBridge.stamp`."""
    segment = node.GetSegmentation().GetSegment(segmentId)
    labelmap = None if segment is None else segment.GetRepresentation(BINARY_LABELMAP)
    return None if labelmap is None else (labelmap.GetMTime(), segment.GetLabelValue())


def imageOf(
    volume: VolumeBridge, axis: SliceAxis, index: int, mask_rc: np.ndarray
) -> vtk.vtkObject:
    """A slice's mask as an image on the volume's voxels that reaches no further than its pixels.

    Args:
        volume: whose voxels.
        axis: that slices are taken across.
        index: of the slice.
        mask_rc: booleans ``[rows, columns]`` with at least one that is true.
    """
    from medsam2.core.masks import bounding_box_rc

    row0, column0, row1, column1 = bounding_box_rc(mask_rc)
    low_ijk = [int(value) for value in axis.join_ijk(index, (row0, column0))]
    high_ijk = [int(value) for value in axis.join_ijk(index, (row1, column1))]
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(bound for pair in zip(low_ijk, high_ijk, strict=True) for bound in pair))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(volume.affine_ijk_to_ras))
    pixels_rc = mask_rc[row0 : row1 + 1, column0 : column1 + 1]
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = pixels_rc.ravel()
    return image


def createSegmentation(volume: vtk.vtkObject) -> vtk.vtkObject:
    """Adds an empty segmentation on a volume's voxels, under the volume's own transform."""
    scene = volume.GetScene()
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(scene.GenerateUniqueName(f"{volume.GetName()} segmentation"))
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    # In this order: the grid is kept relative to the transform.
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetDisplayNode().SetOpacity2DFill(0.35)
    _putBeside(node, volume)
    return node


def _putBeside(node: vtk.vtkObject, volume: vtk.vtkObject) -> None:
    """Puts a node into the volume's study, where Slicer exports it to DICOM from."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item, volumeItem = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volume)
    if item and volumeItem:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(volumeItem))


def createEditorNode(scene: vtk.vtkObject) -> vtk.vtkObject:
    """Adds the module's own Segment Editor node: painting never takes voxels from a neighbour."""
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetName("MedSAM2Slicer editor")
    node.SetHideFromEditors(True)
    scene.AddNode(node)
    node.SetOverwriteMode(node.OverwriteNone)
    return node


CLOSED_SURFACE = "Closed surface"
Surfaces = dict[str, tuple[Any, Any]]
"""The 3D surface of each segment, and the labelmap's stamp that it was made of."""


def dropSurfaces(node: vtk.vtkObject) -> Surfaces:
    """Drops the 3D surfaces, which slices that are written would make Slicer drop or compute anew.

    Returns:
        What :func:`showSurfaces` needs to bring them back; empty where none were shown.
    """
    segmentation = node.GetSegmentation()
    if not segmentation.ContainsRepresentation(CLOSED_SURFACE):
        return {}
    dropped = {
        segmentId: (
            segmentation.GetSegment(segmentId).GetRepresentation(CLOSED_SURFACE),
            stampOf(node, segmentId),
        )
        for segmentId in segmentation.GetSegmentIDs()
    }
    segmentation.RemoveRepresentation(CLOSED_SURFACE)
    return dropped


def showSurfaces(node: vtk.vtkObject, dropped: Surfaces) -> Iterator[None]:
    """Shows the surfaces again, one at a step; only those of segments that changed are computed."""
    unchanged = {one for one, (_, stamp) in dropped.items() if stampOf(node, one) == stamp}
    for segmentId in set(dropped) - unchanged:
        thicken(node.GetSegmentation().GetSegment(segmentId))
        yield
    for segmentId in unchanged:
        segment, surface = node.GetSegmentation().GetSegment(segmentId), dropped[segmentId][0]
        if segment is not None and surface is not None:
            segment.AddRepresentation(CLOSED_SURFACE, surface)
            yield
    if dropped:
        node.CreateClosedSurfaceRepresentation()
