"""Puts the module together: the panel's widgets, the logic, the settings, the server."""

from __future__ import annotations

from typing import Any

import slicer

from . import Icons, Paths, Processes
from .ComputeSection import ComputeSection
from .Logic import SegmentationLogic
from .PythonRunner import PythonRunner
from .ServerProcess import ServerProcess
from .Settings import BUNDLED_SERVER, Settings
from .Widget import Widget


class Panel:
    """Everything of the module that lives as long as its panel.

    Args:
        layout: where the panel goes.
        settings: the user's; Slicer's own if not given.

    Threading: main thread only.
    """

    def __init__(self, layout: Any, settings: Settings | None = None) -> None:
        Paths.useBundledServer()
        self.settings = settings or Settings(slicer.app.userSettings())
        self.root = slicer.util.loadUI(str(Paths.resource("UI/MedSAM2Slicer.ui")))
        layout.addWidget(self.root)
        self.root.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.root)
        Icons.setIcons(self.ui)
        python = Processes.pythonSlicer(slicer.app.slicerHome)
        self.server = ServerProcess(python)
        self.logic = SegmentationLogic(slicer.mrmlScene, self._openBackend, self._reviveServer)
        self._chosen = self.settings.snapshot()
        self.compute = ComputeSection(
            self.ui,
            self.settings,
            self.logic.jobs,
            PythonRunner(python),
            self._onSettings,
        )
        self.view = Widget(self.root, self.ui, self.logic, self.compute)

    def _openBackend(self) -> Any:
        """Called in the worker thread, with the settings as they were when they last changed."""
        from . import Backends

        if self._chosen.mode != BUNDLED_SERVER:
            self.server.stop()  # it would keep its memory, on a graphics card too, for nothing
        return Backends.openBackend(self._chosen, self.server)

    def _reviveServer(self) -> None:
        """Called in the worker thread: a bundled server that has died is started again."""
        if self._chosen.mode == BUNDLED_SERVER:
            self.server.revive()

    def _onSettings(self) -> None:
        self._chosen = self.settings.snapshot()
        self.logic.compute.forget()
        self.view.refreshSoon()

    def enter(self) -> None:
        """Called when the module is shown."""
        self.view.enter()

    def exit(self) -> None:
        """Called when another module is shown."""
        self.view.exit()

    def cleanup(self) -> None:
        """Called once, when the module is unloaded or Slicer closes."""
        self.view.cleanup()
        self.compute.close()
        self.server.stop()
        self.root.deleteLater()  # Reload only hides it, and its selectors would go on
