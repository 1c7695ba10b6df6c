"""The table of segments: name, prompts, volume and longest diameter of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import qt

from . import PromptNodes
from .Signal import Signal

if TYPE_CHECKING:
    from .Measures import Measured
    from .Workspace import Workspace

_DECIMALS = (100, 0), (1, 1), (0.1, 2)
"""Least value and how many decimals it has: a lesion of 4 mm has 0.033 ml."""
SWATCH_PIXELS = 16
COLUMNS = ("Segment", "Prompts", "ml", "mm")


@dataclasses.dataclass(frozen=True)
class Row:
    """One segment.

    Args:
        color: red, green, blue from 0 to 1.
        millilitres, diameterMm: None until they are measured.
    """

    segmentId: str
    name: str
    color: tuple[float, float, float]
    prompts: str
    millilitres: float | None
    diameterMm: float | None


def rowOf(workspace: Workspace, segmentId: str, measured: Measured | None) -> Row:
    """Gathers what the table shows of a segment."""
    segment = workspace.segmentation.segment(segmentId)
    kinds = [node.GetAttribute(PromptNodes.KIND) for node in workspace.prompts.nodes(segmentId)]
    labels = dict.fromkeys(PromptNodes.KINDS[kind].label for kind in kinds)
    millilitres, diameterMm = measured or (None, None)
    prompts = ", ".join(labels)
    return Row(segmentId, segment.GetName(), segment.GetColor(), prompts, millilitres, diameterMm)


class SegmentsTable:
    """Fills a QTableWidget with rows and tells which one was chosen or renamed.

    Signals: ``selected(segmentId)``, ``renamed(segmentId, name)``.
    """

    def __init__(self, table: qt.QTableWidget) -> None:
        self._table = table
        self._rows: list[Row] = []
        self._filling = False
        self.selected, self.renamed = Signal(), Signal()
        table.setHorizontalHeaderLabels(COLUMNS)
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column, width in ((1, 110), (2, 60), (3, 56)):
            table.setColumnWidth(column, width)
        table.connect("itemSelectionChanged()", self._onSelection)
        table.connect("itemChanged(QTableWidgetItem*)", self._onChanged)

    def show(self, rows: Sequence[Row], current: str) -> None:
        """Shows these segments; the current one is highlighted."""
        if list(rows) == self._rows and current == self._current():
            return
        self._filling = True
        try:
            before, self._rows = self._rows, list(rows)
            self._table.setRowCount(len(rows))
            for number, row in enumerate(rows):
                self._fill(number, row, before[number] if number < len(before) else None)
            ids = [row.segmentId for row in rows]
            if current in ids:
                self._table.selectRow(ids.index(current))
        finally:
            self._filling = False

    def _fill(self, number: int, row: Row, before: Row | None) -> None:
        """Changes only what differs, since a change undoes what is being typed in the cell."""
        texts = (row.name, row.prompts, _figure(row.millilitres), _figure(row.diameterMm))
        for column, text in enumerate(texts):
            item = self._table.item(number, column) or self._added(number, column)
            if item.text() != text:
                item.setText(text)
        if before is None or before.color != row.color:
            self._table.item(number, 0).setIcon(_swatch(row.color))

    def _added(self, number: int, column: int) -> qt.QTableWidgetItem:
        item = qt.QTableWidgetItem("")
        if column > 0:
            item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
        self._table.setItem(number, column, item)
        return item

    def _current(self) -> str:
        number = self._table.currentRow()
        return self._rows[number].segmentId if 0 <= number < len(self._rows) else ""

    def _onSelection(self) -> None:
        if not self._filling and self._current():
            self.selected.emit(self._current())

    def _onChanged(self, item: qt.QTableWidgetItem) -> None:
        if not self._filling and item.column() == 0:
            self.renamed.emit(self._rows[item.row()].segmentId, item.text())


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    decimals = next((n for least, n in _DECIMALS if value >= least), 3)
    return f"{value:.{decimals}f}" if value else "0"


def _swatch(color: tuple[float, float, float]) -> qt.QIcon:
    """The colour as it is, also in the row that is chosen: Qt would tint it there."""
    red, green, blue = (round(255 * part) for part in color)
    pixmap = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
    pixmap.fill(qt.QColor(red, green, blue))
    icon = qt.QIcon(pixmap)
    icon.addPixmap(pixmap, qt.QIcon.Selected)
    return icon
