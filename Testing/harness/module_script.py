"""The module's logic as a script has it: a real scene and its nodes, no panel, no event loop."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import standin
from fake_backend import FakeBackend

MODULE = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
PATIENCE_SECONDS = 60.0

if str(MODULE) not in sys.path:
    sys.path.append(str(MODULE))


BOX = (3, 2, 2, 12, 10, 12)
"""Of :func:`noise`: inclusive ``i0, j0, k0, i1, j1, k1``."""


class Script:
    """Works on one volume with the module's logic, and waits after everything it does.

    Args:
        scene: the MRML scene.
        volume: a volume node of it; the one that the scene says if none.
        backend: makes the backend; called in the worker.
    """

    def __init__(
        self, scene: Any, volume: Any = None, backend: Callable[[], Any] = FakeBackend
    ) -> None:
        from MedSAM2SlicerLib.Logic import SegmentationLogic

        self.scene = scene
        self.logic = SegmentationLogic(scene, backend)
        self.messages: list[str] = []
        self.failures: list[BaseException] = []
        self.logic.message.connect(self.messages.append)
        self.logic.failed.connect(self.failures.append)
        if volume is not None:
            self.logic.parameters.volume = volume

    @property
    def workspace(self) -> Any:
        """The module's workspace."""
        return self.logic.workspace()

    @property
    def segment_id(self) -> str:
        """The current segment."""
        return str(self.logic.currentSegment())

    def idle(self, until: Callable[[], object] | None = None) -> None:
        """Lets the logic work until nothing is under way, or until something holds."""
        until = until or (lambda: not self.logic.busy)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not until():
            assert time.monotonic() < deadline, "the logic does not get done"
            self.logic.tick()
            time.sleep(0.0005)

    def settle(self) -> None:
        """Takes up what was done in the scene, as the panel's timer does: it looks twice."""
        for _ in range(2):
            self.logic.settle()
            self.idle()

    def do(self, action: str, *args: Any, **options: Any) -> None:
        """Calls a method of the logic after what was done in the scene; waits for its end."""
        self.settle()
        getattr(self.logic, action)(*args, **options)
        self.idle()

    def run(self, **options: Any) -> None:
        """Presses Segment."""
        self.do("segment", **options)

    def add(self, name: str | None = None) -> str:
        """Adds a segment and makes it the current one."""
        return str(self.logic.addSegment(name))

    def box(self, box_ijk: Sequence[int], segment_id: str | None = None) -> Any:
        """Puts the segment's box around inclusive voxels ``i0, j0, k0, i1, j1, k1``."""
        from MedSAM2SlicerLib.Placement import placeBox

        workspace, segment_id = self.workspace, segment_id or self.segment_id
        roi = workspace.prompts.roi(segment_id) or workspace.prompts.add(segment_id, "roi")
        low, high = np.array(box_ijk[:3]) - 0.5, np.array(box_ijk[3:]) + 0.5
        placeBox(roi, workspace.volume, low, high)
        return roi

    def points(self, kind: str, *points_ijk: Sequence[float], segment_id: str | None = None) -> Any:
        """Adds control points of a prompt at continuous voxel indices."""
        import vtk

        workspace = self.workspace
        node = workspace.prompts.add(segment_id or self.segment_id, kind)
        for point_ras in workspace.volume.ijkToRas(np.array(points_ijk, dtype=float)):
            node.AddControlPointWorld(vtk.vtkVector3d(*point_ras))
        return node

    def paint(self, index: int, mask_rc: np.ndarray, segment_id: str | None = None) -> None:
        """Leaves a mask on a slice as an effect of the Segment Editor does."""
        from MedSAM2SlicerLib.SegmentationBridge import SegmentationBridge

        workspace = self.workspace
        bridge = SegmentationBridge(
            workspace.segmentation.node, workspace.volume, self.logic.parameters.editor
        )
        bridge.writeSlice(segment_id or self.segment_id, workspace.axis, index, mask_rc)

    def mask_kji(self, segment_id: str | None = None) -> np.ndarray:
        """A segment's voxels on the volume's grid, read without the module ``[K, J, I]``."""
        return segment_kji(
            self.logic.parameters.segmentation,
            segment_id or self.segment_id,
            self.logic.parameters.volume,
        )

    def slices(self, segment_id: str | None = None) -> np.ndarray:
        """The same with the workspace's axis first ``[slices, rows, columns]``."""
        return np.moveaxis(self.mask_kji(segment_id), self.workspace.axis.value, 0)

    def state(self) -> dict[str, Any]:
        """All that undo must give back: voxels, prompts, tags."""
        workspace = self.workspace
        ids = workspace.segmentation.segmentIds
        return {
            "voxels": {name: self.mask_kji(name).tobytes() for name in ids},
            "prompts": workspace.prompts.snapshot(),
            "facts": {name: _tags(workspace.segmentation.segment(name)) for name in ids},
        }

    def close(self) -> None:
        """Ends the worker."""
        self.logic.stop()


TAGS = ("MedSAM2.LockedSlices", "MedSAM2.Range", "MedSAM2.ModelSlices")


def _tags(segment: Any) -> dict[str, Any]:
    """The module's tags of a segment, as they are saved."""
    import vtk

    found = {}
    for name in TAGS:
        text = vtk.reference("")
        found[name] = json.loads(str(text)) if segment.GetTag(name, text) else None
    return found


def slowly(seconds: float = 0.01) -> FakeBackend:
    """A backend that takes a while for each slice."""
    return FakeBackend(on_slice=lambda _index: time.sleep(seconds))


def noise(
    scene: Any,
    shape_kji: Sequence[int] = (15, 13, 16),
    kind: str = "axial",
    transform: Any = None,
    seed: int = 0,
) -> Any:
    """Adds a volume in which no two slices are alike, along any axis; see :mod:`standin.volumes`."""
    voxels_kji = np.random.default_rng(seed).integers(0, 256, shape_kji).astype(np.int16)
    return standin.volumes.add_volume(scene, kind, voxels_kji, transform)


def segment_kji(segmentation: Any, segment_id: str, volume: Any) -> np.ndarray:
    """A segment's voxels on a volume's grid as Slicer itself exports them ``[K, J, I]``."""
    import slicer

    if segmentation.GetSegmentation().GetSegment(segment_id).GetRepresentation("Binary labelmap"):
        found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume)
        if found is not None:
            return np.asarray(found) != 0
    return np.zeros(volume.GetImageData().GetDimensions()[::-1], dtype=bool)


def shown_bounds(segmentation: Any, segment_id: str) -> np.ndarray:
    """Where a segment's voxels reach in world RAS, by MRML alone: ``x0, x1, y0, y1, z0, z1``."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    import slicer

    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    labelmap = segment.GetRepresentation("Binary labelmap")
    inner, outer = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(inner)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        segmentation.GetParentTransformNode(), None, outer
    )
    labels = vtk_to_numpy(labelmap.GetPointData().GetScalars())
    labels_kji = labels.reshape(labelmap.GetDimensions()[::-1])
    found_kji = np.argwhere(labels_kji == segment.GetLabelValue()) + labelmap.GetExtent()[4::-2]
    low, high = found_kji.min(axis=0)[::-1] - 0.5, found_kji.max(axis=0)[::-1] + 0.5
    corners_ijk = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    matrix = slicer.util.arrayFromVTKMatrix(outer) @ slicer.util.arrayFromVTKMatrix(inner)
    corners_ras = corners_ijk @ matrix[:3, :3].T + matrix[:3, 3]
    return np.stack([corners_ras.min(axis=0), corners_ras.max(axis=0)], axis=1).ravel()


def drawn_rc(script: Script, seed: int) -> np.ndarray:
    """A mask that no model makes."""
    found: np.ndarray = np.random.default_rng(seed).random(script.workspace.shape_rc) < 0.2
    return found
