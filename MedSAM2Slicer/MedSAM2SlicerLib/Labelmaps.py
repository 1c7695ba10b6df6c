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
    if sharing:
        segmentation.SeparateSegmentLabelmap(segmentId)
    segment = segmentation.GetSegment(segmentId)
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
