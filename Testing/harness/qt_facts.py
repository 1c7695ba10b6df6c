"""Compares slicer_api.json with what Qt's meta-objects say, by way of PySide6; prints what differs.

A program of its own, for the stand-in for PythonQt changes PySide6's classes where it runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from PySide6 import QtCore, QtGui, QtWidgets
from slicer_api import CONSTANT, METHOD, PROPERTY, SIGNAL, Api, normal, slicer_api

PYTHONQTS_OWN = {"name", "className", "delete"}
"""Members that PythonQt adds to every QObject."""


def disagreements(api: Api) -> list[str]:
    """Entries that Qt does not have, as ``QLabel.signals: ...``."""
    return [line for name in api.packages["qt"] for line in _of_class(api, name)]


def _of_class(api: Api, name: str) -> Iterator[str]:
    found = next((getattr(m, name) for m in (QtCore, QtGui, QtWidgets) if hasattr(m, name)), None)
    if found is None:
        yield f"{name}: Qt has no such class"
        return
    entry, base = api.packages["qt"][name], api.packages["qt"][name]["extends"]
    if base and base not in [one.__name__ for one in found.__mro__]:
        yield f"{name} does not derive from {base}"
    known = {METHOD: set(dir(found)), CONSTANT: _constants(found)}
    if hasattr(found, "staticMetaObject"):
        known[PROPERTY] = _properties(found.staticMetaObject)
        known[SIGNAL] = _signals(found.staticMetaObject)
    for kind, group in (
        (PROPERTY, "properties"),
        (METHOD, "methods"),
        (SIGNAL, "signals"),
        (CONSTANT, "constants"),
    ):
        told = {word.partition(":")[0] for word in entry.get(group, "").split()}
        lacking = told - known.get(kind, set()) - PYTHONQTS_OWN
        if lacking:
            yield f"{name}.{group}: {', '.join(sorted(lacking))}"


def _constants(found: type) -> set[str]:
    """The values of a class's enums and the enums' members."""
    own = [getattr(found, one) for one in dir(found) if one[0].isupper()]
    members = [set(kind.__members__) for kind in own if hasattr(kind, "__members__")]
    return set(dir(found)).union(*members)


def _properties(meta: QtCore.QMetaObject) -> set[str]:
    return {meta.property(n).name() for n in range(meta.propertyCount())}


def _signals(meta: QtCore.QMetaObject) -> set[str]:
    methods = [meta.method(n) for n in range(meta.methodCount())]
    signals = [m for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal]
    return {normal(bytes(m.methodSignature().data()).decode()) for m in signals}


if __name__ == "__main__":
    print("\n".join(disagreements(slicer_api())))
