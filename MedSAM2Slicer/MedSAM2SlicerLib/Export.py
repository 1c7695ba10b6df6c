"""Segments into files: label maps through Slicer's storage nodes, DICOM through Slicer's exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vtk

import slicer

from . import Paths

DICOM_PLUGINS = {
    "SEG": ("DICOMSegmentationPlugin", "DICOMSegmentationPluginClass", "QuantitativeReporting"),
    "RTSTRUCT": ("DicomRtImportExportPlugin", "DicomRtImportExportPluginClass", "SlicerRT"),
}
"""Module, class, and the extension that brings it where Slicer itself does not."""


def exportFile(segmentation: vtk.vtkObject, volume: vtk.vtkObject, path: Path) -> None:
    """Writes the segments on the volume's voxels; ``.seg.nrrd`` keeps names and overlaps.

    Args:
        segmentation: its visible and hidden segments alike, in their order.
        volume: whose extent and voxels the file gets.
        path: ``.seg.nrrd``, ``.nrrd``, ``.nii`` or ``.nii.gz``; replaced only by a whole file.

    Raises:
        UnwritableOutputError: it could not be written; a file that was there stays.
    """
    if path.name.endswith(".seg.nrrd"):
        _save(segmentation, path)
        return
    scene = segmentation.GetScene()
    labelmap = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "export")
    try:
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        ids = vtk.vtkStringArray()
        for segmentId in segmentation.GetSegmentation().GetSegmentIDs():
            ids.InsertNextValue(segmentId)
        if not logic.ExportSegmentsToLabelmapNode(segmentation, ids, labelmap, volume):
            raise _unwritable(path, "The segments could not be put on the volume's voxels")
        _save(labelmap, path)
    finally:
        for node in (labelmap.GetDisplayNode(), labelmap.GetStorageNode(), labelmap):
            if node is not None:
                scene.RemoveNode(node)


def _save(node: vtk.vtkObject, path: Path) -> None:
    """Writes beside the place first, so that a full disk leaves no half file there."""
    suffix = (
        "".join(path.suffixes[-2:]) if path.name.endswith((".gz", ".seg.nrrd")) else path.suffix
    )
    partial = path.with_name(f".{path.name.removesuffix(suffix)}.part{suffix}")
    storage = node.GetStorageNode()
    before = storage.GetFileName() if storage is not None else None
    try:
        if not slicer.util.saveNode(node, str(partial)):
            raise _unwritable(path, "It could not be written")
        partial.replace(path)
    except OSError as error:
        raise _unwritable(path, str(error)) from error
    finally:
        partial.unlink(missing_ok=True)
        if node.GetStorageNode() is not None:
            node.GetStorageNode().SetFileName(before or str(path))


def exportDicom(segmentation: vtk.vtkObject, folder: Path, kind: str = "SEG") -> None:
    """Writes a DICOM SEG or RT structure set through Slicer's own exporter.

    The volume must have come from DICOM: the result goes into its study.

    Args:
        segmentation: beside its volume in the subject hierarchy.
        folder: where the files go.
        kind: ``SEG`` or ``RTSTRUCT``.

    Raises:
        OutputError: there is no exporter, or it refused; the text says why and what to do.
    """
    from medsam2.core.errors import OutputError

    plugin = _plugin(kind)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(segmentation.GetScene())
    exportables = plugin.examineForExport(hierarchy.GetItemByDataNode(segmentation))
    if not exportables:
        msg = (
            f"{segmentation.GetName()} can't be exported to DICOM: load its volume from DICOM and put "
            "both under one study (in the Data module)."
        )
        raise OutputError(msg)
    for exportable in exportables:
        exportable.directory = str(folder)
    complaint = plugin.export(exportables)
    if complaint:
        raise OutputError(f"The DICOM export failed: {complaint}")


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
