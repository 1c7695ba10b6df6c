"""A sequence of volumes as the engine's volume: one slice of space, followed through time.

The engine sees voxels ``[T, rows, columns]`` and propagates across their first axis, so its slice
indices are frames, numbered as the sequence browser numbers its items. In ``ijk`` the last number is
the frame: points of the patient have none of their own, they get that of the prompt they belong to.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk

import slicer

from . import PromptNodes
from .Signal import Signal
from .VolumeBridge import VolumeBridge, checkComponents, modality

if TYPE_CHECKING:
    from medsam2.core.geometry import BoxIJK, SliceAxis
    from medsam2.core.volume import Volume

BEFORE_SLICER = 10.0
"""Priority of an observer that is called before Slicer updates what the browser shows."""


@dataclasses.dataclass(frozen=True)
class Plane:
    """The slice of space that is followed through time."""

    axis: SliceAxis
    index: int

    @property
    def name(self) -> str:
        """``K 10``: as it is shown and saved."""
        return f"{self.axis.name} {self.index}"


def browserOf(volume: vtk.vtkObject | None) -> vtk.vtkObject | None:
    """The sequence browser that shows its frames in this volume node; None if there is no such."""
    if volume is None:
        return None
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volume)
    return browser if browser is not None and browser.GetNumberOfItems() > 1 else None


def planeNamed(name: str, volume: vtk.vtkObject) -> Plane:
    """The plane of that name; where it names none, the middle of the volume's shortest axis."""
    from medsam2.core.geometry import SliceAxis

    shape_kji = VolumeBridge(volume).shape_kji
    axisName, _, number = name.partition(" ")
    if axisName in SliceAxis.__members__ and number.isdigit():
        axis = SliceAxis[axisName]
        if int(number) < shape_kji[axis.value]:
            return Plane(axis, int(number))
    axis = SliceAxis(int(np.argmin(shape_kji)))
    return Plane(axis, shape_kji[axis.value] // 2)


def planeInView(volume: vtk.vtkObject, sliceNodes: Iterable[vtk.vtkObject]) -> Plane:
    """The slice that the first of the views shows; a volume of one slice has no other."""
    bridge = VolumeBridge(volume)
    planes = [Plane(*bridge.sliceOf(node)[:2]) for node in sliceNodes]
    if 1 in bridge.shape_kji or not planes:
        return planeNamed("", volume)
    return next((plane for plane in planes if plane.axis is bridge.defaultAxis()), planes[0])


class FrameNodes:
    """The nodes of a sequence by frame; looking them up takes long, so they are kept.

    Args:
        browser: whose items are the frames.
        sequence: that is shown in it.
        exact: whether a frame that the sequence lacks has no node, or the one before it.
    """

    def __init__(self, browser: vtk.vtkObject, sequence: vtk.vtkObject, *, exact: bool) -> None:
        self._browser, self._sequence, self._exact = browser, sequence, exact
        self._nodes: list[vtk.vtkObject | None] = []
        self._key: tuple[Any, ...] = ()

    def nodes(self) -> list[vtk.vtkObject | None]:
        """One for each frame."""
        values = self._browser.GetMasterSequenceNode()
        count = self._browser.GetNumberOfItems()
        key = (count, values, values and values.GetMTime(), self._sequence.GetMTime())
        if key != self._key:
            names = [values.GetNthIndexValue(frame) for frame in range(count)]
            self._nodes = [self._sequence.GetDataNodeAtValue(one, self._exact) for one in names]
            self._key = key
        return self._nodes


class CineBridge:
    """The counterpart of :class:`VolumeBridge` where slices are frames.

    Args:
        node: the volume node in which a sequence browser shows its frames.
        plane: the slice of it that is followed.

    Signals: ``leaving(frame)`` before another frame is shown, while the scene still shows that one;
    ``moved()`` once another frame was chosen.

    Threading: main thread; what :meth:`snapshotLater` returns is for the worker.
    """

    isSpatial = False

    def __init__(self, node: vtk.vtkObject, plane: Plane) -> None:
        self.node = node
        self.space = VolumeBridge(node)
        self.plane = plane
        self.browser = browserOf(node)
        self.sequence = self.browser.GetSequenceNode(node)
        self._frames = FrameNodes(self.browser, self.sequence, exact=False)
        self.leaving, self.moved = Signal(), Signal()
        self._placed: int | None = None
        self._shown = self.frame
        self._tag = self.browser.AddObserver(
            vtk.vtkCommand.ModifiedEvent, self._onBrowser, BEFORE_SLICER
        )

    @property
    def nodes(self) -> tuple[vtk.vtkObject, ...]:
        """What must stay in the scene."""
        return self.node, self.sequence, self.browser

    def close(self) -> None:
        """Stops watching the browser."""
        self.browser.RemoveObserver(self._tag)

    def _onBrowser(self, *_event: Any) -> None:
        if self.frame != self._shown:
            self.leaving.emit(self._shown)
            self._shown = self.frame
            self.moved.emit()

    # Frames

    @property
    def frame(self) -> int:
        """The frame in view, or that of the prompt that this bridge was made for."""
        if self._placed is not None:
            return self._placed
        return max(0, self.browser.GetSelectedItemNumber())

    @property
    def shown(self) -> int:
        """The frame that the scene shows; while :attr:`leaving` is emitted still the old one."""
        return self._shown

    @property
    def frameCount(self) -> int:
        """Number of frames."""
        return int(self.browser.GetNumberOfItems())

    def valueOf(self, frame: int) -> str:
        """What names the frame in the sequences of the browser: its time, as text."""
        return str(self.browser.GetMasterSequenceNode().GetNthIndexValue(frame))

    def volumeOf(self, frame: int) -> VolumeBridge:
        """One frame in space, without the transforms above it."""
        return VolumeBridge(self._frames.nodes()[frame])

    def select(self, index: int) -> None:
        """Shows a frame in all views."""
        self.browser.SetSelectedItemNumber(index)

    def inSpace(self, _axis: SliceAxis, _index: int) -> tuple[VolumeBridge, SliceAxis, int]:
        """Where any frame lies in space; see :meth:`VolumeBridge.inSpace`."""
        return self.space, self.plane.axis, self.plane.index

    @property
    def sliceName(self) -> str:
        """What a slice is called."""
        return "Frame" if 1 in self.space.shape_kji else f"Slice {self.plane.name}, frame"

    # The engine's volume

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Number of frames, rows and columns."""
        rows, columns = (
            n for a, n in enumerate(self.space.shape_kji) if a != self.plane.axis.value
        )
        return self.frameCount, rows, columns

    @property
    def affine_ijk_to_ras(self) -> np.ndarray:
        """The plane's pixels to the volume node's own RAS; frames lie as far apart as slices do."""
        affine = self.space.affine_ijk_to_ras
        row, column = self.plane.axis.rc_positions_ijk
        across = self.plane.axis.ijk_position
        ofPlane = np.eye(4)
        ofPlane[:3, :3] = affine[:3, [column, row, across]]
        ofPlane[:3, 3] = affine[:3, 3] + self.plane.index * affine[:3, across]
        return ofPlane

    def fingerprint(self) -> tuple[Any, ...]:
        """Changes whenever a frame's voxels or their place do."""
        images = [node.GetImageData() for node in self._frames.nodes()]
        scalars = [image and image.GetPointData().GetScalars() for image in images]
        times = [one and one.GetMTime() for one in scalars]
        return self.sequence.GetID(), self.plane, *self.affine_ijk_to_ras.ravel(), *times

    def snapshotLater(self) -> Callable[[], Volume]:
        """See :meth:`VolumeBridge.snapshotLater`; frames are gathered and copied in the worker."""
        frames = [slicer.util.arrayFromVolume(node) for node in self._frames.nodes()]
        facts = self.affine_ijk_to_ras, modality(self.node), self.node.GetName()
        plane = self.plane

        def snapshot() -> Volume:
            from medsam2.core.errors import NotAVolumeError
            from medsam2.core.volume import Volume

            checkComponents(frames[0], facts[2])
            if len({(voxels_kji.shape, voxels_kji.dtype) for voxels_kji in frames}) > 1:
                msg = (
                    f"The frames of {facts[2]} differ in size or type; resample them to one grid "
                    "before propagating through time."
                )
                raise NotAVolumeError(msg)
            planes = [np.moveaxis(one, plane.axis.value, 0)[plane.index] for one in frames]
            return Volume(np.stack(planes), *facts)

        return snapshot

    # Places

    def at(self, prompt: vtk.vtkObject) -> CineBridge | None:
        """The bridge for a prompt's points: on its frame; None for one on another slice."""
        frame = PromptNodes.frameOf(prompt)
        if frame is None or frame >= self.frameCount or not self._onPlane(prompt):
            return None
        placed = copy.copy(self)
        placed._placed = frame
        return placed

    def _onPlane(self, prompt: vtk.vtkObject) -> bool:
        from medsam2.core.errors import OutsideVolumeError

        index, across = self.plane.index, self.plane.axis.ijk_position
        if not prompt.IsA("vtkMRMLMarkupsROINode"):
            points_ijk = self.space.rasToIjk(PromptNodes.points_ras(prompt))
            return bool((np.abs(points_ijk[:, across] - index) <= 0.5 + 1e-6).all())
        try:
            (first, last), _ = self.plane.axis.split_box(self.space.boxOf(prompt))
        except OutsideVolumeError:
            return False
        return first <= index <= last

    def rasToIjk(self, points_ras: Any) -> np.ndarray:
        """World points ``[..., 3]`` to column, row and frame."""
        points_ijk = self.space.rasToIjk(points_ras)
        row, column = self.plane.axis.rc_positions_ijk
        frames = np.full(points_ijk.shape[:-1], float(self.frame))
        return np.stack([points_ijk[..., column], points_ijk[..., row], frames], axis=-1)

    def ijkToRas(self, points_ijk: Any) -> np.ndarray:
        """Columns and rows ``[..., 3]`` to world points; the frame makes no difference."""
        points = np.asarray(points_ijk, dtype=float)
        row, column = self.plane.axis.rc_positions_ijk
        inSpace_ijk = np.full(points.shape, float(self.plane.index))
        inSpace_ijk[..., column], inSpace_ijk[..., row] = points[..., 0], points[..., 1]
        return self.space.ijkToRas(inSpace_ijk)

    def boxOf(self, roi: vtk.vtkObject) -> BoxIJK:
        """A ROI's footprint on the plane, on its frame.

        Raises:
            OutsideVolumeError: the ROI touches no voxel.
        """
        _, (row0, column0, row1, column1) = self.plane.axis.split_box(self.space.boxOf(roi))
        return column0, row0, self.frame, column1, row1, self.frame

    def defaultAxis(self) -> SliceAxis:
        """Time, in the engine's volume."""
        from medsam2.core.geometry import SliceAxis

        return SliceAxis.K

    def sliceOf(self, sliceNode: vtk.vtkObject) -> tuple[SliceAxis, int, float]:
        """See :meth:`VolumeBridge.sliceOf`: a view along the plane shows the frame."""
        from medsam2.core.geometry import SliceAxis

        axis, _, degrees = self.space.sliceOf(sliceNode)
        across = SliceAxis.K if axis is self.plane.axis else SliceAxis.J
        return across, self.frame, degrees
