"""Paint and Erase of the Segment Editor, on slice views.

The stroke is gathered while the mouse is down and applied when it is released, as Slicer's brush
does: a disc as thick as the slice, through vtkSlicerSegmentEditorLogic, so that overwrite mode and
editable area hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

import slicer

DEFAULTS = {"BrushAbsoluteDiameter": "5", "BrushDiameterIsRelative": "0", "BrushSphere": "0"}
NAMES = ("Paint", "Erase")


class Effect:
    """Double of qSlicerSegmentEditorAbstractEffect.

    Args:
        name: ``Paint`` or ``Erase``.
        editor: the qMRMLSegmentEditorWidget.
    """

    def __init__(self, name: str, editor: Any) -> None:
        self.name = name
        self._editor = editor
        self._stroke_ras: list[np.ndarray] = []

    def parameter(self, name: str) -> str:
        """A parameter as text; all are shared by both effects."""
        held = self._node().GetAttribute(name)
        return DEFAULTS.get(name, "") if held is None else str(held)

    def integerParameter(self, name: str) -> int:
        """A parameter as a whole number."""
        return int(self.parameter(name) or 0)

    def doubleParameter(self, name: str) -> float:
        """A parameter as a number."""
        return float(self.parameter(name) or 0)

    def setParameter(self, name: str, value: object) -> None:
        """Sets a parameter; its name may be preceded by the effect's."""
        self._node().SetAttribute(name.removeprefix(f"{self.name}."), str(value))

    setCommonParameter = setParameter
    commonParameter = parameter

    def parameterSetNode(self) -> Any:
        """The vtkMRMLSegmentEditorNode."""
        return self._node()

    def _node(self) -> Any:
        return self._editor.mrmlSegmentEditorNode()

    def processEvent(self, event: str, view: Any) -> bool:
        """Takes part in what the mouse does in a slice view.

        Args:
            event: VTK's name of it.
            view: the SliceView.

        Returns:
            Whether nobody else shall see it.
        """
        interactor = view.interactor
        held = interactor.GetShiftKey() or interactor.GetControlKey() or interactor.GetAltKey()
        if event == "LeftButtonPressEvent" and not held:
            self._stroke_ras = [_under_mouse_ras(view)]
            return True
        if not self._stroke_ras:
            return False
        if event == "MouseMoveEvent":
            self._reach(_under_mouse_ras(view))
            return True
        if event == "LeftButtonReleaseEvent":
            self._reach(_under_mouse_ras(view))
            self._apply(view)
            self._stroke_ras = []
            return True
        return False

    def _reach(self, point_ras: np.ndarray) -> None:
        """Goes on to a point without leaving gaps."""
        start = self._stroke_ras[-1]
        step = max(self.doubleParameter("BrushAbsoluteDiameter") / 4, 0.1)
        count = int(np.ceil(np.linalg.norm(point_ras - start) / step))
        self._stroke_ras += [start + (point_ras - start) * n / count for n in range(1, count + 1)]

    def _apply(self, view: Any) -> None:
        logic, node = self._editor.logic(), self._editor.segmentationNode()
        segment = self._editor.currentSegmentID()
        if node is None or not segment or not logic.ResetModifierLabelmapToDefault():
            return
        self._editor.saveStateForUndo()
        modifier = logic.GetModifierLabelmap()
        extent = self._fill(modifier, node, view)
        mode = logic.ModificationModeAdd if self.name == "Paint" else logic.ModificationModeRemove
        if extent is not None:
            logic.ModifySegmentByLabelmap(node, segment, modifier, mode, extent, False, False)

    def _fill(self, modifier: Any, node: Any, view: Any) -> list[int] | None:
        """Marks the brushed voxels; returns the extent they lie in, None outside the image."""
        affine_ijk_to_ras = _image_to_world(modifier, node)
        first_ijk = np.array(modifier.GetExtent()[::2])
        voxels_kji = vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(
            modifier.GetDimensions()[::-1]
        )
        touched = None
        for point_ras in self._stroke_ras:
            found_ijk = self._brushed_ijk(point_ras, affine_ijk_to_ras, view) - first_ijk
            inside = ((found_ijk >= 0) & (found_ijk < voxels_kji.shape[::-1])).all(axis=1)
            found_ijk = found_ijk[inside]
            voxels_kji[tuple(found_ijk.T[::-1])] = 1
            if len(found_ijk):
                ends = np.stack([found_ijk.min(0), found_ijk.max(0)])
                touched = ends if touched is None else np.vstack([touched, ends])
        modifier.Modified()
        if touched is None:
            return None
        low, high = touched.min(0) + first_ijk, touched.max(0) + first_ijk
        return [int(value) for pair in zip(low, high, strict=True) for value in pair]

    def _brushed_ijk(
        self, point_ras: np.ndarray, affine_ijk_to_ras: np.ndarray, view: Any
    ) -> np.ndarray:
        """The voxels whose centres lie under the brush ``[n, 3]``."""
        radius = self.doubleParameter("BrushAbsoluteDiameter") / 2
        half_slice = max(view.logic.GetLowestVolumeSliceSpacing()[2], 1e-3) / 2
        inverse = np.linalg.inv(affine_ijk_to_ras)
        centre_ijk = (inverse @ [*point_ras, 1.0])[:3]
        reach = np.ceil(np.abs(inverse[:3, :3]).sum(1) * max(radius, half_slice)).astype(int) + 1
        around = np.stack(
            np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
        ).reshape(-1, 3) + np.round(centre_ijk).astype(int)
        offset_ras = (around - centre_ijk) @ affine_ijk_to_ras[:3, :3].T
        normal = slicer.util.arrayFromVTKMatrix(view.node.GetSliceToRAS())[:3, 2]
        depth = offset_ras @ normal
        across = np.linalg.norm(offset_ras - depth[:, None] * normal, axis=1)
        if self.integerParameter("BrushSphere"):
            return around[np.linalg.norm(offset_ras, axis=1) <= radius]
        return around[(across <= radius) & (depth > -half_slice) & (depth <= half_slice)]


def _under_mouse_ras(view: Any) -> np.ndarray:
    x, y = view.interactor.GetEventPosition()
    return np.array(view.node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3])


def _image_to_world(image: Any, node: Any) -> np.ndarray:
    """Voxel indices to world RAS, the segmentation's own transforms included ``[4, 4]``."""
    inner, outer = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(inner)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        node.GetParentTransformNode(), None, outer
    )
    return slicer.util.arrayFromVTKMatrix(outer) @ slicer.util.arrayFromVTKMatrix(inner)
