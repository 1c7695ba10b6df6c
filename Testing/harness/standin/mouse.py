"""A user's hand: mouse and keys in the slice views, sent to the widgets that a user would touch.

Points are world RAS, in mm; they must lie on the slice that the view shows, inside the view.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PySide6 import QtCore, QtGui, QtTest, QtWidgets

import slicer

from .clock import pump

Qt = QtCore.Qt
BUTTONS = {
    "left": Qt.MouseButton.LeftButton,
    "right": Qt.MouseButton.RightButton,
    "middle": Qt.MouseButton.MiddleButton,
}
MODIFIERS = {
    "shift": Qt.KeyboardModifier.ShiftModifier,
    "ctrl": Qt.KeyboardModifier.ControlModifier,
    "alt": Qt.KeyboardModifier.AltModifier,
}
HALF_A_SLICE = 0.5 + 1e-3
STEPS = 4
"""Moves between two points of a drag."""


def jump(sliceWidget: Any, point_ras: Sequence[float]) -> None:
    """Scrolls the view to the slice on which the point lies; nothing moves within the plane."""
    sliceWidget.mrmlSliceNode().JumpSliceByOffsetting(*(float(value) for value in point_ras))


def position(sliceWidget: Any, point_ras: Sequence[float]) -> QtCore.QPoint:
    """The pixel of the view under which a point lies, rows counted from the top.

    Raises:
        ValueError: the point lies on another slice or outside the view.
    """
    canvas = sliceWidget.canvas
    xyToRas = slicer.util.arrayFromVTKMatrix(sliceWidget.mrmlSliceNode().GetXYToRAS())
    x, y, depth, _ = np.linalg.inv(xyToRas) @ [*point_ras, 1.0]
    place = QtCore.QPoint(round(x), canvas.height - 1 - round(y))
    if abs(depth) > HALF_A_SLICE or not canvas.rect.contains(place):
        msg = (
            f"{tuple(point_ras)} is not to be seen: pixel {x:.1f}, {y:.1f}, {depth:.2f} slices off"
        )
        raise ValueError(msg)
    return place


def move(
    sliceWidget: Any,
    point_ras: Sequence[float],
    modifiers: Iterable[str] = (),
    *,
    held: str | None = None,
) -> None:
    """Moves the mouse to a point; ``held`` names the button that is down."""
    button = BUTTONS[held] if held else Qt.MouseButton.NoButton
    _draw(sliceWidget)
    _send(
        sliceWidget,
        QtCore.QEvent.Type.MouseMove,
        position(sliceWidget, point_ras),
        Qt.MouseButton.NoButton,
        button,
        _keys(modifiers),
    )


def click(
    sliceWidget: Any,
    point_ras: Sequence[float],
    button: str = "left",
    modifiers: Iterable[str] = (),
) -> None:
    """Moves to a point, presses a button and releases it."""
    press(sliceWidget, point_ras, button, modifiers)
    release(sliceWidget, point_ras, button, modifiers)


def press(
    sliceWidget: Any,
    point_ras: Sequence[float],
    button: str = "left",
    modifiers: Iterable[str] = (),
) -> None:
    """Moves to a point and presses a button."""
    keys, which = _keys(modifiers), BUTTONS[button]
    move(sliceWidget, point_ras, modifiers)
    place = position(sliceWidget, point_ras)
    _send(sliceWidget, QtCore.QEvent.Type.MouseButtonPress, place, which, which, keys)


def release(
    sliceWidget: Any,
    point_ras: Sequence[float],
    button: str = "left",
    modifiers: Iterable[str] = (),
) -> None:
    """Releases a button at a point."""
    keys, which = _keys(modifiers), BUTTONS[button]
    place = position(sliceWidget, point_ras)
    up = Qt.MouseButton.NoButton
    _send(sliceWidget, QtCore.QEvent.Type.MouseButtonRelease, place, which, up, keys)
    pump()


def double_click(sliceWidget: Any, point_ras: Sequence[float]) -> None:
    """Clicks twice at a point."""
    click(sliceWidget, point_ras)
    left = BUTTONS["left"]
    place = position(sliceWidget, point_ras)
    none = Qt.KeyboardModifier.NoModifier
    _send(sliceWidget, QtCore.QEvent.Type.MouseButtonDblClick, place, left, left, none)
    release(sliceWidget, point_ras)


def drag(
    sliceWidget: Any,
    points_ras: Sequence[Sequence[float]],
    button: str = "left",
    modifiers: Iterable[str] = (),
) -> None:
    """Presses a button at the first point, moves along all points, releases it at the last."""
    points = [np.asarray(point, dtype=float) for point in points_ras]
    press(sliceWidget, points[0], button, modifiers)
    for start, end in itertools.pairwise(points):
        for step in range(1, STEPS + 1):
            at = start + (end - start) * step / STEPS
            move(sliceWidget, at, modifiers, held=button)
    release(sliceWidget, points[-1], button, modifiers)


def wheel(sliceWidget: Any, steps: int, modifiers: Iterable[str] = ()) -> None:
    """Turns the wheel over the middle of the view; forwards if ``steps`` is above 0."""
    canvas = sliceWidget.canvas
    middle = QtCore.QPointF(canvas.rect.center())
    for _ in range(abs(steps)):
        event = QtGui.QWheelEvent(
            middle,
            QtCore.QPointF(canvas.mapToGlobal(middle.toPoint())),
            QtCore.QPoint(),
            QtCore.QPoint(0, 120 if steps > 0 else -120),
            Qt.MouseButton.NoButton,
            _keys(modifiers),
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QtWidgets.QApplication.sendEvent(canvas, event)
    pump()


def key(widget: Any, keys: str) -> None:
    """Types a key while a widget has the focus, e.g. ``n`` or ``Ctrl+Z``.

    Args:
        widget: a slice widget, or any other widget of the main window.
    """
    target = getattr(widget, "canvas", widget)
    window = target.window()
    window.show()
    window.activateWindow()
    pump(2.0, lambda: window.isActiveWindow)
    target.setFocus(Qt.FocusReason.MouseFocusReason)
    combination = QtGui.QKeySequence(keys)[0]
    QtTest.QTest.keyClick(target, combination.key(), combination.keyboardModifiers())
    if combination.keyboardModifiers() != Qt.KeyboardModifier.NoModifier:
        QtTest.QTest.keyRelease(target, Qt.Key.Key_Control)  # Qt takes it for held otherwise
    pump()


def _draw(sliceWidget: Any) -> None:
    """A user aims at what the view shows, and handles take their places when it is drawn."""
    view = sliceWidget.canvas.view
    if view.stale:
        view.render()


def _send(
    sliceWidget: Any,
    kind: QtCore.QEvent.Type,
    place: QtCore.QPoint,
    button: Qt.MouseButton,
    down: Qt.MouseButton,
    keys: Qt.KeyboardModifier,
) -> None:
    canvas = sliceWidget.canvas
    at, everywhere = QtCore.QPointF(place), QtCore.QPointF(canvas.mapToGlobal(place))
    QtWidgets.QApplication.sendEvent(
        canvas, QtGui.QMouseEvent(kind, at, everywhere, button, down, keys)
    )


def _keys(modifiers: Iterable[str]) -> Qt.KeyboardModifier:
    keys = Qt.KeyboardModifier.NoModifier
    for name in modifiers:
        keys |= MODIFIERS[name]
    return keys
