"""Double of CTK's collapsible button, which most panels are made of."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .doubles import stored
from .uiloader import register

Qt = QtCore.Qt
UNLIMITED = 16777215
"""QWIDGETSIZE_MAX."""


@register
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A button that shows and hides its children.

    Args:
        text: of the button, or the parent.
        parent: of the widget.
    """

    contentsCollapsed = QtCore.Signal(bool)

    contentsFrameShape, setContentsFrameShape = stored("contentsFrameShape", int, 0)
    contentsFrameShadow, setContentsFrameShadow = stored("contentsFrameShadow", int, 0)
    contentsLineWidth, setContentsLineWidth = stored("contentsLineWidth", int, 1)
    contentsMidLineWidth, setContentsMidLineWidth = stored("contentsMidLineWidth", int, 0)
    collapsedHeight, setCollapsedHeight = stored("collapsedHeight", int, 0)

    def __init__(self, text: Any = "", parent: Any = None) -> None:
        if not isinstance(text, str):
            text, parent = "", text
        super().__init__(parent)
        self._hidden: list[QtWidgets.QWidget] = []
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred
        )
        self.setContentsMargins(0, self._header(), 0, 0)
        self.toggled.connect(self._toggle)

    def _header(self) -> int:
        return int(self.fontMetrics().height()) + 8

    def setCollapsed(self, collapsed: bool) -> None:
        """Hides or shows the children."""
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, lambda self: not self.checked, setCollapsed)

    def _toggle(self, expanded: bool) -> None:
        children = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
        if not expanded:
            self._hidden = [child for child in children if not child.isHidden()]
        for child in self._hidden:
            child.setVisible(expanded)
        if expanded:
            self._hidden = []
        self.setMaximumHeight(UNLIMITED if expanded else self._header() + self.collapsedHeight)
        self.updateGeometry()
        self.contentsCollapsed.emit(not expanded)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """A child that comes while the button is collapsed waits for its being expanded.

        The child itself is not looked at here: it is still being constructed, and PySide would take
        it for a plain QWidget from then on.
        """
        super().childEvent(event)
        if event.added() and self.collapsed:
            QtCore.QTimer.singleShot(0, self._hideLateChildren)

    def _hideLateChildren(self) -> None:
        if self.collapsed:
            late = [c for c in self.children() if isinstance(c, QtWidgets.QWidget)]
            late = [child for child in late if not child.isHidden()]
            self._hidden += late
            for child in late:
                child.setVisible(False)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        """Whether a click there toggles: on the header alone."""
        return bool(position.y() < self._header())

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draws the header and a frame around the children."""
        style, painter = self.style(), QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, self._header())
        option.state |= QtWidgets.QStyle.StateFlag.State_Raised
        style.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, self._header() // 2 - 5, 10, 10)
        elements = QtWidgets.QStyle.PrimitiveElement
        element = (
            elements.PE_IndicatorArrowDown if self.checked else elements.PE_IndicatorArrowRight
        )
        style.drawPrimitive(element, arrow, painter, self)
        option.rect.setLeft(24)
        style.drawItemText(
            painter,
            option.rect,
            int((Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter).value),
            option.palette,
            self.enabled,
            self.text,
            QtGui.QPalette.ColorRole.ButtonText,
        )
        if self.checked and self.contentsFrameShape:
            painter.setPen(option.palette.mid().color())
            painter.drawRect(self.rect.adjusted(0, self._header(), -1, -1))
        painter.end()
