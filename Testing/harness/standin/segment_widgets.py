"""Doubles of the widgets that list segments and show them in 3D."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

import slicer

from .ctk_widgets import ctkMenuButton
from .doubles import stored
from .node_widgets import qMRMLWidget
from .uiloader import register

Signal = QtCore.Signal
COLOR_COLUMN, NAME_COLUMN = range(2)


def segment_ids(segmentation: Any) -> list[str]:
    """The ids of a vtkMRMLSegmentationNode's segments, in their order."""
    return [] if segmentation is None else list(segmentation.GetSegmentation().GetSegmentIDs())


@register
class qMRMLSegmentsTableView(qMRMLWidget):
    """A table of a segmentation's segments."""

    cxxSignals: ClassVar = {
        "selectionChanged(QItemSelection,QItemSelection)": "_selectionChanged",
        "currentSegmentChanged(QString)": "_currentSegmentChanged",
    }
    _selectionChanged = Signal(object, object)
    _currentSegmentChanged = Signal(str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._ids: list[str] = []
        self._table = QtWidgets.QTableWidget(0, 2)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        self._table.setColumnWidth(COLOR_COLUMN, 30)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.verticalHeader().hide()
        views = QtWidgets.QAbstractItemView
        self._table.setSelectionBehavior(views.SelectionBehavior.SelectRows)
        self._table.setEditTriggers(views.EditTrigger.NoEditTriggers)
        self._table.itemSelectionChanged.connect(self._selected)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)

    def segmentationNode(self) -> Any:
        """The segmentation, or None."""
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        """Lists the segments of a segmentation."""
        self._observed.clear()
        self._node = node
        if node is not None:
            for event in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
                number = getattr(slicer.vtkSegmentation, event)
                self._observed.add(node.GetSegmentation(), number, self._refresh)
        self._refresh()

    def _refresh(self, *_event: Any) -> None:
        chosen = self.selectedSegmentIDs()
        self._ids = segment_ids(self._node)
        self._table.blockSignals(True)
        self._table.setRowCount(len(self._ids))
        for row, name in enumerate(self._ids):
            segment = self._node.GetSegmentation().GetSegment(name)
            color = QtWidgets.QTableWidgetItem()
            color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            self._table.setItem(row, COLOR_COLUMN, color)
            self._table.setItem(row, NAME_COLUMN, QtWidgets.QTableWidgetItem(segment.GetName()))
        self._table.blockSignals(False)
        self.setSelectedSegmentIDs(chosen)

    def _selected(self) -> None:
        self._selectionChanged.emit(None, None)
        chosen = self.selectedSegmentIDs()
        self._currentSegmentChanged.emit(chosen[0] if chosen else "")

    def selectedSegmentIDs(self) -> list[str]:
        """The ids of the selected rows."""
        rows = (index.row() for index in self._table.selectionModel().selectedRows())
        return [self._ids[row] for row in rows if row < len(self._ids)]

    def setSelectedSegmentIDs(self, names: list[str]) -> None:
        """Selects the rows of segments."""
        if names != self.selectedSegmentIDs():
            self._table.clearSelection()
            for name in names:
                if name in self._ids:
                    self._table.selectRow(self._ids.index(name))


@register
class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Makes and removes a segmentation's closed surface."""

    locked, setLocked = stored("locked", bool, False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setText("Show 3D")
        self.setCheckable(True)
        self._node: Any = None
        self.toggled.connect(self._toggle)

    def segmentationNode(self) -> Any:
        """The segmentation, or None."""
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        """Sets the segmentation; the button shows whether it has a surface."""
        self._node = node
        self.setEnabled(node is not None and not self.locked)
        self.blockSignals(True)
        self.setChecked(node is not None and _has_surface(node))
        self.blockSignals(False)

    def _toggle(self, shown: bool) -> None:
        if self._node is None:
            return
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()


def _has_surface(node: Any) -> bool:
    return bool(node.GetSegmentation().ContainsRepresentation("Closed surface"))
