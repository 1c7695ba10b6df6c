"""The base classes of scripted modules, as far as modules rely on them."""

from __future__ import annotations

import importlib
import unittest
from pathlib import Path
from typing import Any

import qt

import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    """Tells Slicer what a module is; ``parent`` takes its title, categories, help and so on."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        for kind in ("svg", "png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}.{kind}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, fileName: str) -> str:
        """The path of a file in the module's folder of resources."""
        return str(Path(self.parent.path).parent / "Resources" / fileName)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """A sentence with a link to the documentation."""
        page = docPage or f"user_guide/modules/{self.moduleName.lower()}.html"
        return f'<p>See the <a href="https://slicer.readthedocs.io/{page}">documentation</a>.</p>'

    def runTest(self, msec: int = 100, **options: Any) -> None:
        """Runs the module's own tests."""
        module = importlib.import_module(type(self).__module__)
        case = getattr(module, f"{self.moduleName}Test")()
        case.messageDelay = msec
        case.runTest(**options)


class ScriptedLoadableModuleWidget:
    """The module's panel; ``parent`` is the widget that it fills."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()
        manager = slicer.app.moduleManager()
        manager.connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, fileName: str) -> str:
        """The path of a file in the module's folder of resources."""
        folder = Path(slicer.util.modulePath(self.moduleName)).parent
        return str(folder / "Resources" / fileName)

    def setup(self) -> None:
        """Fills the panel."""

    def cleanup(self) -> None:
        """Lets go of everything before the module is unloaded."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """What the module does, for scripts."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The module's vtkMRMLScriptedModuleNode; added if the scene has none."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        return node or slicer.mrmlScene.AddNode(self.createParameterNode())

    def createParameterNode(self) -> Any:
        """A parameter node that is in no scene yet."""
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The module's own tests."""

    messageDelay = 0

    def runTest(self, **_options: Any) -> None:
        """Runs all; derived classes say which."""

    def delayDisplay(self, message: str, *_options: Any, **_more: Any) -> None:
        """Shows a message for a moment; here it is left out."""

    def takeScreenshot(self, *_options: Any, **_more: Any) -> None:
        """Takes a picture; here it is left out."""
