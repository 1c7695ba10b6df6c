"""The panel's buttons for files, DICOM and the status of segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

import slicer

from . import Export
from .Logic import SegmentationLogic

FILTERS = "NIfTI (*.nii.gz);;Segmentation (*.seg.nrrd);;NRRD (*.nrrd)"


class ExportSection:
    """Asks where to, and writes.

    Args:
        root: the panel.
        ui: its widgets by name.
        logic: whose segmentation is written.
        attempt: runs an action and shows what is wrong in the status line.

    Threading: main thread only; writing blocks as Slicer's own saving does.
    """

    def __init__(
        self, root: Any, ui: Any, logic: SegmentationLogic, attempt: Callable[..., Any]
    ) -> None:
        self._root, self._logic, self._attempt = root, logic, attempt
        ui.exportFileButton.connect("clicked(bool)", lambda _: self._attempt(self.toFile))
        ui.exportDicomButton.connect("clicked(bool)", lambda _: self._attempt(self.toDicom))
        ui.completedButton.connect("clicked(bool)", lambda _: self._attempt(self.markCompleted))

    def toFile(self) -> None:
        """Writes all segments into one file."""
        workspace = self._logic.workspace()
        segmentation = workspace.segmentation.node
        proposed = f"{segmentation.GetName()}.nii.gz"
        path = qt.QFileDialog.getSaveFileName(self._root, "Export segments", proposed, FILTERS)
        if path:
            Export.exportFile(segmentation, workspace.volume.node, Path(path))
            self._logic.message.emit(f"Written: {path}")

    def toDicom(self) -> None:
        """Writes a DICOM SEG, or an RT structure set where that is chosen, into a folder."""
        segmentation = self._logic.workspace().segmentation.node
        folder = qt.QFileDialog.getExistingDirectory(self._root, "Folder for the DICOM files")
        if folder:
            seg = slicer.util.confirmYesNoDisplay(
                "Write a DICOM SEG? (No writes an RT structure set.)", "DICOM"
            )
            Export.exportDicom(segmentation, Path(folder), "SEG" if seg else "RTSTRUCT")
            self._logic.message.emit(f"Written: DICOM files in {folder}")

    def markCompleted(self) -> None:
        """Sets the current segment's status to completed."""
        self._logic.setStatus(self._logic.currentSegment(), completed=True)
