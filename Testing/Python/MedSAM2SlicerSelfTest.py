"""The module's main scenarios inside the real application.

Slicer runs this file by ctest, or by "Reload and Test" in a checkout. It needs no model: a backend
that thresholds stands in for one. `make test` has no Slicer; there all but the panel's test run on the
stand-in (Testing/slicer/test_self_test.py).
"""

from __future__ import annotations

import sys
import tempfile
import time
import unittest
from pathlib import Path

import slicer

CHECKOUT = Path(__file__).resolve().parents[2]
DEMO = CHECKOUT / "Testing" / "data" / "demo"
PATIENCE_SECONDS = 120.0


def makeLogic() -> object:
    """The module's logic on the application's scene, with a backend that needs no model."""
    from MedSAM2SlicerLib import Paths
    from MedSAM2SlicerLib.Logic import SegmentationLogic

    Paths.useBundledServer()
    sys.path.append(str(CHECKOUT / "Testing" / "harness"))
    from fake_backend import FakeBackend

    return SegmentationLogic(slicer.mrmlScene, FakeBackend)


def finish(logic: object) -> None:
    """Ticks as the panel's timer does, until nothing is under way."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while logic.busy:
        if time.monotonic() > deadline:
            raise TimeoutError
        logic.tick()
        time.sleep(0.005)


class MedSAM2SlicerSelfTest(unittest.TestCase):
    """From a box to a segmentation, and what the user may do afterwards."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
        self.volume = slicer.util.loadVolume(str(DEMO / "mr_t1.nii.gz"))
        self.logic = makeLogic()
        self.logic.parameters.volume = self.volume
        self.segmentId = self.logic.currentSegment()
        roi = slicer.util.loadMarkups(str(DEMO / "roi.mrk.json"))
        self.logic.workspace().prompts.adopt(roi, self.segmentId)

    def tearDown(self) -> None:
        self.logic.stop()
        slicer.mrmlScene.Clear(0)

    def segment(self) -> None:
        self.logic.segment()
        finish(self.logic)

    def filled(self) -> list[int]:
        """The slices that hold voxels of the segment."""
        return [n for n, state in enumerate(self.logic.sliceStates()) if state.filled]

    def mask_kji(self):
        return slicer.util.arrayFromSegmentBinaryLabelmap(
            self.logic.parameters.segmentation, self.segmentId, self.volume
        ).copy()

    def test_a_box_becomes_a_segmentation(self) -> None:
        before = slicer.util.arrayFromVolume(self.volume).copy()
        self.segment()
        assert len(self.filled()) > 10
        assert (slicer.util.arrayFromVolume(self.volume) == before).all()

    def test_a_locked_slice_is_kept_by_the_next_run(self) -> None:
        self.segment()
        index = self.filled()[3]
        workspace = self.logic.workspace()
        drawn = workspace.segmentation.readSlice(self.segmentId, workspace.axis, index)
        drawn[:5, :5] = True
        workspace.segmentation.writeSlice(self.segmentId, workspace.axis, index, drawn)
        self.segment()
        kept = workspace.segmentation.readSlice(self.segmentId, workspace.axis, index)
        assert (kept == drawn).all()
        assert self.logic.sliceStates()[index].locked

    def test_undo_and_redo_take_a_whole_run(self) -> None:
        self.segment()
        made = self.mask_kji()
        self.logic.undo()
        finish(self.logic)
        assert self.filled() == []
        self.logic.redo()
        finish(self.logic)
        assert (self.mask_kji() == made).all()

    def test_a_saved_scene_goes_on(self) -> None:
        self.segment()
        made = self.mask_kji()
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "case.mrb")
            assert slicer.util.saveScene(path)
            self.logic.forgetWorkspace()
            slicer.mrmlScene.Clear(0)
            slicer.util.loadScene(path)
        self.volume = self.logic.parameters.volume
        self.segmentId = self.logic.currentSegment()
        assert (self.mask_kji() == made).all()
        assert self.logic.workspace().prompts.roi(self.segmentId) is not None

    def test_the_panel_opens_and_closes(self) -> None:
        slicer.util.selectModule("MedSAM2Slicer")
        widget = slicer.util.getModuleWidget("MedSAM2Slicer")
        assert widget.panel.ui.segmentButton.visible
        slicer.util.selectModule("Data")


if __name__ == "__main__":
    unittest.main()
