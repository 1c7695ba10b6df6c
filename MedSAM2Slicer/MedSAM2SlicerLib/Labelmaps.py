"""A segment's labelmap of its own, with room for slices to come.

Slicer crops and copies the whole labelmap at every change of it, which for a structure of a few
hundred slices takes ten times as long as the slice. While slices are streamed they are therefore
written in place, into a labelmap that no other segment shares, so that no other can be touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

import slicer

BINARY_LABELMAP = "Binary labelmap"
GROWTH = 0.5
"""How much larger an axis gets each time, as a share of what it is then."""
LEAST_GROWTH = 12

Extent = Sequence[int]
"""Inclusive ``i0, i1, j0, j1, k0, k1`` in the volume's voxels."""


def ownLabelmap(
    segmentation: vtk.vtkObject,
    segmentId: str,
    wanted: Extent,
    largest: Extent,
    ijkToRas: vtk.vtkObject,
) -> vtk.vtkObject:
    """Returns the segment's labelmap, made its own and large enough; its voxels stay as they are.

    Args:
        segmentation: the vtkSegmentation.
        segmentId: of the segment.
        wanted: what must fit.
        largest: the volume's extent, which it does not outgrow.
        ijkToRas: the volume's voxels to the segmentation's RAS.
    """
    sharing: list[str] = []
    segmentation.GetSegmentIDsSharingBinaryLabelmapRepresentation(segmentId, sharing, False)
    segment = segmentation.GetSegment(segmentId)
    if sharing:
        _separate(segment, ijkToRas, grown(wanted, wanted, largest))
    labelmap = segment.GetRepresentation(BINARY_LABELMAP)
    if labelmap is None or labelmap.IsEmpty():
        labelmap = _zeros(grown(wanted, wanted, largest), ijkToRas)
        segment.AddRepresentation(BINARY_LABELMAP, labelmap)
        segment.SetLabelValue(1)
    elif not _holds(labelmap.GetExtent(), wanted):
        extent = grown(labelmap.GetExtent(), wanted, largest)
        larger = _zeros(extent, ijkToRas, labelmap.GetScalarType())
        labels_kji(larger)[_within(labelmap.GetExtent(), extent)] = labels_kji(labelmap)
        labelmap.ShallowCopy(larger)
    return labelmap


def _separate(segment: vtk.vtkObject, ijkToRas: vtk.vtkObject, empty: Extent) -> None:
    """Moves a segment's voxels out of the labelmap that it shares, into one as large as they are.

    Slicer's own way copies the whole of what is shared: half a second and 80 MB for each lesion beside
    organs of the whole body.

    Args:
        segment: whose voxels.
        ijkToRas: the volume's voxels to the segmentation's RAS.
        empty: the new labelmap's extent where the segment has no voxels.
    """
    shared, value = segment.GetRepresentation(BINARY_LABELMAP), segment.GetLabelValue()
    labels, extent = labels_kji(shared), shared.GetExtent()
    slices = [n for n, labels_ji in enumerate(labels) if (labels_ji == value).any()]
    own = _zeros(empty, ijkToRas)
    if slices:
        found = labels[slices[0] : slices[-1] + 1]
        mine = found == value
        rows, columns = (np.flatnonzero(mine.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        i, j, k = extent[0] + columns, extent[2] + rows, extent[4] + np.array(slices)
        own = _zeros([int(end) for at in (i, j, k) for end in (at[0], at[-1])], ijkToRas)
        labels_kji(own)[:] = mine[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found[mine] = 0
        shared.GetPointData().GetScalars().Modified()
        shared.Modified()
    segment.AddRepresentation(BINARY_LABELMAP, own)
    segment.SetLabelValue(1)


def _zeros(
    extent: Extent, ijkToRas: vtk.vtkObject, scalarType: int = vtk.VTK_UNSIGNED_CHAR
) -> vtk.vtkObject:
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*extent)
    image.AllocateScalars(scalarType, 1)
    image.SetImageToWorldMatrix(ijkToRas)
    labels_kji(image)[:] = 0
    return image


def _within(inner: Extent, outer: Extent) -> tuple[slice, ...]:
    """Where an extent lies in the array of a larger one, for ``[k, j, i]``."""
    return tuple(slice(inner[n] - outer[n], inner[n + 1] - outer[n] + 1) for n in (4, 2, 0))


def labels_kji(labelmap: vtk.vtkObject) -> np.ndarray:
    """A view of a labelmap's labels ``[k, j, i]``, from the start of its extent."""
    i0, i1, j0, j1, k0, k1 = labelmap.GetExtent()
    labels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    return labels.reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)


def thicken(segment: vtk.vtkObject | None) -> None:
    """Gives a thin labelmap without voxels some room: Slicer fails to make a surface of it."""
    labelmap = segment and segment.GetRepresentation(BINARY_LABELMAP)
    if not labelmap or labelmap.IsEmpty():
        return
    ends = list(labelmap.GetExtent())
    if min(ends[n + 1] - ends[n] for n in (0, 2, 4)) > 0 or labels_kji(labelmap).any():
        return
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    extent = [end + (place % 2) for place, end in enumerate(ends)]
    labelmap.ShallowCopy(_zeros(extent, matrix, labelmap.GetScalarType()))


def _holds(outer: Extent, inner: Extent) -> bool:
    lows = all(outer[n] <= inner[n] for n in (0, 2, 4))
    return lows and all(outer[n] >= inner[n] for n in (1, 3, 5))


def grown(present: Extent, wanted: Extent, largest: Extent) -> list[int]:
    """The extent to make room for: larger on the sides that are outgrown, within ``largest``."""
    found: list[int] = []
    for low, high in ((0, 1), (2, 3), (4, 5)):
        more = max(LEAST_GROWTH, round(GROWTH * (present[high] - present[low] + 1)))
        first, last = present[low], present[high]
        if wanted[low] < first or present is wanted:
            first = min(wanted[low], max(wanted[low] - more, largest[low]))
        if wanted[high] > last or present is wanted:
            last = max(wanted[high], min(wanted[high] + more, largest[high]))
        found += [first, last]
    return found
