"""A scripted module in the stand-in: its classes, its panel, its names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from PySide6 import QtWidgets

import slicer

from .application import PANEL_WIDTH
from .clock import pump


class qSlicerScriptedLoadableModuleWidget:
    """Double of the C++ side of a scripted module's widget.

    Args:
        widget: the Python side.
    """

    def __init__(self, widget: Any) -> None:
        self._widget = widget

    def self(self) -> Any:
        """The Python side."""
        return self._widget


class qSlicerScriptedLoadableModule:
    """Double of what ``slicer.modules`` has of a scripted module.

    Args:
        loaded: the module.
        path: of its Python file.
    """

    def __init__(self, loaded: LoadedModule, path: str) -> None:
        self._loaded = loaded
        self.name, self.path = loaded.name, path

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """The C++ side of its widget."""
        return qSlicerScriptedLoadableModuleWidget(self._loaded.widget)

    def enter(self) -> None:
        """The user switches to the module."""
        self._loaded.enter()

    def exit(self) -> None:
        """The user switches to another module."""
        self._loaded.exit()


class LoadedModule:
    """A scripted module with its panel in the main window.

    Args:
        application: where it is loaded.
        path: of the module's Python file.
    """

    def __init__(self, application: Any, path: Path) -> None:
        self._application = application
        self.name = path.stem
        self.module = _import(path)
        parent = SimpleNamespace(
            path=str(path), name=self.name, title=self.name, icon=None, hidden=False,
            categories=[], dependencies=[], contributors=[], helpText="", acknowledgementText="",
        )  # fmt: skip
        self.instance = getattr(self.module, self.name)(parent)
        self._entered, self._unloaded = False, False
        self._publish(str(path))
        self.host = slicer.qMRMLWidget()
        self.host.setLayout(QtWidgets.QVBoxLayout())
        self.host.setMRMLScene(slicer.mrmlScene)
        self._makePanel()
        self._showPanel()
        application.moduleManager().moduleLoaded.emit(self.name)

    def _publish(self, path: str) -> None:
        setattr(slicer.modules, self.name.lower(), qSlicerScriptedLoadableModule(self, path))
        setattr(slicer.modules, f"{self.name}Instance", self.instance)
        setattr(slicer.moduleNames, self.name, self.name)

    def _showPanel(self) -> None:
        self._application.mainWindow().modulePanel().setWidget(self.host)

    def _makePanel(self) -> None:
        self.host.setProperty("isEntered", self._entered)
        self.widget = getattr(self.module, f"{self.name}Widget")(self.host)
        setattr(slicer.modules, f"{self.name}Widget", self.widget)
        self.widget.setup()

    def reload(self) -> None:
        """Reload of the developer's mode: the panel is made anew, but not entered anew."""
        for child in self.host.children():
            if isinstance(child, QtWidgets.QWidget):
                child.hide()
        self.widget.cleanup()
        signal, slot = "moduleAboutToBeUnloaded(QString)", self.widget._onModuleAboutToBeUnloaded
        self._application.moduleManager().disconnect(signal, slot)
        self._makePanel()

    def enter(self) -> None:
        """The user switches to the module."""
        if not self._entered:
            self._entered = True
            self.widget.enter()

    def exit(self) -> None:
        """The user switches to another module."""
        if self._entered:
            self._entered = False
            self.widget.exit()

    def cleanup(self) -> None:
        """The module is unloaded: its panel goes, and its names; once is enough."""
        if self._unloaded:
            return
        self._unloaded = True
        self.exit()
        self._application.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
        self._application.mainWindow().modulePanel().takeWidget()
        self.host.deleteLater()
        pump()
        for name in (self.name.lower(), f"{self.name}Instance", f"{self.name}Widget"):
            delattr(slicer.modules, name)
        delattr(slicer.moduleNames, self.name)

    def grab(self, path: Path | str, width: int = PANEL_WIDTH) -> Path:
        """Writes a picture of the whole panel at that width, or wider where it does not fit.

        Returns:
            The file, a PNG.
        """
        panel = self._application.mainWindow().modulePanel()
        panel.takeWidget()
        width = max(width, self.host.minimumSizeHint.width())
        self.host.resize(width, max(self.host.sizeHint.height(), 1))
        self.host.show()
        pump(0.05)
        height = self.host.layout().heightForWidth(width)
        self.host.resize(width, max(height, self.host.minimumSizeHint.height()))
        pump()
        self.host.grab().save(str(path))
        self._showPanel()
        return Path(path)


def _import(path: Path) -> ModuleType:
    """Imports a module's file anew, with its folder on the path as Slicer does."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        msg = f"{path} is no Python file"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
