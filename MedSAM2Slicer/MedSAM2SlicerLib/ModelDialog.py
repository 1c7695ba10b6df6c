"""The window of models: which there are, their licences and sizes; fetching and removing weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

import slicer

from .Jobs import Job, Jobs
from .ModelCache import ABSENT, INSTALLED, ModelCache, ModelEntry
from .Settings import Settings

COLUMNS = ("Model", "Licence", "MB", "State")
TICK_MILLISECONDS = 30
WORKER_SECONDS = 0.015
"""How much of a tick is the worker's."""


class ModelDialog:
    """Shows the list; a download runs beside everything else and can be cancelled.

    Args:
        parent: the panel.
        cache: the models on this computer.
        settings: hold the user's consent to downloads.
        onChanged: called when a model has come or gone.

    Threading: main thread only; downloads have a worker thread of their own.
    """

    def __init__(
        self,
        parent: qt.QWidget,
        cache: ModelCache,
        settings: Settings,
        onChanged: Callable[[], None],
    ) -> None:
        self._cache, self._settings, self._onChanged = cache, settings, onChanged
        self._jobs = Jobs()
        self._job: Job | None = None
        self._entries: list[ModelEntry] = []
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle("Models")
        self._build(qt.QVBoxLayout(self.dialog))
        self._timer = qt.QTimer(self.dialog)
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)

    def _build(self, layout: qt.QVBoxLayout) -> None:
        self.table = qt.QTableWidget()
        self.table.setColumnCount(len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.table.connect("itemSelectionChanged()", self._refreshButtons)
        self.notice = qt.QLabel("")
        self.notice.setWordWrap(True)
        self.progress = qt.QProgressBar()
        self.progress.setVisible(False)
        for widget in (self.table, self.notice, self.progress):
            layout.addWidget(widget)
        row = qt.QHBoxLayout()
        layout.addLayout(row)
        self.downloadButton = self._button(row, "Download", self.download)
        self.cancelButton = self._button(row, "Cancel", self.cancel)
        self.deleteButton = self._button(row, "Delete", self.delete)
        self._button(row, "Close", self.dialog.hide)

    def _button(self, row: qt.QHBoxLayout, text: str, act: Callable[[], Any]) -> qt.QPushButton:
        button = qt.QPushButton(text)
        button.connect("clicked(bool)", lambda _: act())
        row.addWidget(button)
        return button

    def open(self) -> None:
        """Shows the window; the panel stays usable."""
        self.refresh()
        self._timer.start()
        self.dialog.resize(620, 360)
        self.dialog.show()
        self.dialog.activateWindow()

    def _tick(self) -> None:
        self._jobs.poll()
        self._jobs.giveWay(WORKER_SECONDS)

    def close(self) -> None:
        """Hides it and ends a download; what has come is kept for the next time."""
        self._timer.stop()
        self._jobs.stop()
        self.dialog.hide()

    def refresh(self) -> None:
        """Shows the models as they are on this computer."""
        chosen = self.chosen
        self._entries = self._cache.listModels()
        self.table.setRowCount(len(self._entries))
        for number, entry in enumerate(self._entries):
            texts = (entry.name, entry.license, str(entry.megabytes), entry.state)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(entry.text)
                self.table.setItem(number, column, item)
        self.table.resizeColumnsToContents()
        names = [entry.name for entry in self._entries]
        self.table.selectRow(names.index(chosen.name) if chosen in self._entries else 0)
        self._refreshButtons()

    @property
    def chosen(self) -> ModelEntry | None:
        """The model of the selected row."""
        row = self.table.currentRow()
        return self._entries[row] if 0 <= row < len(self._entries) else None

    def select(self, name: str) -> None:
        """Selects a model's row."""
        self.table.selectRow([entry.name for entry in self._entries].index(name))

    def _refreshButtons(self) -> None:
        entry, busy = self.chosen, self._job is not None
        idle = entry is not None and not busy
        self.downloadButton.setEnabled(idle and entry.canDownload and entry.state == ABSENT)
        self.deleteButton.setEnabled(idle and entry.state == INSTALLED)
        self.cancelButton.setEnabled(busy)
        if idle:
            self.notice.text = f"{entry.title}. {entry.warning}".strip()

    def download(self) -> None:
        """Asks once per licence, then fetches the selected model."""
        entry = self.chosen
        if entry is None or not self._agreed(entry):
            return
        self._settings.downloadsAllowed = True

        def work(job: Job) -> None:
            self._cache.download(
                entry.name, lambda done, total: job.emit((done, total)), lambda: job.cancelled
            )

        self.progress.setVisible(True)
        self.progress.setMaximum(0)
        self.notice.text = f"Downloading {entry.name}..."
        self._job = self._jobs.submit(work, self._onProgress, self._onDone, self._onDone)
        self._refreshButtons()

    def _agreed(self, entry: ModelEntry) -> bool:
        research = " It is for research and education only." if entry.researchOnly else ""
        text = (
            f"{entry.name} is {entry.megabytes} MB and has the licence {entry.license}.{research} "
            f"{entry.warning}\n\nDownload it now?"
        )
        return bool(slicer.util.confirmOkCancelDisplay(text, "Download a model"))

    def _onProgress(self, event: tuple[int, int | None]) -> None:
        done, total = event
        self.progress.setMaximum(1000 if total else 0)
        self.progress.setValue(round(1000 * done / total) if total else 0)

    def _onDone(self, outcome: Any) -> None:
        self._job = None
        self.progress.setVisible(False)
        self.refresh()
        if isinstance(outcome, BaseException):
            self.notice.text = str(outcome)
        self._onChanged()

    def cancel(self) -> None:
        """Ends the download; what has come is kept for the next time."""
        if self._job is not None:
            self._job.cancel()

    def delete(self) -> None:
        """Removes the selected model's weights, after asking."""
        from medsam2.core.errors import MedSAM2Error

        entry = self.chosen
        question = f"Delete the weights of {entry.name} ({entry.sizeBytes / 1e6:.0f} MB)?"
        if not slicer.util.confirmOkCancelDisplay(question, "Delete a model"):
            return
        try:
            freed = self._cache.delete(entry.name)
        except MedSAM2Error as error:
            self.notice.text = str(error)
            return
        self.refresh()
        self.notice.text = f"{freed / 1e6:.0f} MB freed."
        self._onChanged()
