"""The result on the slice in view while prompts change, before anything is propagated.

It is drawn as an outline in a segmentation of its own, which is neither saved nor offered anywhere,
so that the segment is only ever changed by Segment and Update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import vtk

import slicer

from .Compute import putObjects
from .Messages import explained
from .SegmentationBridge import imageOf

if TYPE_CHECKING:
    from medsam2.core.backend import SliceResult

    from .Jobs import Job
    from .Logic import SegmentationLogic
    from .Workspace import Workspace

OUTLINE = (1.0, 0.85, 0.2)


class LivePreview:
    """Predicts one slice whenever what it depends on has changed.

    Args:
        logic: whose workspace, worker and sessions it uses.

    Threading: main thread only.
    """

    def __init__(self, logic: SegmentationLogic) -> None:
        self._logic = logic
        self._node: vtk.vtkObject | None = None
        self._key: Any = None
        self._job: Job | None = None
        self._run: Any = None
        self._used: dict[str, list[str]] = {}
        """The prompts that a segment's last run began with."""
        logic.changed.connect(self._noteRun)

    def _noteRun(self) -> None:
        run = self._logic.run
        if run is not None and run is not self._run:
            self._run = run
            self._used |= {one: _held(run.workspace, one) for one in run.segmentIds}

    def update(self, index: int | None) -> None:
        """Predicts the current segment on a slice, if it has prompts that reach it.

        Returns at once; calling it again with nothing changed costs next to nothing.
        """
        logic = self._logic
        if logic.run is not None or index is None:
            self.clear()
            return
        workspace = logic.workspace()
        if not workspace.segmentation.segmentIds:
            self.clear()
            return
        segmentId = logic.currentSegment()
        held = _held(workspace, segmentId)
        place = (workspace.volume.fingerprint(), workspace.axis, segmentId, index)
        wanted = held and not self._isSettled(workspace, segmentId, index, held)
        key = (*place, held, wanted)
        if key == self._key:
            return
        self.clear()
        self._key = key
        if wanted and self._reaches(workspace, segmentId, index):
            self._predict(workspace, segmentId, index, key)

    def _isSettled(self, workspace: Workspace, segmentId: str, index: int, held: list[str]) -> bool:
        """Whether the slice is the user's own, or shows already what these prompts give."""
        if index in workspace.locked(segmentId):
            return True
        return held == self._used.get(segmentId) and index in workspace.memory.occupied(segmentId)

    def _reaches(self, workspace: Workspace, segmentId: str, index: int) -> bool:
        """Whether a prompt lies on the slice or the box covers it."""
        from medsam2.core.errors import PromptError

        try:
            prompts = workspace.objectPrompts(segmentId)
        except PromptError:
            return False
        roi = prompts.roi
        covered = roi is not None and roi.first <= index <= roi.last
        return covered or index in prompts.prompted_indices()

    def _predict(self, workspace: Workspace, segmentId: str, index: int, key: Any) -> None:
        logic = self._logic
        objectId, prompts = workspace.objectId(segmentId), workspace.objectPrompts(segmentId)
        opening = logic.opening(workspace)

        def work(_: Job) -> SliceResult:
            session = logic.compute.session(*opening)
            putObjects(session, {**session.objects(), objectId: prompts})
            return session.predict(objectId, index)

        self._job = logic.jobs.submit(
            work,
            onDone=lambda result: self._show(workspace, index, result, key),
            onError=lambda error: self._failed(error, key),
        )

    def _failed(self, error: BaseException, key: Any) -> None:
        from medsam2.core.errors import MedSAM2Error, NoPromptError

        unexpected = not isinstance(error, NoPromptError) and isinstance(error, MedSAM2Error)
        if key == self._key and unexpected:
            self._logic.failed.emit(explained(error))

    def _show(self, workspace: Workspace, index: int, result: SliceResult, key: Any) -> None:
        if key != self._key or workspace.volume.node.GetScene() is None:
            return
        node = self._shown(workspace)
        mask_rc = result.mask_rc.unpack()
        segmentation = node.GetSegmentation()
        segmentation.RemoveAllSegments()
        if mask_rc.any():
            segmentId = segmentation.AddEmptySegment("preview", "Preview", OUTLINE)
            image = imageOf(*workspace.volume.inSpace(workspace.axis, index), mask_rc)
            slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
                image, node, segmentId
            )

    def _shown(self, workspace: Workspace) -> vtk.vtkObject:
        if self._node is None or self._node.GetScene() is None:
            node = slicer.vtkMRMLSegmentationNode()
            node.SetName("MedSAM2 preview")
            node.SetHideFromEditors(True)
            node.SaveWithSceneOff()
            workspace.volume.node.GetScene().AddNode(node)
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetVisibility2DFill(False)
            node.GetDisplayNode().SetSliceIntersectionThickness(2)
            node.GetDisplayNode().SaveWithSceneOff()
            self._node = node
        self._node.SetAndObserveTransformNodeID(workspace.volume.node.GetTransformNodeID())
        self._node.SetReferenceImageGeometryParameterFromVolumeNode(workspace.volume.node)
        return self._node

    @property
    def mask_rc(self) -> np.ndarray | None:
        """What is shown, or None; for tests and scripts."""
        if self._node is None or self._node.GetSegmentation().GetNumberOfSegments() == 0:
            return None
        from .SegmentationBridge import SegmentationBridge

        workspace = self._logic.workspace()
        volume, axis, index = workspace.volume.inSpace(workspace.axis, self._key[3])
        bridge = SegmentationBridge(self._node, volume, self._logic.parameters.editor)
        return bridge.readSlice("preview", axis, index)

    def clear(self) -> None:
        """Takes the outline away and gives up what is being predicted."""
        self._key = None
        if self._job is not None:
            self._job.cancel()
            self._job = None
        shown = self._node is not None and self._node.GetScene() is not None
        if shown and self._node.GetSegmentation().GetNumberOfSegments():
            self._node.GetSegmentation().RemoveAllSegments()


def _held(workspace: Workspace, segmentId: str) -> list[str]:
    """A segment's prompts, to be compared."""
    return [repr(one) for one in workspace.prompts.contents(segmentId)]
