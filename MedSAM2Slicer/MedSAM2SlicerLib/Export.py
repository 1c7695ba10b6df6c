"""Segments into files: label maps through Slicer's storage nodes, DICOM through Slicer's exporters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import vtk

import slicer

from . import Paths
from .Labelmaps import BINARY_LABELMAP, labels_kji
from .SceneNodes import nodesOf
from .VolumeBridge import modality

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")

DICOM_PLUGINS = {
    "SEG": ("DICOMSegmentationPlugin", "DICOMSegmentationPluginClass", "QuantitativeReporting"),
    "RTSTRUCT": ("DicomRtImportExportPlugin", "DicomRtImportExportPluginClass", "SlicerRT"),
}
"""Module, class, and the extension that brings it where Slicer itself does not."""
_DICOM_PREFIX = "DICOM."
"""Of the attributes in the subject hierarchy that are DICOM tags."""


def exportFrames(
    frames: Iterable[tuple[vtk.vtkObject, vtk.vtkObject]], path: Path, scene: vtk.vtkObject
) -> list[Path]:
    """Writes each frame of a sequence into a file of its own, numbered before the suffix.

    Args:
        frames: segmentation and volume of each frame; none need be in the scene.
        path: ``heart.nii.gz`` makes ``heart_0000.nii.gz`` and so on.
        scene: where a copy of each lies while it is written.

    Returns:
        The files, in the order of the frames.

    Raises:
        UnwritableOutputError: one of the files is there already, or could not be written; those
            before it are whole.
    """
    suffix = _suffixOf(path)
    stem = path.name.removesuffix(suffix)
    pairs = list(frames)
    files = [path.with_name(f"{stem}_{number:04}{suffix}") for number in range(len(pairs))]
    for file in files:
        if file.exists():
            raise _unwritable(file, "There is such a file already")
    for file, (segmentation, volume) in zip(files, pairs, strict=True):
        with _leavingNothing(scene):
            copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", segmentation.GetName())
            copy.CopyContent(segmentation, True)
            exportFile(copy, volume, file)
    return files


def exportFile(segmentation: vtk.vtkObject, volume: vtk.vtkObject, path: Path) -> int:
    """Writes the segments on the volume's voxels; ``.seg.nrrd`` keeps names and overlaps.

    Args:
        segmentation: its visible and hidden segments alike, in their order.
        volume: whose extent and voxels the file gets.
        path: ``.seg.nrrd``, ``.nrrd``, ``.nii`` or ``.nii.gz``; replaced only by a whole file.

    Returns:
        How many labels were lost where segments overlap: a voxel of the file has one.

    Raises:
        UnwritableOutputError: it could not be written; a file that was there stays.
    """
    if path.name.endswith(".seg.nrrd"):
        _save(segmentation, path)
        return 0
    scene = segmentation.GetScene()
    with _leavingNothing(scene):
        labelmap = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "export")
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        ids = vtk.vtkStringArray()
        for segmentId in segmentation.GetSegmentation().GetSegmentIDs():
            ids.InsertNextValue(segmentId)
        if not logic.ExportSegmentsToLabelmapNode(segmentation, ids, labelmap, volume):
            raise _unwritable(path, "The segments could not be put on the volume's voxels")
        _save(labelmap, path)
        written = np.count_nonzero(slicer.util.arrayFromVolume(labelmap))
        return max(0, _voxelCount(segmentation.GetSegmentation()) - int(written))


def _voxelCount(segmentation: vtk.vtkObject) -> int:
    """Voxels of all segments, one in two of them counted twice."""
    count = 0
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        labelmap = segment.GetRepresentation(BINARY_LABELMAP)
        if labelmap is not None and not labelmap.IsEmpty():
            count += int(np.count_nonzero(labels_kji(labelmap) == segment.GetLabelValue()))
    return count


@contextlib.contextmanager
def _leavingNothing(scene: vtk.vtkObject) -> Iterator[None]:
    """Takes away what comes into the scene meanwhile: Slicer adds displays and a table of colours."""
    before = {node.GetID() for node in nodesOf(scene)}
    try:
        yield
    finally:
        for node in nodesOf(scene):
            if node.GetID() not in before:
                scene.RemoveNode(node)


def _suffixOf(path: Path) -> str:
    """The part of the name that says the format."""
    return next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), path.suffix)


def _save(node: vtk.vtkObject, path: Path) -> None:
    """Writes beside the place first, so that a full disk leaves no half file there.

    The storage node is one of its own: through the node's, Slicer would take what is in the scene for
    saved, and not save it with the scene.
    """
    suffix = _suffixOf(path)
    partial = path.with_name(f".{path.name.removesuffix(suffix)}.part{suffix}")
    scene = node.GetScene()
    storage = scene.AddNode(node.CreateDefaultStorageNode())
    storage.SetFileName(str(partial))
    try:
        if not storage.WriteData(node):
            raise _unwritable(path, "It could not be written")
        partial.replace(path)
    except OSError as error:
        raise _unwritable(path, str(error)) from error
    finally:
        partial.unlink(missing_ok=True)
        scene.RemoveNode(storage)


def exportDicom(
    segmentation: vtk.vtkObject, volume: vtk.vtkObject, folder: Path, kind: str = "SEG"
) -> None:
    """Writes a DICOM SEG or RT structure set through Slicer's own exporter.

    The volume must have come from DICOM: the result goes into its study. SlicerRT writes a structure
    set only together with the slices of its volume, as a series of their own.

    Args:
        segmentation: what is written.
        volume: that it was made on.
        folder: where the files go.
        kind: ``SEG`` or ``RTSTRUCT``.

    Raises:
        OutputError: there is no exporter, or it refused; the text says why and what to do.
    """
    from medsam2.core.errors import OutputError

    plugin = _plugin(kind)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(segmentation.GetScene())
    volumeItem = hierarchy.GetItemByDataNode(volume)
    withVolume = kind == "RTSTRUCT"
    exportables = plugin.examineForExport(hierarchy.GetItemByDataNode(segmentation))
    if not exportables or (withVolume and not _above(hierarchy, volumeItem, "Study")):
        msg = (
            f"{segmentation.GetName()} can't be exported to DICOM: load its volume from DICOM and put "
            "both under one study (in the Data module)."
        )
        raise OutputError(msg)
    if withVolume:  # first, for the study is that of the first
        exportables = [*_ofVolume(plugin, volume, volumeItem), *exportables]
    _tellOrigin(exportables, hierarchy, volumeItem)
    for exportable in exportables:
        exportable.directory = str(folder)
    complaint = plugin.export(exportables)
    if complaint:
        raise OutputError(f"The DICOM export failed: {complaint}")


def _above(hierarchy: vtk.vtkObject, item: int, level: str) -> int:
    """The item of that level above an item of the subject hierarchy; 0 without one."""
    return int(hierarchy.GetItemAncestorAtLevel(item, level)) if item else 0


def _ofVolume(plugin: Any, volume: vtk.vtkObject, item: int) -> list[Any]:
    """The volume's exportables, as what they are: SlicerRT takes every volume for a CT."""
    exportables = list(plugin.examineForExport(item))
    for exportable in exportables if modality(volume) else ():
        exportable.setTag("Modality", modality(volume))
    return exportables


def _tellOrigin(exportables: list[Any], hierarchy: vtk.vtkObject, item: int) -> None:
    """Gives exportables the tags of the patient and the study, as Slicer's export dialog does.

    Without them a file would belong to a patient without name and number.
    """
    for level in ("Patient", "Study"):
        above = _above(hierarchy, item, level)
        names = hierarchy.GetItemAttributeNames(above) if above else ()
        for name in (one for one in names if one.startswith(_DICOM_PREFIX)):
            for exportable in exportables:
                value = hierarchy.GetItemAttribute(above, name)
                exportable.setTag(name.removeprefix(_DICOM_PREFIX), value)


def _plugin(kind: str) -> Any:
    import importlib

    from medsam2.core.errors import OutputError

    Paths.useBundledServer()
    module, name, extension = DICOM_PLUGINS[kind]
    try:
        return getattr(importlib.import_module(module), name)()
    except ImportError:
        msg = f"DICOM {kind} needs the extension {extension}; install it in the Extensions Manager."
        raise OutputError(msg) from None


def _unwritable(path: Path, why: str) -> Exception:
    from medsam2.core.errors import UnwritableOutputError

    return UnwritableOutputError(f"{path} was not written: {why}. Choose another place.")
