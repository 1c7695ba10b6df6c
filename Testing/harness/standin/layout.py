"""The views in the main window: doubles of qMRMLSliceWidget, qMRMLThreeDWidget and their manager."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6 import QtCore, QtWidgets

import slicer

from .canvas import Canvas
from .pythonqt import cxx
from .views import SliceView, ThreeDView, View

SLICE_VIEWS = {
    "Red": ("Axial", (0.95, 0.29, 0.20)),
    "Yellow": ("Sagittal", (0.93, 0.84, 0.30)),
    "Green": ("Coronal", (0.43, 0.69, 0.30)),
}
FOUR_UP = 3
"""vtkMRMLLayoutNode::SlicerLayoutFourUpView."""


class ViewFacade:
    """What qMRMLSliceView and qMRMLThreeDView have in common, on one canvas."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._view: Any = canvas.view

    def interactor(self) -> Any:
        """The vtkRenderWindowInteractor."""
        return self._view.interactor

    interactorObserver = property(lambda self: lambda: self._view.style)

    def renderWindow(self) -> Any:
        """The vtkRenderWindow."""
        return self._view.window

    def displayableManagerByClassName(self, name: str) -> Any:
        """The view's displayable manager of that class, or None."""
        return self._view.managers.GetDisplayableManagerByClassName(name)

    def scheduleRender(self) -> None:
        """Has the view drawn with the next turn of the event loop."""
        self._view._changed()

    def forceRender(self) -> None:
        """Draws the view."""
        self._canvas.refresh()

    def setViewCursor(self, _cursor: Any) -> None:
        """Shows a cursor; there is none."""

    def unsetViewCursor(self) -> None:
        """Shows the usual cursor; there is none."""


class SliceViewFacade(ViewFacade):
    """Double of qMRMLSliceView."""

    def mrmlSliceNode(self) -> Any:
        """The vtkMRMLSliceNode."""
        return self._view.node

    def convertDeviceToXYZ(self, xy: Any) -> list[float]:
        """Slice coordinates of a place in the window."""
        return [float(xy[0]), float(xy[1]), 0.0]

    def convertXYZToRAS(self, xyz: Any) -> list[float]:
        """World RAS of slice coordinates."""
        return list(self._view.node.GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])

    def convertRASToXYZ(self, point_ras: Any) -> list[float]:
        """Slice coordinates of a world point."""
        xyToRas = slicer.util.arrayFromVTKMatrix(self._view.node.GetXYToRAS())
        return list((np.linalg.inv(xyToRas) @ [*point_ras, 1.0])[:3])


class ThreeDViewFacade(ViewFacade):
    """Double of qMRMLThreeDView."""

    def mrmlViewNode(self) -> Any:
        """The vtkMRMLViewNode."""
        return self._view.node

    def resetFocalPoint(self) -> None:
        """Looks at the middle of everything."""
        self._view.reset()


class ViewWidget(QtWidgets.QWidget):
    """A view in the layout; its pictures are to be had with :meth:`image`."""

    def __init__(self, view: View, facade: type[ViewFacade]) -> None:
        super().__init__()
        self.canvas = Canvas(view)
        self._facade = facade(self.canvas)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)

    def image(self) -> np.ndarray:
        """Draws the view; returns it as uint8 ``[rows, columns, 3]``."""
        return self.canvas.refresh()


class qMRMLSliceWidget(ViewWidget):
    """Double of the widget of a slice view."""

    def __init__(self, view: SliceView) -> None:
        super().__init__(view, SliceViewFacade)
        self._logic, self._node = view.logic, view.node

    def sliceLogic(self) -> Any:
        """The vtkMRMLSliceLogic."""
        return self._logic

    def mrmlSliceNode(self) -> Any:
        """The vtkMRMLSliceNode."""
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        """The vtkMRMLSliceCompositeNode, which says what volumes are shown."""
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> SliceViewFacade:
        """The view itself."""
        return self._facade  # type: ignore[return-value]

    def fitSliceToBackground(self) -> None:
        """Shows the whole background volume."""
        self._logic.FitSliceToBackground()


class qMRMLThreeDWidget(ViewWidget):
    """Double of the widget of a 3D view."""

    def __init__(self, view: ThreeDView) -> None:
        super().__init__(view, ThreeDViewFacade)
        self._node = view.node

    def threeDView(self) -> ThreeDViewFacade:
        """The view itself."""
        return self._facade  # type: ignore[return-value]

    def mrmlViewNode(self) -> Any:
        """The vtkMRMLViewNode."""
        return self._node


@cxx
class qSlicerLayoutManager(QtCore.QObject):
    """Double of ``slicer.app.layoutManager()``: three slice views and a 3D view, always the same.

    Args:
        application: a HeadlessApplication.
    """

    layoutChanged = QtCore.Signal(int)

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._slices = {
            name: qMRMLSliceWidget(SliceView(application, name, *how))
            for name, how in SLICE_VIEWS.items()
        }
        self._threeD = qMRMLThreeDWidget(ThreeDView(application))
        for view in self.viewWidgets():
            view.canvas.view.node.SetMappedInLayout(True)
        self._logics = application.logic.GetSliceLogics()
        self._layout = FOUR_UP

    def _setLayout(self, layout: int) -> None:
        self._layout = layout
        self.layoutChanged.emit(layout)

    layout = QtCore.Property(int, lambda self: self._layout, _setLayout)
    threeDViewCount = QtCore.Property(int, lambda _self: 1)
    tableViewCount = QtCore.Property(int, lambda _self: 0)
    plotViewCount = QtCore.Property(int, lambda _self: 0)

    def setLayout(self, layout: int) -> None:
        """Notes the layout; the views stay as they are."""
        self._setLayout(layout)

    def sliceViewNames(self) -> tuple[str, ...]:
        """The names of the slice views."""
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        """The widget of the slice view of that name."""
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> qMRMLThreeDWidget | None:
        """The widget of a 3D view."""
        return self._threeD if index == 0 else None

    def mrmlSliceLogics(self) -> Any:
        """A vtkCollection of the slice views' logics."""
        return self._logics

    def resetSliceViews(self) -> None:
        """Shows whole volumes in all slice views."""
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        """Looks at the middle of everything."""
        self._threeD.threeDView().resetFocalPoint()

    def activeThreeDRenderer(self) -> Any:
        """The renderer of the 3D view."""
        return self._threeD.canvas.view.renderer

    def viewWidgets(self) -> list[ViewWidget]:
        """All views, in the order of the layout; for the harness."""
        return [*self._slices.values(), self._threeD]
