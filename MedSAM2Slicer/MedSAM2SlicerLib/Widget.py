"""The panel: the ``.ui`` on one side, the logic on the other. The only file that knows both.

What is shown is worked out by :mod:`Presenter` from facts that are gathered here at each refresh;
refreshes are joined, so that a slice that arrives costs one of them at most every 50 ms.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import qt

import slicer

from .Choices import Choices, sliceWidgets
from .ComputeSection import ComputeSection
from .EditorSection import EditorSection
from .ExportSection import ExportSection
from .LivePreview import LivePreview
from .Logic import SegmentationLogic
from .Presenter import TOOLS, Appearance, Situation, present
from .RoiSelector import RoiSelector
from .SegmentsTable import SegmentsTable, rowOf
from .Shortcuts import Shortcuts
from .SliceSection import SliceSection
from .SliceStates import SliceState
from .Status import Status
from .Tools import Tools

TICK_MILLISECONDS = 20
WORKER_SECONDS = 0.016
"""How much of a tick is the worker's, as far as the tick's own work leaves it."""
LEAST_WORKER_SECONDS = 0.002
REFRESH_SECONDS = 0.05
IDLE_REFRESH_SECONDS = 0.5
"""How soon what was changed elsewhere (a segment's name, a view's slice) is shown."""
SETTLE_SECONDS = 0.3
"""How long the user's own changes may wait until they are taken up as a step to undo."""

PREVIEW_SECONDS = 0.15


class Widget:
    """The module's panel.

    Args:
        root: the panel.
        ui: its widgets by name.
        logic: what it drives.
        compute: the section on where to compute.

    Threading: main thread only.
    """

    def __init__(
        self, root: Any, ui: Any, logic: SegmentationLogic, compute: ComputeSection
    ) -> None:
        self.root, self.ui = root, ui
        self.logic, self.compute = logic, compute
        self.status = Status(self.refreshSoon)
        self._stale, self._refreshed, self._settledAt = True, 0.0, 0.0
        self._observed: list[tuple[Any, int]] = []
        self._entered = False
        self.tools = Tools(logic, sliceWidgets, self._onTool)
        self.preview = LivePreview(logic)
        self._previewed = 0.0
        self.slices = SliceSection(ui, logic, self.status.attempt)
        self.table = SegmentsTable(ui.segmentsTable)
        self.shortcuts = Shortcuts(
            {name: self._ifEnabled(name, action) for name, action in self._actions().items()}
            | {"stopTool": self.tools.stop}
        )
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)
        self.editor = EditorSection(ui.editorWidget, logic)
        self.export = ExportSection(root, ui, logic, self.status.attempt)
        self.choices = Choices(ui, logic, self.refreshSoon)
        self.rois = RoiSelector(ui.roiSelector, logic, self.status.attempt)
        self._layoutManager = slicer.app.layoutManager()
        self._connect()

    def _actions(self) -> dict[str, Any]:
        return {
            **{tool: (lambda tool=tool: self.toggleTool(tool)) for tool in TOOLS},
            "segment": self.segment,
            "cancel": self.logic.cancel,
            "segmentAll": lambda: self.status.attempt(self.logic.segmentAll),
            "both": lambda: self.status.attempt(self.logic.segment),
            "forward": lambda: self.status.attempt(self.logic.segment, None, "forward"),
            "backward": lambda: self.status.attempt(self.logic.segment, None, "backward"),
            "addSegment": lambda: self.status.attempt(self.logic.addSegment),
            "removePrompts": lambda: self._withoutTool(self.logic.removePrompts),
            "useSlice": lambda: self.slices.onSlice(self.logic.useSlice),
            "releaseSlice": lambda: self.slices.onSlice(self.logic.releaseSlice),
            "acceptSlice": lambda: self.slices.onSlice(self.logic.acceptSlice),
            "revertSlice": lambda: self.slices.onSlice(self.logic.revertSlice),
            "nextUncertain": self.slices.goToNextUncertain,
            "undo": lambda: self._withoutTool(self.logic.undo),
            "redo": lambda: self._withoutTool(self.logic.redo),
        }

    def _ifEnabled(self, name: str, action: Any) -> Any:
        """The action for a key: it does what the button does, when the button can be pressed.

        Undo looks for itself: what was done a moment ago may not be on the button yet.
        """

        def act() -> None:
            if name in ("undo", "redo") or name in present(self._situation()).enabled:
                action()

        return act

    def _withoutTool(self, action: Any) -> None:
        """Puts the prompt tool away first: the action may take away what it places into."""
        self.tools.stop()
        self.status.attempt(action)

    # Connections

    def _connect(self) -> None:
        for name, action in self._actions().items():
            button = getattr(self.ui, f"{name}Button", None)
            if button is not None:
                button.connect("clicked(bool)", lambda _checked, action=action: action())
        self.table.selected.connect(self.logic.selectSegment)
        self.table.renamed.connect(self._onRenamed)
        self.logic.changed.connect(self.refreshSoon)
        self.compute.told.connect(self.refreshSoon)
        self.compute.ended.connect(self.status.say)
        self.logic.moved.connect(self._restartTool)
        self.logic.message.connect(self.status.say)
        self.logic.failed.connect(self.status.fail)
        if self._layoutManager is not None:  # there is none without a main window
            self._layoutManager.connect("layoutChanged(int)", self._onLayout)

    def enter(self) -> None:
        """Starts the timer and the keys; called when the module is shown."""
        self._entered = True
        self._watchScene()
        self._timer.start()
        self._onLayout()
        self.editor.enter()
        self.choices.fromScene()

    def exit(self) -> None:
        """Ends placing, painting and keys; a run goes on."""
        self._entered = False
        self.tools.stop()
        self.preview.clear()
        self.shortcuts.uninstall()
        self.editor.exit()

    def cleanup(self) -> None:
        """Lets go of everything; called once, when the module is unloaded."""
        self._timer.stop()
        self.exit()
        self._unwatch()
        if self._layoutManager is not None and slicer.app.layoutManager() is self._layoutManager:
            self._layoutManager.disconnect("layoutChanged(int)", self._onLayout)
        self.logic.stop()

    def _onLayout(self, *_event: Any) -> None:
        """Lets the keys work in the slice views that are shown now."""
        if self._entered:
            self.shortcuts.install([self.root, *sliceWidgets()])

    def _watchScene(self) -> None:
        self._unwatch()
        scene = self.logic.scene
        for event, slot in (
            (scene.StartCloseEvent, self._onSceneCloses),
            (scene.EndCloseEvent, self._onSceneOpened),
            (scene.StartImportEvent, lambda *_event: self.choices.hold()),
            (scene.EndImportEvent, self._onSceneOpened),
        ):
            self._observed.append((scene, scene.AddObserver(event, slot)))

    def _unwatch(self) -> None:
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._observed.clear()

    def _onSceneCloses(self, *_event: Any) -> None:
        self.tools.stop()
        self.editor.forget()
        self.logic.forgetWorkspace()

    def _onSceneOpened(self, *_event: Any) -> None:
        self.logic.forgetWorkspace()
        self.editor.forget()
        self.status.say("")
        self.choices.fromScene()

    def _onRenamed(self, segmentId: str, name: str) -> None:
        segment = self.logic.workspace().segmentation.segment(segmentId)
        if segment is not None and name.strip():
            segment.SetName(name.strip())

    # Prompts

    def segment(self) -> None:
        """Segments the current segment; where packages are missing, sets them up first."""
        if self.compute.missing:
            self.compute.setUp()
        else:
            self.status.attempt(self.logic.segment)

    def toggleTool(self, tool: str) -> None:
        """Turns a prompt tool on, or off if it is on."""
        wasOn = self.tools.current == tool
        self.tools.stop()
        if not wasOn:
            self.editor.stop()
            self.status.attempt(self.tools.start, tool)

    def _onTool(self) -> None:
        self.shortcuts.setPlacing(bool(self.tools.current))
        self.refreshSoon()

    def _restartTool(self) -> None:
        """Lets what is placed from now on belong to what is shown: volume, frame and segment."""
        tool = self.tools.current
        self.tools.stop()
        if tool:
            self.status.attempt(self.tools.start, tool)
        self.refreshSoon()

    # Refreshing

    def _tick(self) -> None:
        begun = time.monotonic()
        try:
            self._work()
        finally:
            left = begun + WORKER_SECONDS - time.monotonic()
            self.logic.jobs.giveWay(max(left, LEAST_WORKER_SECONDS))

    def _work(self) -> None:
        if self.tools.current and self.editor.active:  # the brush was taken up since
            self.tools.stop()
        if self.tools.isAstray:
            self._restartTool()
        self.logic.tick()
        self.compute.poll()
        if self.tools.isWaiting:
            self.status.attempt(self.tools.advance)
        now = time.monotonic()
        if now - self._settledAt > SETTLE_SECONDS and not self.tools.current:
            self._settledAt = now
            self.logic.settle()
        if now - self._previewed > PREVIEW_SECONDS:
            self._previewed = now
            self._updatePreview()
        wait = REFRESH_SECONDS if self._stale else IDLE_REFRESH_SECONDS
        if now - self._refreshed > wait:
            self.refresh()

    def _updatePreview(self) -> None:
        checked = self._entered and self.ui.livePreviewCheckBox.checked
        wanted = checked and not self.compute.missing
        from medsam2.core.errors import MedSAM2Error

        if not wanted or self.logic.parameters.segmentation is None:
            self.preview.clear()
            return
        with contextlib.suppress(MedSAM2Error):  # the status line says it already
            self.preview.update(self.slices.inView())

    def refreshSoon(self, *_ignored: Any) -> None:
        """Asks for a refresh at the next tick."""
        self._stale = True

    def refresh(self) -> None:
        """Shows the facts as they are now."""
        self._stale, self._refreshed = False, time.monotonic()
        self.compute.describe(self.logic.compute.opened)
        self._show(present(self._situation()))

    def _situation(self) -> Situation:
        logic, run = self.logic, self.logic.run
        facts: dict[str, Any] = {
            "placing": self.tools.current,
            "message": self.status.text,
            "isError": self.status.isError,
            "undoLabel": logic.history.undoLabel,
            "redoLabel": logic.history.redoLabel,
            "missing": self.compute.missing,
            "setup": self.compute.setup,
        }
        if run is not None:
            progress = run.progress
            facts |= {
                "running": True,
                "cancelling": run.cancelled,
                "done": progress.done,
                "total": progress.total,
                "slicesPerSecond": progress.slicesPerSecond,
                "secondsLeft": progress.secondsLeft,
            }
        if logic.parameters.volume is not None:
            facts["hasVolume"] = True
        shown = self._segmentFacts()
        if not shown.get("hasSegments"):
            self.table.show([], "")
            self.slices.showNothing()
        return Situation(**facts | shown)

    def _segmentFacts(self) -> dict[str, Any]:
        if self.logic.parameters.volume is None or self.logic.parameters.segmentation is None:
            return {}
        try:
            workspace = self.logic.workspace()
        except Exception as error:  # noqa: BLE001 (shown in the status line)
            return {"message": str(error), "isError": True}
        self.choices.showSegmentation()
        self.editor.show()
        if not workspace.segmentation.segmentIds:
            return {}
        self._showRows(workspace.segmentation.segmentIds)
        segmentId, index = self.logic.currentSegment(), self.slices.inView()
        states = self.logic.sliceStates()
        state = states[index] if index is not None else SliceState()
        self.slices.show(states, index)
        prompted = workspace.promptedSegments()
        return {
            "hasSegments": True,
            "hasPrompt": segmentId in prompted or bool(workspace.locked(segmentId)),
            "promptedSegments": len(prompted),
            "slice": index,
            "sliceLocked": state.locked,
            "sliceChanged": state.changed,
            "sliceUncertain": state.uncertain,
            "hasUncertain": any(one.uncertain for one in states),
        }

    def _showRows(self, segmentIds: list[str]) -> None:
        workspace, measures = self.logic.workspace(), self.logic.measures
        still = self.logic.run is None  # figures of a segment that is being made would be none
        figures = [measures.of(workspace, one) if still else None for one in segmentIds]
        rows = [rowOf(workspace, *one) for one in zip(segmentIds, figures, strict=True)]
        self.table.show(rows, self.logic.parameters.segmentId)

    def _show(self, appearance: Appearance) -> None:
        for name in self._actions():
            button = getattr(self.ui, f"{name}Button", None)
            if button is not None:
                button.setEnabled(name in appearance.enabled)
                if button.checkable:
                    button.setChecked(name == appearance.checkedTool)
        self.slices.enableRange(enabled="clearRange" in appearance.enabled)
        self.rois.show(enabled="drawBox" in appearance.enabled)
        self.ui.segmentButton.text = appearance.mainAction
        self.ui.statusLabel.text = appearance.status
        color = "#d64545" if appearance.isError else ""
        self.ui.statusLabel.setStyleSheet(f"color: {color}" if color else "")
        self.ui.progressBar.setVisible(appearance.progress is not None)
        if appearance.progress is not None:
            value, maximum = appearance.progress
            self.ui.progressBar.setMaximum(maximum)
            self.ui.progressBar.setValue(value)
        self.ui.undoButton.toolTip = appearance.undoTip
        self.ui.redoButton.toolTip = appearance.redoTip
