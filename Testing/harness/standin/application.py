"""``slicer.app``: a real QApplication with the scene, the views, the modules and a main window."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

import slicer

from .layout import qSlicerLayoutManager
from .pythonqt import cxx
from .scene import VERSION, HeadlessApplication

PANEL_WIDTH = 400
"""Width of the module panel in pixels, the narrowest that Slicer's users commonly have."""


@cxx
class qSlicerModuleManager(QtCore.QObject):
    """Double of ``slicer.app.moduleManager()``."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def module(self, name: str) -> Any:
        """The module of that name, or None."""
        return getattr(slicer.modules, name.lower(), None)

    def factoryManager(self) -> Any:
        """What loads modules; here it only names them."""
        return SimpleNamespace(
            loadedModuleNames=self.modulesNames, instantiatedModuleNames=self.modulesNames
        )

    def modulesNames(self) -> list[str]:
        """The names of all modules."""
        return list(vars(slicer.moduleNames))


@cxx
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Double of the main window's module selector: leaves one module and enters another."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._selected = ""

    def selectModule(self, name: str) -> None:
        """Leaves the module that is shown and enters that one."""
        if name != self._selected:
            self._tell("exit")
            self._selected = name
            self._tell("enter")
            self.moduleSelected.emit(name)

    selectedModule = QtCore.Property(str, lambda self: self._selected)

    def _tell(self, what: str) -> None:
        module = getattr(slicer.modules, self._selected.lower(), None)
        if module is not None and hasattr(module, what):
            getattr(module, what)()


@cxx
class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Double of the main window: the module panel on the left, the views, a status bar.

    Args:
        views: the widgets of the views, four of them.
    """

    def __init__(self, views: list[QtWidgets.QWidget]) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("Slicer stand-in")
        self._selector = qSlicerModuleSelectorToolBar()
        self.addToolBar(self._selector)
        self._panel = QtWidgets.QScrollArea()
        self._panel.setObjectName("ModulePanel")
        self._panel.setWidgetResizable(True)
        self._panel.setFixedWidth(PANEL_WIDTH)
        central = QtWidgets.QWidget()
        layout = QtWidgets.QGridLayout(central)
        layout.addWidget(self._panel, 0, 0, 2, 1)
        for place, view in enumerate(views):
            layout.addWidget(view, place // 2, 1 + place % 2)
        self.setCentralWidget(central)
        self.statusBar()

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        """What chooses the module."""
        return self._selector

    def modulePanel(self) -> QtWidgets.QScrollArea:
        """The panel that shows a module."""
        return self._panel


class qSlicerApplication(QtWidgets.QApplication):
    """Double of ``slicer.app``.

    Args:
        headless: the scene, the logics and the files.
    """

    startupCompleted = QtCore.Signal()

    def __init__(self, headless: HeadlessApplication) -> None:
        super().__init__(["standin"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("standin")
        self.setStyle("Fusion")
        _load_fonts()
        self.headless = headless
        self._settings = _settings(headless.temporaryPath)
        self._moduleManager = qSlicerModuleManager()
        self._layoutManager = qSlicerLayoutManager(headless)
        self._window = qSlicerMainWindow(self._layoutManager.viewWidgets())

    majorVersion, minorVersion = VERSION
    revision = "0"
    os, arch = "linux", "amd64"
    documentationBaseUrl = "https://slicer.readthedocs.io/"
    temporaryPath = property(lambda self: self.headless.temporaryPath)
    slicerHome = property(lambda self: self.headless.temporaryPath)

    def mrmlScene(self) -> Any:
        """The scene."""
        return self.headless.scene

    def applicationLogic(self) -> Any:
        """The vtkSlicerApplicationLogic."""
        return self.headless.logic

    def coreIOManager(self) -> Any:
        """What reads and writes files."""
        return self.headless.coreIOManager()

    ioManager = coreIOManager

    def layoutManager(self) -> qSlicerLayoutManager:
        """The views."""
        return self._layoutManager

    def moduleManager(self) -> qSlicerModuleManager:
        """The modules."""
        return self._moduleManager

    def mainWindow(self) -> qSlicerMainWindow:
        """The main window; it is shown once a test needs the focus."""
        return self._window

    def settings(self) -> QtCore.QSettings:
        """The user's settings, in a file of this process."""
        return self._settings

    userSettings = revisionUserSettings = settings

    def testingEnabled(self) -> bool:
        """Whether messages are left out; they are not: tests look at them."""
        return False

    def translate(self, _context: str, text: str) -> str:
        """The text in the user's language, which is English."""
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        """Where a module's documentation is."""
        return f"{self.documentationBaseUrl}en/latest/user_guide/modules/{name.lower()}.html"

    def pauseRender(self) -> None:
        """Views wait with drawing; here they are drawn when asked."""

    def resumeRender(self) -> None:
        """Views draw again."""

    def extensionsManagerModel(self) -> Any:
        """What knows the installed extensions: none are."""
        return SimpleNamespace(isExtensionInstalled=lambda _name: False)

    def restart(self) -> None:
        """Starting anew ends the process; a test that gets here went too far."""
        raise RuntimeError("the application was asked to restart")


def _settings(folder: str) -> QtCore.QSettings:
    kinds = QtCore.QSettings
    ini = kinds.Format.IniFormat
    kinds.setDefaultFormat(ini)
    kinds.setPath(ini, kinds.Scope.UserScope, folder)
    return kinds()


def _load_fonts() -> None:
    """On a machine without fonts, texts take those that matplotlib ships."""
    if QtGui.QFontDatabase.families():
        return
    import matplotlib as mpl

    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"):
        file = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
        QtGui.QFontDatabase.addApplicationFont(str(file))
    QtWidgets.QApplication.setFont(QtGui.QFont("DejaVu Sans", 9))
