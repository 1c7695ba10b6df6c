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
OVERLAP = (
    ". Segments overlap in {} voxels, where the file holds one of them only; .seg.nrrd holds both."
)


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
        """Writes all segments into one file, or into one for each frame."""
        workspace = self._logic.workspace()
        segmentation, volume = workspace.segmentation, workspace.volume
        proposed = f"{segmentation.node.GetName()}.nii.gz"
        chosen = qt.QFileDialog.getSaveFileName(self._root, "Export segments", proposed, FILTERS)
        path = _withSuffix(Path(chosen)) if chosen else None
        if path is None:
            return
        if volume.isSpatial:
            lost = Export.exportFile(segmentation.node, volume.node, path)
            self._logic.message.emit(f"Written: {path}{OVERLAP.format(lost) if lost else ''}")
        else:
            files = Export.exportFrames(segmentation.frames(), path, self._logic.scene)
            self._logic.message.emit(
                f"Written: {len(files)} frames, {files[0]} to {files[-1].name}"
            )

    def toDicom(self) -> None:
        """Writes a DICOM SEG, or an RT structure set where that is chosen, into a folder."""
        workspace = self._logic.workspace()
        folder = qt.QFileDialog.getExistingDirectory(self._root, "Folder for the DICOM files")
        kind = _dicomKind() if folder else ""
        if kind:
            nodes = workspace.segmentation.node, workspace.volume.node
            Export.exportDicom(*nodes, Path(folder), kind)
            self._logic.message.emit(f"Written: DICOM files in {folder}")

    def markCompleted(self) -> None:
        """Sets the current segment's status to completed."""
        workspace = self._logic.workspace()
        if not workspace.segmentation.segmentIds:
            return
        segmentId = self._logic.currentSegment()
        self._logic.setStatus(segmentId, completed=True)
        self._logic.message.emit(f"{workspace.nameOf(segmentId)} is marked as completed.")


def _withSuffix(path: Path) -> Path | None:
    """Adds the suffix that Qt's dialog leaves out; None where the user keeps what is there."""
    if path.name.endswith(Export.SUFFIXES):
        return path
    whole = path.with_name(path.name + Export.SUFFIXES[0])
    replaces = whole.exists()
    if replaces and not slicer.util.confirmOkCancelDisplay(f"Replace {whole}?", "Export segments"):
        return None
    return whole


def _dicomKind() -> str:
    """What the user wants written; empty for nothing."""
    buttons = qt.QMessageBox
    answer = slicer.util.messageBox(
        "Write a DICOM SEG? (No writes an RT structure set.)",
        windowTitle="DICOM",
        standardButtons=buttons.Yes | buttons.No | buttons.Cancel,
    )
    return {buttons.Yes: "SEG", buttons.No: "RTSTRUCT"}.get(answer, "")
