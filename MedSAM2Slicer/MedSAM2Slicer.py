"""MedSAM2Slicer: draw a box, get the structure through all slices, correct any slice and keep it."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

import slicer
from MedSAM2SlicerLib import Paths

HELP = _(
    "Draw a box around a structure with two clicks, press Segment, and correct any slice with the "
    "painting tools; corrected slices are kept and inform their neighbours. Points, diameters, "
    "scribbles and outlines work too. Computes on this computer or on a server. "
    "For research, not for diagnosis or treatment."
)
ACKNOWLEDGEMENT = _(
    "Models: LiteMedSAM and MedSAM (Ma et al., Nature Communications 2024), SAM 2 (Ravi et al., "
    "arXiv:2408.00714), MedSAM2 (Ma et al., arXiv:2504.03600). Each has a licence of its own."
)


class MedSAM2Slicer(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MedSAM2")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "Markups", "Volumes", "Sequences"]
        self.parent.contributors = ["MedSAM2Slicer contributors"]
        self.parent.helpText = HELP
        self.parent.acknowledgementText = ACKNOWLEDGEMENT
        slicer.app.connect("startupCompleted()", _registerSampleData)


def _registerSampleData() -> None:
    from MedSAM2SlicerLib import SampleData

    SampleData.registerSampleData()


class MedSAM2SlicerWidget(ScriptedLoadableModuleWidget):
    """The panel; all it does is in :mod:`MedSAM2SlicerLib.Widget`."""

    def setup(self) -> None:
        """Loads the panel and ties it to the logic."""
        ScriptedLoadableModuleWidget.setup(self)
        from MedSAM2SlicerLib.Panel import Panel

        self.panel = Panel(self.layout)
        if getattr(self.parent, "isEntered", False):  # reloaded while it is shown
            self.panel.enter()

    def enter(self) -> None:
        """Called when the module is shown."""
        self.panel.enter()

    def exit(self) -> None:
        """Called when another module is shown."""
        self.panel.exit()

    def cleanup(self) -> None:
        """Called when the module is unloaded or Slicer closes."""
        self.panel.cleanup()


class MedSAM2SlicerLogic(ScriptedLoadableModuleLogic):
    """The module's logic is in its panel.

    Scripts take ``slicer.modules.medsam2slicer.widgetRepresentation().self().panel.logic``.
    """


class MedSAM2SlicerTest(ScriptedLoadableModuleTest):
    """Runs the scenarios of ``Testing/Python`` where a source checkout has them."""

    def runTest(self) -> None:
        """Called by "Reload and Test"."""
        from slicer import testing

        tests = Path(Paths.MODULE_DIRECTORY).parent / "Testing" / "Python"
        if not tests.is_dir():
            self.delayDisplay(_("The tests come with the source code only."))
            return
        testing.runUnitTest(str(tests), "MedSAM2SlicerSelfTest")
