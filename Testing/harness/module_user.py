"""A user at the module: what a radiologist does, in the stand-in, with the mouse where they would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import standin

MODULE = Path(__file__).resolve().parents[2] / "MedSAM2Slicer" / "MedSAM2Slicer.py"
PATIENCE_SECONDS = 60.0


class User:
    """Loads the module and works with it.

    Args:
        slicer: the stand-in.
        backend: answers instead of the one that the settings name; a factory, called in the worker.
    """

    def __init__(self, slicer: Any, backend: Any = None) -> None:
        self.slicer = slicer
        self.loaded = slicer.load_module(MODULE)
        self.panel = self.loaded.widget.panel
        self.ui, self.logic, self.view = self.panel.ui, self.panel.logic, self.panel.view
        if backend is not None:
            self.logic.compute = type(self.logic.compute)(backend)
        self.loaded.enter()

    @property
    def workspace(self) -> Any:
        """The module's workspace."""
        return self.logic.workspace()

    @property
    def segment_id(self) -> str:
        """The current segment."""
        return str(self.logic.currentSegment())

    def choose(self, volume: Any) -> None:
        """Shows a volume in the slice views and selects it in the panel."""
        standin.volumes.show(self.slicer, volume)
        self.ui.volumeSelector.setCurrentNode(volume)
        self.settle()

    def settle(self, seconds: float = 0.0) -> None:
        """Does nothing until the module has taken up all that was done.

        Its timers would look again after a while; here they look at once, and twice, since what
        still moves at the first look is left for the second.
        """
        standin.pump(seconds)
        for _ in range(2):  # none is begun while a chore of another kind is under way
            assert standin.pump(PATIENCE_SECONDS, until=lambda: not self.logic.busy)
            self.logic.settle()
            assert standin.pump(PATIENCE_SECONDS, until=lambda: not self.logic.busy)
        standin.pump(0.1)

    def press(self, name: str) -> None:
        """Clicks a button of the panel, as a user can: when it is enabled."""
        standin.pump(0.1)
        button = getattr(self.ui, f"{name}Button")
        assert button.enabled, f"{name} is greyed out: {self.ui.statusLabel.text}"
        button.click()

    def run(self, name: str = "segment") -> None:
        """Presses a button that starts a run, and waits until it is over."""
        self.press(name)
        assert standin.pump(PATIENCE_SECONDS, until=lambda: self.logic.run is None)
        self.settle()

    def view_showing(self, index: int) -> Any:
        """Scrolls to a slice; returns the slice view that lies along the workspace's axis."""
        self.view.slices.goTo(index)
        for name in self.slicer.layoutManager.sliceViewNames():
            widget = self.slicer.sliceWidget(name)
            axis, shown, _ = self.workspace.volume.sliceOf(widget.mrmlSliceNode())
            if axis is self.workspace.axis:
                assert shown == index
                return widget
        raise AssertionError("no view lies along the axis")

    def point(self, index: int, row: float, column: float) -> np.ndarray:
        """The world point of a place on a slice."""
        workspace = self.workspace
        return workspace.volume.ijkToRas(workspace.axis.join_ijk(index, (row, column)))

    def click(self, index: int, *places_rc: Sequence[float]) -> None:
        """Clicks places of a slice, one after the other."""
        widget = self.view_showing(index)
        for row, column in places_rc:
            standin.mouse.click(widget, self.point(index, row, column))

    def draw_box(self, index: int, box_rc: Sequence[float], depth: tuple[int, int]) -> Any:
        """Draws the box with two clicks and sets its depth, as its handles would."""
        from MedSAM2SlicerLib.Placement import placeBox

        self.press("drawBox")
        self.click(index, box_rc[:2], box_rc[2:])
        self.settle()
        roi = self.workspace.prompts.roi(self.segment_id)
        axis, volume = self.workspace.axis, self.workspace.volume
        low = axis.join_ijk(depth[0] - 0.5, (box_rc[0], box_rc[1]))
        high = axis.join_ijk(depth[1] + 0.5, (box_rc[2], box_rc[3]))
        placeBox(roi, volume, np.array(low), np.array(high))
        self.settle()
        return roi

    def masks(self, segment_id: str | None = None) -> dict[int, np.ndarray]:
        """Every slice of a segment, as the scene holds it."""
        workspace = self.workspace
        return {
            index: workspace.segmentation.readSlice(
                segment_id or self.segment_id, workspace.axis, index
            )
            for index in range(workspace.sliceCount)
        }

    def paint(self, index: int, mask_rc: np.ndarray, segment_id: str | None = None) -> None:
        """Leaves a mask on a slice through the Segment Editor's logic, as any effect of it does."""
        from MedSAM2SlicerLib.SegmentationBridge import SegmentationBridge

        workspace = self.workspace
        editor = SegmentationBridge(
            workspace.segmentation.node, workspace.volume, self.logic.parameters.editor
        )
        editor.writeSlice(segment_id or self.segment_id, workspace.axis, index, mask_rc)
        self.settle()
