"""The strip along the slices, drawn into a label; a click asks for that slice."""

from __future__ import annotations

from collections.abc import Sequence

import qt

from .Signal import Signal
from .SliceStates import SliceState

FILLED = "#6b7f94"
EMPTY = "#3c4650"
LOCKED = "#2f9e5b"
CHANGED = "#e0a526"
UNCERTAIN = "#d64545"
PROMPTED = "#3d8fe0"
CURSOR = "#ffffff"

_BODY = (10, 18)
"""Top and height of the body in pixels; prompts are marked above it, doubts below."""


class SliceStrip(qt.QObject):
    """Draws slice states into a QLabel.

    Args:
        label: where it is drawn; it keeps its size.

    Signals: ``clicked(index)``.
    """

    def __init__(self, label: qt.QLabel) -> None:
        qt.QObject.__init__(self, label)
        self._label = label
        self._states: Sequence[SliceState] = ()
        self._current: int | None = None
        self.clicked = Signal()
        label.setMouseTracking(False)
        label.installEventFilter(self)

    def show(self, states: Sequence[SliceState], current: int | None) -> None:
        """Draws these states, with a cursor at the current slice."""
        self._states, self._current = list(states), current
        self._draw()

    def eventFilter(self, _watched: qt.QObject, event: qt.QMouseEvent) -> bool:
        """Turns clicks and drags into :attr:`clicked`, and draws anew when the size changes."""
        kind = event.type()
        if kind == qt.QEvent.Resize:
            self._draw()
        elif kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseMove) and self._states:
            self.clicked.emit(self._indexAt(event.pos().x()))
            return True
        return False

    def _indexAt(self, x: int) -> int:
        count = len(self._states)
        return max(0, min(count - 1, int(x * count / max(1, self._label.width))))

    def _draw(self) -> None:
        width, height = max(1, self._label.width), max(1, self._label.height)
        pixmap = qt.QPixmap(width, height)
        pixmap.fill(qt.QColor(0, 0, 0, 0))
        if self._states:
            painter = qt.QPainter(pixmap)
            try:
                self._paint(painter, width)
            finally:
                painter.end()
        self._label.setPixmap(pixmap)

    def _paint(self, painter: qt.QPainter, width: int) -> None:
        count = len(self._states)
        top, height = _BODY
        for index, state in enumerate(self._states):
            left = index * width // count
            across = max(1, (index + 1) * width // count - left)
            painter.fillRect(left, top, across, height, qt.QColor(_colorOf(state)))
            if state.prompted:
                painter.fillRect(left, top - 7, max(2, across), 5, qt.QColor(PROMPTED))
            if state.uncertain:
                painter.fillRect(left, top + height + 2, max(2, across), 5, qt.QColor(UNCERTAIN))
        if self._current is not None:
            left = (2 * self._current + 1) * width // (2 * count)
            painter.fillRect(left - 2, top - 2, 4, height + 4, qt.QColor("#202020"))
            painter.fillRect(left - 1, top - 2, 2, height + 4, qt.QColor(CURSOR))


def _colorOf(state: SliceState) -> str:
    if state.locked:
        return LOCKED
    if state.changed:
        return CHANGED
    return FILLED if state.filled else EMPTY
