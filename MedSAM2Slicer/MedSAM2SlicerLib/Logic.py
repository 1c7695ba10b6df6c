"""The module without its widgets: what scripts, tests and the panel all call.

Nothing here waits. Work that takes longer than a moment is either a job of the worker thread or a
*chore*, a generator that :meth:`SegmentationLogic.tick` advances a few milliseconds at a time; a timer
calls it. :attr:`SegmentationLogic.busy` says whether anything is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import vtk

from . import Paths
from .Bridges import chosen, chosenAxis, chosenVolume, chosenWindow, newSegmentation
from .Chores import Chore, Chores
from .Compute import Compute
from .History import History, Step
from .Jobs import Jobs
from .Measures import Measures
from .Messages import report
from .ParameterNode import ParameterNode
from .Review import Review
from .Run import Run
from .SegmentationBridge import createEditorNode
from .Signal import Signal
from .SliceStates import SliceState
from .Workspace import Workspace

if TYPE_CHECKING:
    from medsam2.core.backend import Backend, SliceResult


class SegmentationLogic:
    """Segments, corrects, undoes.

    Args:
        scene: the MRML scene.
        openBackend: makes the backend, called in the worker thread.
        beforeUse: see :class:`Compute`.

    Signals: ``changed()`` when anything shown may differ; ``sliceWritten(segmentId, index)``;
    ``moved()`` when another frame of a sequence is shown; ``message(text)`` for the status line;
    ``failed(error)`` for an error that the user must see.

    Threading: main thread only; :meth:`tick` is to be called every 20 to 50 ms.
    """

    def __init__(
        self,
        scene: vtk.vtkObject,
        openBackend: Callable[[], Backend],
        beforeUse: Callable[[], object] = lambda: None,
    ) -> None:
        Paths.useBundledServer()
        self.scene = scene
        self.jobs = Jobs()
        self.compute = Compute(openBackend, beforeUse)
        self.history = History()
        self.changed, self.sliceWritten, self.moved = Signal(), Signal(), Signal()
        self.message, self.failed = Signal(), Signal()
        self.run: Run | None = None
        self.review = Review()
        self._workspace: Workspace | None = None
        self._workspaceKey: Any = None
        self.chores = Chores(self.failed.emit)
        self.measures = Measures(self.chores, self.changed.emit)

    # The scene

    @property
    def parameters(self) -> ParameterNode:
        """The user's choices in this scene."""
        return ParameterNode(self.scene)

    def workspace(self) -> Workspace:
        """The selected volume and segmentation, ready to work on; a segmentation is made if needed.

        Raises:
            NoPromptError: no volume is selected.
            OutputError: the segmentation does not fit the volume.
        """
        parameters = self.parameters
        volume = chosenVolume(parameters)
        if parameters.segmentation is None:
            parameters.segmentation = newSegmentation(volume, chosenAxis(parameters))
        if parameters.editor is None:
            parameters.editor = createEditorNode(self.scene)
        key = chosen(parameters)
        held = self._workspace
        usable = held is not None and held.intact and held.inPlace
        if not usable or self._workspaceKey != key:
            self._closeWorkspace()
            self._workspace = Workspace(*key)
            self._workspaceKey = key
            self._workspace.volume.moved.connect(self.moved.emit)
            self.history.clear()
            self.review.clear()
            self.measures.clear()
        return self._workspace

    def _closeWorkspace(self) -> None:
        if self._workspace is not None:
            self._workspace.close()
        self._workspace = self._workspaceKey = None

    def isAt(self, workspace: Workspace | None) -> bool:
        """Whether a workspace is what the user has chosen by now."""
        return workspace is self._workspace and self._workspaceKey == chosen(self.parameters)

    def forgetWorkspace(self) -> None:
        """Lets go of the nodes of a scene that closes; a run is cancelled."""
        self.cancel()
        self.run = None
        self._closeWorkspace()
        self.chores.clear()
        self.history.clear()
        self.changed.emit()

    def currentSegment(self) -> str:
        """The selected segment's id; a segment is made if there is none."""
        workspace = self.workspace()
        chosen = self.parameters.segmentId
        if chosen and workspace.segmentation.segment(chosen) is not None:
            return chosen
        existing = workspace.segmentation.segmentIds
        return self.selectSegment(existing[0] if existing else workspace.addSegment(""))

    def selectSegment(self, segmentId: str) -> str:
        """Makes a segment the current one, here and in the embedded Segment Editor."""
        parameters = self.parameters
        parameters.segmentId = segmentId
        if parameters.editor is not None:
            parameters.editor.SetSelectedSegmentID(segmentId)
        self.changed.emit()
        return segmentId

    def addSegment(self, name: str | None = None) -> str:
        """Adds an empty segment and makes it the current one."""
        return self.selectSegment(self.workspace().addSegment(name or ""))

    def setStatus(self, segmentId: str, *, completed: bool) -> None:
        """Marks a segment as in progress or as completed, as Slicer shows it."""
        self.workspace().segmentation.setStatus(segmentId, completed=completed)
        self.changed.emit()

    # Runs

    def segment(
        self, segmentIds: Iterable[str] | None = None, direction: str = "both"
    ) -> Run | None:
        """Propagates the prompts of the given segments (default: the current one).

        The masks come in while :meth:`tick` is called. Only what depends on a change is computed.

        Args:
            segmentIds: in any order.
            direction: ``both``, ``forward`` or ``backward`` from the prompted slices.

        Returns:
            The run, or None where one is under way already.

        Raises:
            MedSAM2Error: what was asked for can't be done; nothing was changed.
        """
        if self.run is not None:
            return None
        workspace = self.workspace()
        chosen = list(segmentIds) if segmentIds is not None else [self.currentSegment()]
        limited = [s for s in chosen if direction != "both" or workspace.sliceRange(s)]
        run = Run(workspace, chosen, "Segment", limited)
        self.run = run
        self._settled(lambda: self._start(run, direction))
        self.changed.emit()
        return run

    def segmentAll(self) -> Run | None:
        """Propagates every segment that has a prompt, in one pass."""
        return self.segment(self.workspace().promptedSegments())

    def _start(self, run: Run, direction: str) -> None:
        workspace = run.workspace
        if run.cancelled or not run.valid:
            self._ended(run, None)
            return
        try:
            run.prepare()
            objects = {
                workspace.objectId(segmentId): workspace.objectPrompts(segmentId)
                for segmentId in run.segmentIds
            }
            opening = self.opening(workspace)
        except Exception as error:  # noqa: BLE001 (the panel shows it, as it shows the worker's)
            self._ended(run, error)
            return
        work = self.compute.propagation(opening, objects, direction)
        run.begin(
            self.jobs.submit(
                work,
                onEvent=lambda event: self._received(run, event),
                onDone=lambda _: self._ended(run, None),
                onError=lambda error: self._ended(run, error),
            )
        )

    def opening(self, workspace: Workspace) -> tuple[Any, ...]:
        """What :meth:`Compute.session` needs to open or find the workspace's session."""
        volume, window = workspace.volume, chosenWindow(self.parameters)
        return volume.fingerprint(), volume.snapshotLater(), workspace.axis, window

    def _received(self, run: Run, event: int | SliceResult) -> None:
        if run is not self.run or run.over:
            return
        if isinstance(event, int):
            run.progress.total = event
        elif not run.valid:
            self.cancel()
        elif run.write(event):
            self.sliceWritten.emit(run.workspace.segmentIdOf(event.object_id), event.index)
        self.changed.emit()

    def _ended(self, run: Run, error: BaseException | None) -> None:
        if run is self.run and not run.over:
            run.over = True
            self.chores.add(self._ending(run, error))

    def _ending(self, run: Run, error: BaseException | None) -> Chore:
        """Closes the run's step; one whose nodes went, or are no longer worked on, leaves none."""
        try:
            complete = error is None and not run.cancelled and run.valid
            yield from run.workspace.whileIntact(run.finish(complete=complete))
        finally:
            if run is self.run:
                self.run = None
        recorded = run.workspace.intact and self.isAt(run.workspace)
        if recorded:
            self.history.record(run.step)
            self.review.take(run)
        report(run, error, self.message.emit, self.failed.emit, undoable=recorded)
        self.changed.emit()

    def cancel(self) -> None:
        """Ends the run within one slice; what was streamed stays and is one step to undo.

        At once where the worker still loads, connects or sends, which may take minutes: what it
        gives then is not taken.
        """
        if self.run is not None:
            self.run.cancel()
            if not self.run.progress.total:
                self._ended(self.run, None)

    # Corrections

    def useSlice(self, index: int) -> None:
        """Locks the current segment's slice as it is now."""
        self._changeFacts("Use this slice", lambda w, s: w.lock(s, index))

    def releaseSlice(self, index: int) -> None:
        """Hands the current segment's slice back to the model."""
        self._changeFacts("Release slice", lambda w, s: w.unlock(s, index))

    def setSliceRange(self, sliceRange: tuple[int, int] | None) -> None:
        """Limits where the current segment is propagated (inclusive slices)."""
        self._changeFacts("Set range", lambda w, s: w.setSliceRange(s, sliceRange))

    def _changeFacts(self, label: str, change: Callable[[Workspace, str], None]) -> None:
        workspace, segmentId = self.workspace(), self.currentSegment()

        def act() -> None:
            step = Step(label)
            before = workspace.facts(segmentId)
            change(workspace, segmentId)
            step.noteFacts(segmentId, before, workspace.facts(segmentId))
            self.history.record(step)
            self.changed.emit()

        self._settled(act)

    def acceptSlice(self, index: int) -> None:
        """Takes the "changed" and "uncertain" marks off the current segment's slice."""
        self.review.accept([(self.currentSegment(), index)])
        self.changed.emit()

    def revertSlice(self, index: int) -> None:
        """Puts back what the last run replaced on a slice, and locks it."""
        workspace, segmentId = self.workspace(), self.currentSegment()
        before = self.review.replacedOn(segmentId, index)
        if before is None:
            return

        def act() -> None:
            step = Step("Revert slice")
            key = workspace.key(segmentId, index)
            facts = workspace.facts(segmentId)
            step.noteSlice(key, workspace.memory.known(segmentId, index), before)
            for _ in workspace.apply(step):
                pass
            workspace.lock(segmentId, index)
            step.noteFacts(segmentId, facts, workspace.facts(segmentId))
            self.review.accept([(segmentId, index)])
            self.history.record(step)
            self.changed.emit()

        self._settled(act)

    def sliceStates(self) -> list[SliceState]:
        """What is worth knowing of each slice of the current segment."""
        return self.review.states(self.workspace(), self.currentSegment())

    def removePrompts(self) -> None:
        """Takes all prompts of the current segment away; locked slices stay."""
        workspace, segmentId = self.workspace(), self.currentSegment()

        def remove() -> None:
            for node in workspace.prompts.nodes(segmentId):
                workspace.prompts.remove(node)

        self._changePrompts("Remove prompts", remove)

    def takeBox(self, roi: vtk.vtkObject) -> None:
        """Lets a ROI of the user's serve as the current segment's box; it stays where it is.

        Args:
            roi: a vtkMRMLMarkupsROINode; undo and :meth:`removePrompts` give it back.
        """
        workspace, segmentId = self.workspace(), self.currentSegment()
        self._changePrompts(
            f"Take {roi.GetName()}", lambda: workspace.prompts.adopt(roi, segmentId)
        )

    def _changePrompts(self, label: str, change: Callable[[], None]) -> None:
        def act() -> None:
            change()
            self._settled(self.changed.emit, label=label)

        self._settled(act)

    def undo(self) -> None:
        """Takes the last step back; ignored during a run."""
        self._timeTravel(self.history.undo)

    def redo(self) -> None:
        """Does the last undone step again; ignored during a run."""
        self._timeTravel(self.history.redo)

    def _timeTravel(self, take: Callable[[], Step | None]) -> None:
        if self.run is None:
            self._settled(lambda: self._apply(take()))

    def _apply(self, step: Step | None) -> None:
        if step is not None:
            self.chores.addNext(self._applying(step))

    def _applying(self, step: Step) -> Chore:
        self.review.acceptStep(step)
        workspace = self.workspace()
        yield from workspace.whileIntact(workspace.apply(step))
        self.changed.emit()

    def settle(self) -> None:
        """Takes up what the user did in the scene since: strokes, moved handles, new points."""
        if self._workspace is None or self.run is not None or self.chores:
            return
        if self._workspace.intact:
            self.chores.add(self._settling(self._workspace, "Edit", patiently=True))
        else:
            self.forgetWorkspace()
            self.message.emit("")

    def _settled(self, act: Callable[[], None], label: str = "Edit") -> None:
        """Calls ``act`` once the user's own changes are taken up and all chores before are done."""
        self.chores.add(self._settling(self.workspace(), label, patiently=False))
        self.chores.call(act)

    def _settling(self, workspace: Workspace, label: str, *, patiently: bool) -> Chore:
        step = Step(label)
        yield from workspace.whileIntact(workspace.observe(step, patiently=patiently))
        if step.changed and workspace is self._workspace:
            self.history.record(step)
            self.changed.emit()

    # Time

    @property
    def busy(self) -> bool:
        """Whether a run, a job or a chore is under way."""
        return self.run is not None or self.jobs.busy or bool(self.chores)

    def tick(self) -> None:
        """Delivers the worker's results and advances chores; returns within about 40 ms."""
        self.jobs.poll()
        self.chores.advance()

    def stop(self) -> None:
        """Ends the worker; the backend closes with it."""
        self.cancel()
        self.jobs.stop(self.compute.close)
