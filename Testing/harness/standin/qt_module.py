"""The modules ``qt`` and ``ctk`` as Slicer's Python has them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtNetwork, QtSvg, QtWidgets

from . import pythonqt
from .uiloader import UiLoader, custom_widgets

MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg)


def install() -> ModuleType:
    """Puts ``qt`` into ``sys.modules``: Qt's own names and nothing that only PySide has."""
    pythonqt.install()
    qt = ModuleType("qt")
    for module in MODULES:
        for name in dir(module):
            if name.startswith("Q") or name == "qVersion":
                setattr(qt, name, getattr(module, name))
    for kind in (QtWidgets.QMenu, QtCore.QEventLoop, QtCore.QCoreApplication):
        kind.exec_ = kind.exec  # type: ignore[attr-defined]
    qt.QUiLoader = UiLoader  # type: ignore[attr-defined]
    sys.modules["qt"] = qt
    return qt


def publish(slicer: Any) -> ModuleType:
    """Puts ``ctk`` into ``sys.modules`` and Slicer's own widget classes into ``slicer``."""
    ctk = ModuleType("ctk")
    for name, kind in custom_widgets.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, kind)
    sys.modules["ctk"] = ctk
    return ctk
