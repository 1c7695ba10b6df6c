"""The panel's section on where to compute: this computer, the bundled server, or a remote one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

import slicer

from . import Backends, Installer
from .Jobs import Jobs
from .ModelCache import ModelCache
from .ModelDialog import ModelDialog
from .PythonRunner import PythonRunner
from .Settings import BUNDLED_SERVER, CUSTOM_MODEL, REMOTE_SERVER, THIS_COMPUTER, Settings
from .Signal import Signal

PLACES = {
    THIS_COMPUTER: "This computer, inside Slicer",
    BUNDLED_SERVER: "This computer, bundled server",
    REMOTE_SERVER: "Remote server",
}
REMOTE_WIDGETS = ("serverAddress", "serverToken", "caFile")
MOST_LETTERS = 52
"""Of the section's title, which Slicer cuts off where the panel ends; its tool tip has all of it."""


class ComputeSection:
    """Shows and changes the settings; sets up what is missing; tests the connection.

    Args:
        ui: the panel's widgets by name.
        settings: the user's.
        jobs: for what takes long.
        runner: runs pip.
        onChanged: called when another backend is needed from now on.

    Signals: ``told()`` when there is something new to say; ``ended(text, isError)`` how a set-up ended,
    empty when one begins.

    Threading: main thread only.
    """

    def __init__(
        self,
        ui: Any,
        settings: Settings,
        jobs: Jobs,
        runner: PythonRunner,
        onChanged: Callable[[], None],
    ) -> None:
        self._ui, self._settings, self._jobs = ui, settings, jobs
        self._onChanged = onChanged
        self.told, self.ended = Signal(), Signal()
        self._runner = runner
        self._installer = Installer.Installer(runner, settings)
        self._cache = ModelCache(settings)
        self.models = ModelDialog(ui.modelsButton, self._cache, settings, self._onModels)
        self.missing: tuple[str, ...] = ()
        """Names of the packages that the chosen place still needs, as far as is known."""
        self._whole = Backends.describeCompute(settings)
        self._fill()
        self._connect()
        self._lookForMissing()
        self.show()

    def _fill(self) -> None:
        for mode, label in PLACES.items():
            self._ui.computeSelector.addItem(label, mode)
        for entry in self._cache.listModels():
            self._ui.modelSelector.addItem(entry.name, entry.name)
            place = self._ui.modelSelector.count - 1
            self._ui.modelSelector.setItemData(place, entry.text, qt.Qt.ToolTipRole)
        self._ui.modelSelector.addItem("Own checkpoint...", CUSTOM_MODEL)

    def _connect(self) -> None:
        ui = self._ui
        ui.computeSelector.connect("activated(int)", self._onPlace)
        ui.modelSelector.connect("activated(int)", self._onModel)
        ui.serverAddress.connect("editingFinished()", self._onAddress)
        ui.serverToken.connect("editingFinished()", self._onToken)
        ui.caFile.connect("currentPathChanged(QString)", self._onCaFile)
        ui.setupButton.connect("clicked(bool)", lambda _: self.setUp())
        ui.testButton.connect("clicked(bool)", lambda _: self.test())
        ui.modelsButton.connect("clicked(bool)", lambda _: self.models.open())

    def _lookForMissing(self, news: str = "") -> None:
        """Looks which packages are absent; in the worker, for it reads many small files.

        Args:
            news: what the line below the buttons says then.
        """
        settings = self._settings.snapshot()

        def found(needed: list[Installer.Requirement]) -> None:
            self.missing = tuple(requirement.name for requirement in needed)
            self.show()
            if news:
                self._say(news)
            elif self._installer.pending:
                self._say("An installation was begun and not completed; press Set up to go on.")

        self._jobs.submit(lambda _: Backends.missingRequirements(settings), onDone=found)

    def show(self) -> None:
        """Shows the settings as they are."""
        ui, settings = self._ui, self._settings
        ui.computeSelector.setCurrentIndex(ui.computeSelector.findData(settings.mode))
        ui.modelSelector.setCurrentIndex(max(0, ui.modelSelector.findData(settings.model)))
        ui.serverAddress.text = settings.serverUrl
        ui.serverToken.text = settings.token
        ui.caFile.currentPath = settings.caFile
        remote = settings.mode == REMOTE_SERVER
        for name in REMOTE_WIDGETS:
            getattr(ui, name).setEnabled(remote)
        ui.modelSelector.setEnabled(not remote)
        ui.setupButton.setEnabled(bool(self.missing) and not self._runner.busy)
        self._say(self._summary())

    def _summary(self) -> str:
        if self.missing:
            return f"Not set up yet: {', '.join(self.missing)}."
        return self._whole

    @property
    def setup(self) -> str:
        """The last line of an installation that is under way; empty without one."""
        return str(self._ui.computeLabel.text) if self._runner.busy else ""

    def _say(self, text: str) -> None:
        self._ui.computeLabel.text = text
        self.told.emit()

    def _change(self, name: str, value: Any) -> None:
        """Changes a setting; what it can't be is said and nothing changes."""
        from medsam2.core.errors import MedSAM2Error

        if getattr(self._settings, name) == value:
            return
        try:
            setattr(self._settings, name, value)
        except MedSAM2Error as error:
            self.show()
            self._say(str(error))
            return
        self._lookForMissing()
        self.show()
        self._onChanged()

    def _onPlace(self, index: int) -> None:
        self._change("mode", self._ui.computeSelector.itemData(index))

    def _onModel(self, index: int) -> None:
        model = self._ui.modelSelector.itemData(index)
        if model == CUSTOM_MODEL:
            path = qt.QFileDialog.getOpenFileName(
                self._ui.modelSelector, "Own checkpoint", "", "Weights (*.pt *.pth *.safetensors)"
            )
            if not path:
                self.show()
                return
            self._change("checkpointPath", path)
        self._change("model", model)

    def _onAddress(self) -> None:
        self._change("serverUrl", self._ui.serverAddress.text)

    def _onToken(self) -> None:
        self._change("token", self._ui.serverToken.text)

    def _onCaFile(self, path: str) -> None:
        """Called for every letter typed: a path that leads nowhere yet stays as it stands."""
        if path and not Path(path).is_file():
            self._say(f"There is no file {path}.")
            return
        self._change("caFile", path)

    def test(self) -> None:
        """Asks the chosen place to answer; the line below the buttons says how it went."""
        settings = self._settings.snapshot()
        self._say("Asking...")
        self._jobs.submit(
            lambda _: Backends.testConnection(settings),
            onDone=self._say,
            onError=lambda error: self._say(str(error)),
        )

    def setUp(self) -> None:
        """Asks once, with the size, then installs without blocking."""
        from medsam2.core.errors import MedSAM2Error

        try:
            plan = Installer.makePlan(self._settings.mode, pyTorchUtils=Installer.hasPyTorchUtils())
        except MedSAM2Error as error:
            self._say(str(error))
            self.ended.emit(str(error), True)
            return
        if plan.missing and slicer.util.confirmOkCancelDisplay(plan.text, "Set up MedSAM2"):
            self._ui.setupButton.setEnabled(False)
            self.ended.emit("", False)
            self._installer.install(plan, self._say, self._onInstalled)

    def _onInstalled(self, error: BaseException | None) -> None:
        restart = "Installed. Restart Slicer to use it." if Installer.restartNeeded() else ""
        news = str(error) if error is not None else restart
        self._lookForMissing(news)
        self.show()
        self.ended.emit(news, error is not None)
        self._onChanged()

    def _onModels(self) -> None:
        self.show()
        self._onChanged()

    def describe(self, backend: Any) -> None:
        """Shows in the section's title what computes, also while it is collapsed.

        The memory is left to its tool tip and to the section itself: the title would be cut off.
        """
        place = Backends.describePlace(self._settings, backend)
        before, whole = self._whole, place + Backends.describeMemory(backend)
        self._whole = whole
        if before != whole and self._ui.computeLabel.text == before:
            self._ui.computeLabel.text = whole
        title = f"Compute: {place}"
        if len(title) > MOST_LETTERS:
            title = f"{title[: MOST_LETTERS - 1].rstrip(', ')}\N{HORIZONTAL ELLIPSIS}"
        if self._ui.computeSection.text != title:
            self._ui.computeSection.text = title
        if self._ui.computeSection.toolTip != whole:
            self._ui.computeSection.toolTip = whole

    def close(self) -> None:
        """Ends downloads."""
        self.models.close()

    def poll(self) -> None:
        """Delivers the installer's lines; called by the panel's timer."""
        self._runner.poll()
