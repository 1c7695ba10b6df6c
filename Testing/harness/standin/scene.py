"""The application without its windows: a real scene, the real logics, real reading of files."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer.util
import vtk

import slicer

from .files import FileManager

LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Tables": "vtkSlicerTablesLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}
"""The modules that Slicer always loads, by name, as far as their logics are in slicer-core."""

VERSION = (5, 11)


class HeadlessApplication:
    """What of ``slicer.app`` needs no Qt.

    ``slicer.util`` reads files, adds nodes and converts arrays with it.

    Threading: main thread only.
    """

    applicationName = "Slicer"
    majorVersion, minorVersion = VERSION

    def __init__(self) -> None:
        self.temporaryPath = tempfile.mkdtemp(prefix="standin-")
        atexit.register(shutil.rmtree, self.temporaryPath, ignore_errors=True)
        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self._prepareApplicationLogic()
        self.moduleLogics = {"Colors": self.logic.GetColorLogic()}
        self.logic.SetModuleLogic("Colors", self.logic.GetColorLogic())
        self.moduleLogics |= {name: self._moduleLogic(name) for name in LOGICS}
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._prepareRemoteFiles()
        self._files = FileManager(self)

    def _prepareApplicationLogic(self) -> None:
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.logic.SetTemporaryPath(self.temporaryPath)
        self.logic.SetMRMLScene(self.scene)
        colors = self.logic.GetColorLogic()
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())
        for factory in (
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        ):
            factory.GetInstance().SetMRMLApplicationLogic(self.logic)

    def _moduleLogic(self, name: str) -> Any:
        logic = getattr(slicer, LOGICS[name])()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(self.temporaryPath)
        logic.SetMRMLScene(self.scene)
        logic.SetMRMLApplicationLogic(self.logic)
        self.logic.SetModuleLogic(name, logic)
        return logic

    def _prepareRemoteFiles(self) -> None:
        """A scene unpacks an .mrb into the cache directory."""
        cache = Path(self.temporaryPath) / "cache"
        cache.mkdir()
        self._remote = slicer.vtkMRMLRemoteIOLogic()
        self._remote.SetMRMLScene(self.scene)
        self._remote.SetMRMLApplicationLogic(self.logic)
        self._remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        self._transfers = slicer.vtkDataIOManagerLogic()
        self._transfers.SetMRMLScene(self.scene)
        self._transfers.SetMRMLApplicationLogic(self.logic)
        self._transfers.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()

    def mrmlScene(self) -> Any:
        """The scene."""
        return self.scene

    def applicationLogic(self) -> Any:
        """The vtkSlicerApplicationLogic."""
        return self.logic

    def coreIOManager(self) -> FileManager:
        """What reads and writes files."""
        return self._files

    ioManager = coreIOManager

    def testingEnabled(self) -> bool:
        """Whether messages are left out; they are not: tests look at them."""
        return False

    def processEvents(self, *_flags: Any) -> None:
        """There is no event loop."""


_application: HeadlessApplication | None = None


def boot_headless() -> HeadlessApplication:
    """The scene, the logics and the files; made at the first call."""
    global _application  # noqa: PLW0603 - slicer.app and the scene are one per process, as in Slicer
    if _application is None:
        _application = HeadlessApplication()
        _publish(_application)
    return _application


def _publish(application: HeadlessApplication) -> None:
    slicer.app = application
    slicer.mrmlScene = application.scene
    slicer.modules = SimpleNamespace()
    slicer.moduleNames = SimpleNamespace()
    slicer.selfTests = {}
    for name, logic in application.moduleLogics.items():
        module = SimpleNamespace(name=name, path="", logic=lambda held=logic: held)
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)
