"""PySide6 made to behave as PythonQt does in Slicer, by introspection of Qt's own meta objects.

* A property is read and set as an attribute and hides the method of its name: ``button.text``.
* A plain C++ object takes no new attributes; one that does not exist raises.
* ``sender.connect("clicked(bool)", function)`` checks the signature, see :mod:`signals`.
* Dynamic properties are attributes; ``name``, ``className()`` and ``delete()`` are there.
* Enumerators equal their numbers.
* Qt is touched from the main thread only; elsewhere it raises.
"""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtSvg, QtWidgets

from . import signals

QObject = QtCore.QObject
MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg)

VIRTUAL_GETTERS = ("sizeHint", "minimumSizeHint", "duration")
"""Getters that C++ calls back through the class; a descriptor in their place would be called."""

_main_thread = threading.get_ident()
_state = {"installed": False, "loading": 0}


class QtProperty:
    """A Q_PROPERTY as a data descriptor.

    Args:
        name: of the property.
        getter: the C++ getter, or None.
        setter: the C++ setter, or None.
        unbound: what the class itself showed under that name, e.g. ``QTimer.singleShot``.
    """

    __slots__ = ("getter", "name", "setter", "unbound")

    def __init__(
        self,
        name: str,
        getter: Callable[..., Any] | None,
        setter: Callable[..., Any] | None,
        unbound: Any = None,
    ) -> None:
        self.name, self.getter, self.setter, self.unbound = name, getter, setter, unbound

    def __get__(self, owner: QObject | None, kind: type | None = None) -> Any:
        if owner is None:
            return self if self.unbound is None else self.unbound
        return with_numbers(self._read(owner))

    def _read(self, owner: QObject) -> Any:
        if self.getter is None:
            return QObject.property(owner, self.name)
        try:
            return self.getter(owner)
        except TypeError as error:
            if "takes no arguments" not in str(error):
                raise
            return self.getter()  # a static getter, as of QCoreApplication.applicationName

    def __set__(self, owner: QObject, value: Any) -> None:
        if self.setter is not None:
            self.setter(owner, value)
        elif not QObject.setProperty(owner, self.name, value):
            msg = f"PythonQt: {type(owner).__name__}.{self.name} cannot be set to {value!r}"
            raise AttributeError(msg)


def with_numbers(value: Any) -> Any:
    """The value; if it is an enumerator, its class henceforth equals and converts to numbers."""
    kind = type(value)
    if isinstance(value, enum.Enum) and "__index__" not in vars(kind):
        kind.__eq__ = lambda one, other: _number(one) == _number(other)  # type: ignore[assignment]
        kind.__hash__ = lambda one: hash(_number(one))  # type: ignore[assignment]
        kind.__int__ = kind.__index__ = _number  # type: ignore[attr-defined]
    return value


def _number(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def cxx(kind: type) -> type:
    """Marks a class as one of Slicer's C++ classes: its objects take no new attributes."""
    kind.isCxx = True  # type: ignore[attr-defined]
    return kind


def is_cxx(kind: type) -> bool:
    """Whether objects of exactly this class stand for C++ objects."""
    return kind.__module__.startswith("PySide6") or "isCxx" in vars(kind)


class loading:
    """Within its ``with`` block every attribute may be made: PySide's .ui loader needs it."""

    def __enter__(self) -> None:
        _state["loading"] += 1

    def __exit__(self, *_error: object) -> None:
        _state["loading"] -= 1


def install() -> None:
    """Changes PySide6 for the rest of the process."""
    if _state["installed"]:
        return
    _state["installed"] = True
    classes = list(_classes())
    lookups = {kind: kind.__getattribute__ for kind in classes}
    for kind in classes:
        _show_properties(kind)
    for kind, lookup in lookups.items():
        kind.__getattribute__ = _guarded(lookup)  # type: ignore[method-assign]
        kind.__setattr__ = _assign  # type: ignore[method-assign,assignment]
        kind.__getattr__ = _missing  # type: ignore[attr-defined]
    QObject.name = vars(QObject)["objectName"]  # type: ignore[attr-defined]
    QObject.className = _class_name  # type: ignore[attr-defined]
    QObject.delete = _delete  # type: ignore[attr-defined]


def _classes() -> Iterator[type]:
    seen: set[type] = set()
    for module in MODULES:
        for name in dir(module):
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, QObject) and kind not in seen:
                seen.add(kind)
                yield kind


def _show_properties(kind: Any) -> None:
    meta = kind.staticMetaObject
    for place in range(meta.propertyCount()):
        name = meta.property(place).name()
        own = vars(kind).get(name)
        introduced = place >= meta.propertyOffset() or own is not None
        taken = isinstance(own, QtProperty | QtCore.Property | QtCore.Signal)
        if introduced and not taken and name not in VIRTUAL_GETTERS:
            writable = meta.property(place).isWritable()
            setter = getattr(kind, f"set{_capital(name)}", None) if writable else None
            setattr(kind, name, QtProperty(name, _getter(kind, name), setter, own))


def _getter(kind: Any, name: str) -> Callable[..., Any] | None:
    asking = getattr(kind, f"is{_capital(name)}", None)
    if asking is not None:
        return asking  # type: ignore[no-any-return]
    plain = getattr(kind, name, None)
    return plain if callable(plain) and not isinstance(plain, QtCore.Signal | QtProperty) else None


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _guarded(lookup: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def found(self: Any, name: str) -> Any:
        if threading.get_ident() != _main_thread:
            msg = f"{name} of a Qt object was asked for outside the main thread"
            raise RuntimeError(msg)
        if name == "connect":
            return functools.partial(signals.connect, self)
        if name == "disconnect":
            return functools.partial(signals.disconnect, self)
        value = lookup(self, name)
        if name in VIRTUAL_GETTERS and not _in_python(type(self), name):
            return value()
        return value

    return found


def _in_python(kind: type, name: str) -> bool:
    """Whether a Python class overrides what C++ has."""
    owner = next(base for base in kind.__mro__ if name in vars(base))
    return not owner.__module__.startswith("PySide6")


def _assign(self: Any, name: str, value: Any) -> None:
    if isinstance(value, QtCore.SignalInstance):  # PySide keeps bound signals on the object
        vars(self)[name] = value
        return
    kind = type(self)
    held = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    if isinstance(held, QtCore.Property):
        if not QObject.setProperty(self, name, value):
            msg = f"PythonQt: {kind.__name__}.{name} cannot be set to {value!r}"
            raise AttributeError(msg)
    elif hasattr(type(held), "__set__"):
        held.__set__(self, value)
    elif name in _dynamic(self):
        QObject.setProperty(self, name, value)
    elif is_cxx(kind) and not _state["loading"] and not (name[0] == "_" and "isCxx" in vars(kind)):
        msg = f"PythonQt: {kind.__name__} has no property {name}, and C++ objects take no new ones"
        raise AttributeError(msg)
    else:
        vars(self)[name] = value


def _missing(self: Any, name: str) -> Any:
    if not name.startswith("__") and name in _dynamic(self):
        return QObject.property(self, name)
    msg = f"PythonQt: {type(self).__name__} has no attribute {name}"
    raise AttributeError(msg)


def _dynamic(owner: QObject) -> list[str]:
    return [bytes(name.data()).decode() for name in QObject.dynamicPropertyNames(owner)]


def _class_name(self: QObject) -> str:
    double = next((base for base in type(self).__mro__ if "isCxx" in vars(base)), None)
    return double.__name__ if double is not None else str(self.metaObject().className())


def _delete(self: QObject) -> None:
    shiboken6.delete(self)
