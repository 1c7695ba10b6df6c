"""Starting the stand-in, loading modules into it, and what a test may ask it."""

from __future__ import annotations

import atexit
import sys
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer

from . import qt_module

qt_module.install()  # before any double of a widget is made

import vtk  # noqa: E402
from PySide6 import QtCore  # noqa: E402

from . import (  # noqa: E402
    ctk_collapsible,
    ctk_widgets,
    editor_widget,
    markups_widgets,
    node_widgets,
    scripted_module,
    segment_widgets,
)
from .application import qSlicerApplication  # noqa: E402
from .clock import pump  # noqa: E402
from .dialogs import Dialogs, Message  # noqa: E402
from .loaded_module import (  # noqa: E402
    LoadedModule,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
from .scene import boot_headless  # noqa: E402

WIDGETS = (
    ctk_collapsible,
    ctk_widgets,
    node_widgets,
    segment_widgets,
    editor_widget,
    markups_widgets,
)
"""Importing them registers their doubles."""


class StandIn:
    """The running application, and what a test may ask of it.

    Threading: main thread only.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        """What was raised in slots, timers, observers and event handlers, in order."""
        self.loaded: list[LoadedModule] = []
        headless = boot_headless()
        self._dialogs = Dialogs(self.errors)
        self._dialogs.install()
        self.messages: list[Message] = self._dialogs.messages
        """Modal boxes that were shown, in order."""
        self.answers: deque[Any] = self._dialogs.answers
        """What modal boxes that ask are answered, in order."""
        self.scene = headless.scene
        self.app = qSlicerApplication(headless)
        slicer.app = self.app
        sys.excepthook = self._note
        QtCore.qInstallMessageHandler(self._complain)
        _on_vtk_errors(self.errors)
        _publish_scripted_module()
        atexit.register(self._shutDown)

    def _note(self, _kind: type[BaseException], error: BaseException, _trace: Any) -> None:
        """Qt and VTK hand over what Python raised in code that they called."""
        self.errors.append(error)
        sys.__excepthook__(_kind, error, _trace)

    def _complain(self, kind: QtCore.QtMsgType, _context: Any, text: str) -> None:
        """Qt's own warnings are mistakes of the code that runs."""
        if kind != QtCore.QtMsgType.QtDebugMsg and not text.startswith(HARMLESS):
            self.errors.append(RuntimeError(f"Qt: {text}"))

    @property
    def layoutManager(self) -> Any:
        """The views."""
        return self.app.layoutManager()

    def sliceWidget(self, name: str = "Red") -> Any:
        """A slice view's widget."""
        return self.layoutManager.sliceWidget(name)

    def load_module(self, path: Path | str) -> LoadedModule:
        """Loads a scripted module and shows its panel; it is not entered yet."""
        loaded = LoadedModule(self.app, Path(path))
        self.loaded.append(loaded)
        return loaded

    def close_scene(self) -> None:
        """File, Close scene; the views stay."""
        self.scene.Clear(0)
        pump()

    def unload_modules(self) -> None:
        """Unloads all modules that were loaded."""
        while self.loaded:
            self.loaded.pop().cleanup()

    def reset(self) -> None:
        """Back to the application as it started: no modules, an empty scene, views as they were."""
        self.unload_modules()
        self.close_scene()
        interaction = self.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        for widget in self.layoutManager.viewWidgets():
            widget.canvas.clear()
        self.app.settings().clear()
        if self.app.focusWidget() is not None:
            self.app.focusWidget().clearFocus()
        pump()
        self._dialogs.clear()
        self.errors.clear()

    def _shutDown(self) -> None:
        """Graphics go before Python does."""
        sys.excepthook = sys.__excepthook__
        QtCore.qInstallMessageHandler(None)
        self.unload_modules()
        for widget in self.layoutManager.viewWidgets():
            widget.canvas.view.close()
        self.app.mainWindow().close()


HARMLESS = ("This plugin does not support", "propagateSizeHints")
"""What Qt says because there is no screen."""

_standin: StandIn | None = None


def boot() -> StandIn:
    """The application; started at the first call."""
    global _standin  # noqa: PLW0603 - there is one QApplication per process
    if _standin is None:
        qt_module.publish(slicer)
        for kind in (qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget):
            setattr(slicer, kind.__name__, kind)
        _standin = StandIn()
    return _standin


def _on_vtk_errors(errors: list[BaseException]) -> None:
    """Keeps what VTK and MRML call an error, e.g. an argument that they refuse."""

    @vtk.calldata_type(vtk.VTK_STRING)
    def note(_window: Any, _event: str, text: str) -> None:
        errors.append(RuntimeError(f"VTK: {text.strip()}"))

    vtk.vtkOutputWindow.GetInstance().AddObserver("ErrorEvent", note)


def _publish_scripted_module() -> None:
    words = ModuleType("slicer.i18n")
    words.tr = lambda text: text  # type: ignore[attr-defined]
    words.translate = lambda _context, text: text  # type: ignore[attr-defined]
    for name, module in (("ScriptedLoadableModule", scripted_module), ("i18n", words)):
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
