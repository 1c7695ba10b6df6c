"""What the doubles of Slicer's widgets are made with."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtWidgets


def stored(name: str, kind: Any, default: Any) -> tuple[QtCore.Property, Callable[..., None]]:
    """A Qt property that holds a value, and its setter.

    Setting it to another value calls ``propertyChanged(name)`` of the widget, if it has that.

    Args:
        name: of the property.
        kind: its type; the name of a C++ type is one too.
        default: its first value.
    """
    place = f"_{name}"

    def get(self: Any) -> Any:
        return vars(self).get(place, default)

    def put(self: Any, value: Any) -> None:
        changed = value != get(self)
        vars(self)[place] = value
        if changed and hasattr(self, "propertyChanged"):
            self.propertyChanged(name)

    return QtCore.Property(kind, get, put), put


def as_wide_as_there_is_room(widget: QtWidgets.QWidget, box: QtWidgets.QComboBox) -> None:
    """Gives a widget around a combo box the size that Slicer's have: long texts do not widen it."""
    policies = QtWidgets.QSizePolicy.Policy
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(
        QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setSizePolicy(policies.Expanding, policies.Fixed)
    widget.setSizePolicy(policies.Expanding, policies.Fixed)


class Observations:
    """Observers of VTK objects that end with the widget.

    They hold the widget's method weakly, as qvtkConnect does, and stay quiet once Qt deleted it. A
    method that returns true keeps the event from the observers that come after it.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Any, int]] = []

    def add(
        self, subject: Any, event: Any, method: Callable[..., object], priority: float = 0.0
    ) -> None:
        """Calls a method of a widget with the caller and the event's name at every such event."""
        weak = weakref.WeakMethod(method)

        def call(caller: Any, name: str) -> None:
            alive = weak()
            if alive is not None and shiboken6.isValid(alive.__self__) and alive(caller, name):
                caller.GetCommand(tag).SetAbortFlag(1)

        tag = subject.AddObserver(event, call, priority)
        self._held.append((subject, tag))

    def clear(self) -> None:
        """Ends all."""
        for subject, tag in self._held:
            subject.RemoveObserver(tag)
        self._held.clear()
