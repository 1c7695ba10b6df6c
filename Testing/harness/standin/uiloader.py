"""Loading of .ui files that hold widgets of Slicer.

Qt's own loader makes the widgets. Custom widgets are those registered here, a class that is not is an
error. Connections of the file name slots by C++ signatures that only Slicer's Qt knows, so they are
taken out of the text before and made by :mod:`signals` afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools

from . import signals
from .pythonqt import cxx, loading

custom_widgets: dict[str, type] = {}
"""Every double of a widget class, by the name of the C++ class."""


def register(kind: type) -> type:
    """Class decorator: the double of the C++ widget class of that name."""
    custom_widgets[kind.__name__] = cxx(kind)
    return kind


class UiLoader:
    """Double of QUiLoader.

    Args:
        parent: of the loader.
    """

    def __init__(self, parent: Any = None) -> None:
        self._loader = QtUiTools.QUiLoader(parent)

    def load(self, file: Any, parent: Any = None) -> Any:
        """Makes the widget of a .ui file.

        Args:
            file: an open QFile.
            parent: of the widget.

        Raises:
            RuntimeError: the file is no form, or it holds a widget class that has no double.
            ValueError: a connection names a signal, a slot or an object that does not exist.
        """
        self._loader.setWorkingDirectory(QtCore.QDir(str(Path(file.fileName()).parent)))
        form = ElementTree.fromstring(bytes(file.readAll().data()))
        self._register(form)
        connections = _take_connections(form)
        _resolve_enumerators(form)
        with loading():
            widget = self._loader.load(_device(form), parent)
        if widget is None:
            raise RuntimeError(self._loader.errorString())
        for name in [n for n, held in vars(widget).items() if isinstance(held, QtCore.QObject)]:
            del vars(widget)[name]
        for connection in connections:
            _connect(widget, *connection)
        return widget

    def _register(self, form: ElementTree.Element) -> None:
        for entry in form.iter("customwidget"):
            name = entry.findtext("class", "")
            if name not in custom_widgets:
                msg = f"the stand-in has no double of the widget class {name}"
                raise RuntimeError(msg)
            self._loader.registerCustomWidget(custom_widgets[name])


def _take_connections(form: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    found = []
    for section in form.findall("connections"):
        for entry in section.findall("connection"):
            ends = (entry.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot"))
            found.append(tuple(ends))
        form.remove(section)
    return found  # type: ignore[return-value]


def _resolve_enumerators(form: ElementTree.Element) -> None:
    """Enumerators of doubles become numbers: their properties are whole numbers to Qt here."""
    for entry in form.iter("property"):
        for value in (*entry.findall("enum"), *entry.findall("set")):
            names = (value.text or "").split("|")
            owners = {custom_widgets.get(name.split("::")[0]) for name in names}
            if None not in owners:
                (owner,) = owners
                value.text = str(sum(int(getattr(owner, name.split("::")[-1])) for name in names))
                value.tag = "number"


def _device(form: ElementTree.Element) -> QtCore.QBuffer:
    device = QtCore.QBuffer()
    device.setData(QtCore.QByteArray(ElementTree.tostring(form)))
    device.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    return device


def _connect(widget: Any, sender: str, signal: str, receiver: str, slot: str) -> None:
    source, target = _named(widget, sender), _named(widget, receiver)
    name = slot.split("(", maxsplit=1)[0]
    if not hasattr(target, name):
        msg = f"{receiver} of the .ui file has no slot {slot}"
        raise ValueError(msg)
    signals.connect(source, signal, target, slot)


def _named(widget: Any, name: str) -> Any:
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        msg = f"the .ui file connects {name}, which it does not hold"
        raise ValueError(msg)
    return found
