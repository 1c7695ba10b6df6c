"""Slice views and 3D views without a screen, on the displayable managers that Slicer itself uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

import slicer

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLVolumeRenderingDisplayableManager",
)
SIZE = (420, 380)
"""Width and height of a view in pixels."""

FROM_THE_FRONT = (160.0, 430.0, 120.0)
"""Where the 3D view's camera stands, in mm RAS from what it looks at; only the direction counts."""


class View:
    """A render window, its interactor and its displayable managers.

    ``onChange`` is called whenever a displayable manager asks for a new picture.

    Threading: main thread only.
    """

    def __init__(self) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*SIZE)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.onChange: Callable[[], None] = lambda: None
        self.stale = True

    def _manage(self, factory: Any, names: Sequence[str]) -> None:
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)
        self.managers.Initialize(factory, self.renderer)
        self.managers.AddObserver(vtk.vtkCommand.UpdateEvent, self._changed)

    def _changed(self, *_event: Any) -> None:
        self.stale = True
        self.onChange()

    def render(self) -> None:
        """Draws the view."""
        self.stale = False
        self.window.Render()

    def image(self) -> np.ndarray:
        """Draws the view; returns it as uint8 ``[rows, columns, 3]``, the top row first."""
        self.render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.window)
        grabber.ReadFrontBufferOff()
        grabber.SetInputBufferTypeToRGB()
        grabber.Update()
        picture = grabber.GetOutput()
        columns, rows, _ = picture.GetDimensions()
        colors = vtk_to_numpy(picture.GetPointData().GetScalars())
        return colors.reshape(rows, columns, 3)[::-1].copy()

    def reset(self) -> None:
        """Back to how the view was when the application started."""

    def close(self) -> None:
        """Lets go of the scene and of the graphics driver."""
        self.managers.RemoveAllObservers()
        self.managers.SetMRMLDisplayableNode(None)
        self.interactor.SetInteractorStyle(None)
        self.window.Finalize()


class SliceView(View):
    """A slice of the volumes, with all that lies on it.

    Args:
        application: a HeadlessApplication.
        name: of the layout's view: Red, Yellow or Green.
        orientation: Axial, Sagittal or Coronal.
        color: of the view, RGB.
    """

    def __init__(
        self, application: Any, name: str, orientation: str, color: tuple[float, float, float]
    ) -> None:
        super().__init__()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._manage(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), SLICE_MANAGERS)
        self._showImage()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application.logic)
        self.logic.SetMRMLScene(application.scene)
        application.logic.GetSliceLogics().AddItem(self.logic)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetLayoutColor(*color)
        self.orientation = orientation
        self._listen()
        self.reset()

    def _showImage(self) -> None:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._image.SetVisibility(False)
        # First of all: what lies on it is blended with what is drawn already.
        self.renderer.AddViewProp(self._image)

    def _listen(self) -> None:
        # Without a style of VTK's own first, clicks show where a point would go but place none.
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.style = slicer.vtkMRMLSliceViewInteractorStyle()
        self.style.SetSliceLogic(self.logic)
        self.style.SetDisplayableManagers(self.managers)
        self.style.SetInteractor(self.interactor)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._changed)

    def reset(self) -> None:
        """Back to how the view was when the application started."""
        self.node.SetOrientation(self.orientation)
        self.node.SetXYZOrigin(0, 0, 0)
        self.node.SetDimensions(*SIZE, 1)
        self.logic.ResizeSliceNode(*SIZE)

    def render(self) -> None:
        """Draws the view."""
        shown = self.logic.GetImageDataConnection()
        self._image.SetVisibility(shown is not None)
        if shown is not None:
            self._image.GetMapper().SetInputConnection(shown)
        super().render()


class ThreeDView(View):
    """The 3D view.

    Args:
        application: a HeadlessApplication.
    """

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._manage(
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), THREE_D_MANAGERS
        )
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(application.logic)
        self.logic.SetMRMLScene(application.scene)
        application.logic.GetViewLogics().AddItem(self.logic)
        self.node = self.logic.AddViewNode("1")
        self.style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self.style.SetDisplayableManagers(self.managers)
        self.style.SetInteractor(self.interactor)
        self.managers.SetMRMLDisplayableNode(self.node)

    def reset(self) -> None:
        """Looks at everything, slightly from the side; the box around it counts for nothing."""
        boxed, labelled = self.node.GetBoxVisible(), self.node.GetAxisLabelsVisible()
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.render()
        camera = self.renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(*FROM_THE_FRONT)
        camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCamera()
        self.node.SetBoxVisible(boxed)
        self.node.SetAxisLabelsVisible(labelled)
        self.renderer.ResetCameraClippingRange()
