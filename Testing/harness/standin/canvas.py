"""A QWidget that shows a view and hands the user's mouse and keys to the view's VTK interactor.

What QVTKInteractorAdapter of VTK does in Slicer, on a view that is drawn into memory.
"""

from __future__ import annotations

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets

from .views import SIZE, View

Qt = QtCore.Qt
BUTTONS = {
    Qt.MouseButton.LeftButton: "LeftButton",
    Qt.MouseButton.RightButton: "RightButton",
    Qt.MouseButton.MiddleButton: "MiddleButton",
}
KEY_NAMES = {
    Qt.Key.Key_Escape: "Escape",
    Qt.Key.Key_Delete: "Delete",
    Qt.Key.Key_Backspace: "BackSpace",
    Qt.Key.Key_Return: "Return",
    Qt.Key.Key_Tab: "Tab",
    Qt.Key.Key_Space: "space",
    Qt.Key.Key_Left: "Left",
    Qt.Key.Key_Right: "Right",
    Qt.Key.Key_Up: "Up",
    Qt.Key.Key_Down: "Down",
    Qt.Key.Key_Shift: "Shift_L",
    Qt.Key.Key_Control: "Control_L",
    Qt.Key.Key_Alt: "Alt_L",
}


class Canvas(QtWidgets.QWidget):
    """Shows a view; its pixels are the view's pixels.

    ``live`` says whether the view is drawn anew when something in it changes, as in Slicer. It is off
    unless a test asks for it: software rendering would drown what the test measures.

    Args:
        view: what is shown.
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view
        self.live = False
        self._picture = QtGui.QImage()
        self.setFixedSize(*SIZE)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        view.onChange = self._onChange

    def _onChange(self) -> None:
        if self.live:
            self.update()

    def clear(self) -> None:
        """Back to how the canvas was when the application started."""
        self.live = False
        self._picture = QtGui.QImage()
        self.view.reset()

    def refresh(self) -> np.ndarray:
        """Draws the view; returns its picture, uint8 ``[rows, columns, 3]``."""
        colors = np.ascontiguousarray(self.view.image())
        rows, columns, _ = colors.shape
        self._picture = QtGui.QImage(
            colors.data, columns, rows, 3 * columns, QtGui.QImage.Format.Format_RGB888
        ).copy()
        return colors

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Shows the picture, a new one if the view is live and changed."""
        if self.live and self.view.stale:
            self.refresh()
        painter = QtGui.QPainter(self)
        painter.drawImage(0, 0, self._picture)
        painter.end()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Hands on a press."""
        self._button(event, "PressEvent")

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        """Hands on a release."""
        self._button(event, "ReleaseEvent")

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        """Hands on the second press of a double click, as VTK does: a press that says it repeats."""
        self._button(event, "PressEvent", repeat=1)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Hands on a move."""
        self._locate(event.position(), event.modifiers())
        self.view.interactor.InvokeEvent("MouseMoveEvent")

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        """Hands on a step of the wheel."""
        self._locate(event.position(), event.modifiers())
        direction = "Forward" if event.angleDelta().y() > 0 else "Backward"
        self.view.interactor.InvokeEvent(f"MouseWheel{direction}Event")

    def enterEvent(self, event: QtGui.QEnterEvent) -> None:
        """Tells the view that the mouse came."""
        self._locate(event.position(), Qt.KeyboardModifier.NoModifier)
        self.view.interactor.InvokeEvent("EnterEvent")

    def leaveEvent(self, _event: QtCore.QEvent) -> None:
        """Tells the view that the mouse left."""
        self.view.interactor.InvokeEvent("LeaveEvent")

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        """Hands on a key."""
        self._key(event)
        self.view.interactor.InvokeEvent("KeyPressEvent")
        self.view.interactor.InvokeEvent("CharEvent")

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        """Hands on a key."""
        self._key(event)
        self.view.interactor.InvokeEvent("KeyReleaseEvent")

    def _button(self, event: QtGui.QMouseEvent, what: str, repeat: int = 0) -> None:
        self._locate(event.position(), event.modifiers(), repeat)
        name = BUTTONS[event.button()]
        self.view.interactor.InvokeEvent(f"{name}{what}")
        if repeat:
            self.view.interactor.InvokeEvent(f"{name}DoubleClickEvent")

    def _locate(
        self, position: QtCore.QPointF, modifiers: Qt.KeyboardModifier, repeat: int = 0
    ) -> None:
        interactor = self.view.interactor
        interactor.SetEventInformationFlipY(
            int(position.x()),
            int(position.y()),
            *_held(modifiers)[:2],
            chr(0),
            repeat,
            None,
        )
        interactor.SetAltKey(_held(modifiers)[2])

    def _key(self, event: QtGui.QKeyEvent) -> None:
        interactor = self.view.interactor
        control, shift, alt = _held(event.modifiers())
        text = event.text()
        code = text if text.isascii() and len(text) == 1 else chr(0)
        symbol = KEY_NAMES.get(Qt.Key(event.key()), text)
        interactor.SetKeyEventInformation(control, shift, code, 0, symbol)
        interactor.SetAltKey(alt)


def _held(modifiers: Qt.KeyboardModifier) -> tuple[int, int, int]:
    """Whether Ctrl, Shift and Alt are held."""
    keys = Qt.KeyboardModifier
    asked = (keys.ControlModifier, keys.ShiftModifier, keys.AltModifier)
    control, shift, alt = (int(bool(modifiers & key)) for key in asked)
    return control, shift, alt
