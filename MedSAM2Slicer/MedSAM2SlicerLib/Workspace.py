"""One volume, one segmentation, one slice axis, and all that is known of them.

What the user made is never overwritten: a slice that was painted, confirmed or emptied by hand is
*locked*. A run leaves it bit for bit and takes it as evidence; only :meth:`Workspace.unlock` hands it
back to the model. A lock holds across axes: a run along another axis leaves the locked plane alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk

from . import PromptNodes, SegmentTags
from .Bridges import bridges
from .EditableArea import overwrites
from .History import SliceKey, Step
from .PromptReader import readPrompts
from .PromptStore import Snapshot
from .SegmentationBridge import dropSurfaces, showSurfaces
from .SliceMemory import Frozen, SliceMemory, checksum, freeze, thaw
from .VolumeBridge import spacingOf

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis
    from medsam2.core.prompts import ObjectPrompts

    from .CineBridge import Plane


class Workspace:
    """The scene as far as one segmentation session is concerned.

    Args:
        volume: the volume node.
        segmentation: the segmentation node; its segments are read by the first :meth:`observe`.
        editorNode: the Segment Editor node whose overwrite and masking modes hold.
        axis: the slice axis, or a plane whose slices are frames; None takes the axis that a reader
            would scroll along.

    Raises:
        OutputError: the segmentation does not fit the volume.

    Threading: main thread only.
    """

    def __init__(
        self,
        volume: vtk.vtkObject,
        segmentation: vtk.vtkObject,
        editorNode: vtk.vtkObject,
        axis: SliceAxis | Plane | None = None,
    ) -> None:
        self.volume, self.segmentation, self.prompts, self.axis = bridges(
            volume, segmentation, editorNode, axis
        )
        self.memory = SliceMemory(self.segmentation, self.axis)
        self._editorNode = editorNode
        self._numbers: dict[str, int] = {}
        self._prompts: Snapshot = self.prompts.snapshot()
        self._moving: Snapshot = self._prompts
        self._adopted: set[str] = set()
        self._place = _placeOf(volume, segmentation)

    def addSegment(self, name: str) -> str:
        """Adds an empty segment; returns its id."""
        segmentId = self.segmentation.addSegment(name)
        self._adopted.add(segmentId)
        return segmentId

    def _adopt(self, segmentId: str) -> Iterator[None]:
        """Locks what a segment holds that is not as the model left it, a slice at each step."""
        for _ in self.memory.changes(segmentId):
            yield
        self._adopted.add(segmentId)
        made = SegmentTags.readAll(self.segmentation.tags(segmentId), SegmentTags.MODEL)
        if made and self.axis.name not in made:
            yield from self._takeOver(segmentId, next(iter(made)))
            return
        foreign = [n for n in self.memory.occupied(segmentId) if not self.isModels(segmentId, n)]
        if foreign:
            self._setLocked(segmentId, self.locked(segmentId) | set(foreign))

    def _takeOver(self, segmentId: str, axisName: str) -> Iterator[None]:
        """Adopts what a run along another axis left: what is foreign to it is locked across that."""
        from medsam2.core.geometry import SliceAxis

        axis, tags = SliceAxis[axisName], self.segmentation.tags(segmentId)
        made = SegmentTags.read(tags, SegmentTags.MODEL, axisName, {})
        locked = set(SegmentTags.read(tags, SegmentTags.LOCKED, axisName, []))
        for index in self.segmentation.occupied(segmentId, axis):
            held = freeze(self.segmentation.readSlice(segmentId, axis, index))
            if held and made.get(str(index)) != checksum(held):
                locked.add(index)
            yield
        SegmentTags.write(tags, SegmentTags.LOCKED, axisName, sorted(locked))
        occupied = self.memory.occupied(segmentId)
        self._credit(segmentId, {n: self.memory.known(segmentId, n) for n in occupied})

    def close(self) -> None:
        """Stops watching the scene; prompts go with a segmentation that was removed."""
        self.volume.close()
        scene = self._editorNode.GetScene()
        if scene is not None and self.segmentation.node.GetScene() is None:
            PromptNodes.removeOrphans(scene)

    @property
    def inPlace(self) -> bool:
        """Whether volume and segmentation still lie where they did; if not, their voxels may differ."""
        return _placeOf(self.volume.node, self.segmentation.node) == self._place

    @property
    def intact(self) -> bool:
        """Whether volume and segmentation are still in the scene."""
        nodes = (*self.volume.nodes, *self.segmentation.nodes)
        there = all(node.GetScene() is not None for node in nodes)
        return there and self.volume.node.GetImageData() is not None

    def whileIntact(self, steps: Iterator[None]) -> Iterator[None]:
        """Goes through these steps, and ends where the scene lost the volume or the segmentation."""
        while self.intact:
            try:
                next(steps)
            except StopIteration:
                return
            yield

    @property
    def shape_rc(self) -> tuple[int, int]:
        """Rows and columns of a slice."""
        rows, columns = (n for a, n in enumerate(self.volume.shape_kji) if a != self.axis.value)
        return rows, columns

    @property
    def spacing_ijk(self) -> tuple[float, float, float]:
        """Voxel size in mm along i, j and k."""
        return spacingOf(self.volume)

    @property
    def spacing_rc(self) -> tuple[float, float]:
        """Distance in mm between rows and between columns of a slice."""
        row, column = self.axis.rc_positions_ijk
        return self.spacing_ijk[row], self.spacing_ijk[column]

    @property
    def sliceCount(self) -> int:
        """Number of slices."""
        return self.volume.shape_kji[self.axis.value]

    def objectId(self, segmentId: str) -> int:
        """The engine's number of a segment: the same as long as this workspace lives."""
        return self._numbers.setdefault(segmentId, len(self._numbers) + 1)

    def segmentIdOf(self, objectId: int) -> str:
        """Undoes :meth:`objectId`."""
        return next(segment for segment, number in self._numbers.items() if number == objectId)

    def nameOf(self, segmentId: str) -> str:
        """The segment's name."""
        return str(self.segmentation.segment(segmentId).GetName())

    # Locks and ranges

    def locked(self, segmentId: str) -> set[int]:
        """The user's own slices."""
        segment = self.segmentation.tags(segmentId)
        return set(SegmentTags.read(segment, SegmentTags.LOCKED, self.axis.name, []))

    def _setLocked(self, segmentId: str, indices: set[int]) -> None:
        segment = self.segmentation.tags(segmentId)
        SegmentTags.write(segment, SegmentTags.LOCKED, self.axis.name, sorted(indices))

    def lock(self, segmentId: str, index: int) -> None:
        """Keeps the slice as it is now, also an empty one."""
        self._setLocked(segmentId, self.locked(segmentId) | {index})

    def unlock(self, segmentId: str, index: int) -> None:
        """Hands the slice back: the next run may replace what it holds."""
        self._setLocked(segmentId, self.locked(segmentId) - {index})
        self._credit(segmentId, {index: self.memory.known(segmentId, index)})

    def sliceRange(self, segmentId: str) -> tuple[int, int] | None:
        """The inclusive first and last slice to propagate over, if the user set them."""
        segment = self.segmentation.tags(segmentId)
        held = SegmentTags.read(segment, SegmentTags.RANGE, self.axis.name, None)
        return None if held is None else (int(held[0]), int(held[1]))

    def setSliceRange(self, segmentId: str, sliceRange: tuple[int, int] | None) -> None:
        """Limits propagation to these slices; None takes the limit away."""
        segment = self.segmentation.tags(segmentId)
        value = list(sliceRange) if sliceRange is not None else None
        SegmentTags.write(segment, SegmentTags.RANGE, self.axis.name, value)

    def isModels(self, segmentId: str, index: int) -> bool:
        """Whether the slice is as the model left it."""
        made = self.memory.modelMade(segmentId).get(index)
        return made is not None and made == checksum(self.memory.known(segmentId, index))

    def _credit(self, segmentId: str, slices: dict[int, Frozen]) -> None:
        made = self.memory.modelMade(segmentId)
        made.update({index: checksum(frozen) for index, frozen in slices.items()})
        self.memory.saveModelMade(segmentId, made)

    # Prompts and results

    def objectPrompts(self, segmentId: str) -> ObjectPrompts:
        """All that the engine is told of a segment.

        Raises:
            OutsideVolumeError: its box touches no voxel of the volume.
        """
        from medsam2.core.masks import PackedMask

        locked = {
            index: PackedMask.pack(self.segmentation.readSlice(segmentId, self.axis, index))
            for index in self.locked(segmentId)
        }
        return readPrompts(
            self.prompts.nodes(segmentId),
            self.volume,
            self.axis,
            locked,
            self.sliceRange(segmentId),
            self.nameOf(segmentId),
        )

    def promptedSegments(self) -> list[str]:
        """Ids of the segments that carry a prompt, in their order."""
        owners = {node.GetAttribute(PromptNodes.SEGMENT) for node in self.prompts.nodes()}
        return [segmentId for segmentId in self.segmentation.segmentIds if segmentId in owners]

    def promptedIndices(self, segmentId: str) -> list[int]:
        """Slices that carry a prompt other than a lock, ascending; none for a box outside."""
        from medsam2.core.errors import PromptError

        nodes = self.prompts.nodes(segmentId)
        try:
            return readPrompts(nodes, self.volume, self.axis).prompted_indices()
        except PromptError:
            return []  # Segment says what is wrong

    def writeModelSlice(
        self, segmentId: str, index: int, mask_rc: np.ndarray
    ) -> dict[str, tuple[Frozen, Frozen]] | None:
        """Puts a result of the model into the scene.

        Returns:
            What the slice held before and after, by segment: the given one, and those that it took
            voxels from where the user lets it. None where the user's own work stands: a locked
            slice, or one that was painted on since it was last looked at.
        """
        if index in self.locked(segmentId):
            return None
        before_rc = self.segmentation.readSlice(segmentId, self.axis, index)
        before = self.memory.known(segmentId, index)
        if not np.array_equal(before_rc, thaw(before, self.shape_rc)):
            return None
        wanted_rc = self._withLockedPlanes(segmentId, mask_rc, before_rc)
        with self.memory.writing():
            after_rc = self.segmentation.writeSlice(segmentId, self.axis, index, wanted_rc)
            after = self.memory.learn(segmentId, index, after_rc)
            return {segmentId: (before, after), **self._taken(segmentId, index)}

    def _taken(self, segmentId: str, index: int) -> dict[str, tuple[Frozen, Frozen]]:
        """What other segments have just lost on a slice; what was the model's still is."""
        if not overwrites(self._editorNode):
            return {}
        taken = {}
        for other in self.segmentation.segmentIds:
            before = self.memory.known(other, index)
            now_rc = self.segmentation.readSlice(other, self.axis, index)
            if other != segmentId and freeze(now_rc) != before:
                models = self.isModels(other, index)
                taken[other] = before, self.memory.learn(other, index, now_rc)
                if models:
                    self._credit(other, {index: taken[other][1]})
        return taken

    def credit(self, segmentId: str, slices: dict[int, Frozen]) -> None:
        """Notes that the model made these slices; once per run, for it rewrites a tag."""
        self._credit(segmentId, slices)

    def _withLockedPlanes(
        self, segmentId: str, mask_rc: np.ndarray, before_rc: np.ndarray
    ) -> np.ndarray:
        """The mask with the lines kept at which it crosses slices locked across other axes."""
        entries = SegmentTags.readAll(self.segmentation.tags(segmentId), SegmentTags.LOCKED)
        others = [name for name, indices in entries.items() if indices and name != self.axis.name]
        if not others:
            return mask_rc
        kept_rc = mask_rc.copy()
        rowAxis, columnAxis = (name for name in "KJI" if name != self.axis.name)
        for name in others:
            if name == rowAxis:
                kept_rc[entries[name], :] = before_rc[entries[name], :]
            elif name == columnAxis:
                kept_rc[:, entries[name]] = before_rc[:, entries[name]]
        return kept_rc

    # What happened in the scene meanwhile

    def observe(self, step: Step, *, patiently: bool) -> Iterator[None]:
        """Notes in ``step`` what changed since the last look, a slice at each step; locks edits.

        Prompts come last, so that a look that is not finished is simply taken again.

        Args:
            step: where changes are noted.
            patiently: whether prompts that still move (a handle being dragged) are left for later.
        """
        self.segmentation.shareSegments()
        for segmentId in self.segmentation.segmentIds:
            if self.segmentation.segment(segmentId) is None:
                continue  # removed while others were looked at
            if segmentId not in self._adopted:
                yield from self._adopt(segmentId)
                continue
            edited = set()
            for change in self.memory.changes(segmentId):
                if change is not None:
                    index, before, after = change
                    step.noteSlice(self.key(segmentId, index), before, after)
                    edited.add(index)
                yield
            if edited and self.segmentation.segment(segmentId) is not None:
                before = self.facts(segmentId)
                self._setLocked(segmentId, self.locked(segmentId) | edited)
                step.noteFacts(segmentId, before, self.facts(segmentId))
        self._dropOrphans()
        now = self.prompts.snapshot()
        moving, self._moving = now != self._moving, now
        if now != self._prompts and not (patiently and moving):
            step.prompts = (self._prompts, now)
            self._prompts = now

    def _dropOrphans(self) -> None:
        """Takes away the prompts of segments that were removed: nothing lists them any more."""
        gone = self._adopted - set(self.segmentation.segmentIds)
        if not gone:
            return
        self._adopted -= gone
        for segmentId in gone:
            for node in self.prompts.nodes(segmentId):
                self.prompts.remove(node)
        self._prompts, self._moving = (
            {identity: held for identity, held in snapshot.items() if held["segment"] not in gone}
            for snapshot in (self._prompts, self._moving)
        )

    def key(self, segmentId: str, index: int) -> SliceKey:
        """How history names a slice."""
        return segmentId, self.axis.name, index

    def facts(self, segmentId: str) -> dict[str, Any]:
        """The segment's tags, for undo."""
        return SegmentTags.facts(self.segmentation.tags(segmentId))

    def apply(self, step: Step) -> Iterator[None]:
        """Makes the scene what it is after ``step``, a slice or a segment's tags at each step."""
        from medsam2.core.geometry import SliceAxis

        surfaces = dropSurfaces(self.segmentation.node) if step.slices else {}
        for (segmentId, axisName, index), (_, after) in step.slices.items():
            if self.segmentation.segment(segmentId) is not None:
                self._applySlice(segmentId, SliceAxis[axisName], index, after)
            yield
        yield from showSurfaces(self.segmentation.node, surfaces)
        for segmentId, (_, held) in step.facts.items():
            segment = self.segmentation.tags(segmentId)
            if segment is not None:
                SegmentTags.setFacts(segment, held)
            yield
        if step.prompts is not None:
            self.prompts.restore(step.prompts[1])
            self._prompts = self._moving = self.prompts.snapshot()

    def _applySlice(self, segmentId: str, axis: SliceAxis, index: int, frozen: Frozen) -> None:
        shape_rc = [n for a, n in enumerate(self.volume.shape_kji) if a != axis.value]
        mask_rc = thaw(frozen, (shape_rc[0], shape_rc[1]))
        with self.memory.writing():
            after_rc = self.segmentation.writeSlice(segmentId, axis, index, mask_rc, masked=False)
            if axis is self.axis:
                self.memory.learn(segmentId, index, after_rc)


def _placeOf(volume: vtk.vtkObject, segmentation: vtk.vtkObject) -> tuple[Any, ...]:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    cells = [matrix.GetElement(row, column) for row in range(3) for column in range(4)]
    return volume.GetTransformNodeID(), segmentation.GetTransformNodeID(), cells
