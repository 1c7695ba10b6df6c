"""``make screenshots``: the pictures of the README, made by using the module.

A user draws, segments, paints and updates on the shipped volume, with LiteMedSAM in this process. The
views are Slicer's own; what is around them is drawn by the tests' stand-in for Slicer's windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
import stage

OUTPUT = stage.REPOSITORY / "Resources" / "Screenshots"
ORANGE, BLUE, GREEN = (0.95, 0.55, 0.15), (0.25, 0.6, 0.95), (0.4, 0.8, 0.35)
PANEL_TOP = 390
"""Height of the part of the panel that the three clicks need."""

SECTIONS = ("editorSection", "displaySection", "computeSection", "exportSection")
MUSCLE_RC, MUSCLE_SLICE, MUSCLE_DEPTH = (48, 0, 88, 58), 37, (30, 43)
CANAL_RC, CANAL_SLICE, CANAL_DEPTH = (0, 70, 38, 108), 42, (37, 46)


class Shots:
    """Takes pictures of a user's screen.

    Args:
        user: at the module.
        output: the folder.
    """

    def __init__(self, user: Any, output: Path) -> None:
        self.user, self.output = user, output

    def panel(self, state: str) -> None:
        """The panel in both palettes."""
        for name in ("light", "dark"):
            with pictures.palette(name):
                self._write(pictures.panel(self.user), f"panel-{state}-{name}")

    def top(self, name: str, *views: str) -> None:
        """The upper part of the panel beside views."""
        shown = pictures.top(pictures.panel(self.user), PANEL_TOP)
        self._write(pictures.beside([shown, *(pictures.view(self.user, v) for v in views)]), name)

    def window(self, name: str) -> None:
        """Panel and all views."""
        self._write(pictures.window(self.user), name)

    def _write(self, image: Any, name: str) -> None:
        pictures.write(image, self.output / f"{name}.png")


def three_clicks(user: Any, shots: Shots) -> None:
    """From an opened module to a segmentation."""
    stage.open_demo(user)
    shots.panel("opened")
    user.draw_box(stage.TUMOUR_SLICE, stage.TUMOUR_RC, stage.TUMOUR_DEPTH)
    stage.describe_segment(user, "Tumour", ORANGE)
    color_prompts(user, ORANGE)
    user.settle(2)
    shots.panel("box")
    shots.top("box", "Red")
    user.press("segment")
    stage.wait_until(user, lambda: user.logic.run.progress.done >= 8)
    shots.panel("running")
    shots.top("running", "Green")
    stage.wait_until(user, lambda: False)
    user.settle(0.5)
    stage.show_surface(user)
    shots.window("window")
    with pictures.palette("dark"):
        shots.window("window-dark")


def correction(user: Any, shots: Shots) -> None:
    """A stroke of the brush, and what an update makes of it."""
    import standin

    index = 26
    widget = user.view_showing(index)
    user.ui.editorWidget.setActiveEffectByName("Paint")
    user.ui.editorWidget.activeEffect().setParameter("BrushAbsoluteDiameter", 12)
    standin.mouse.drag(widget, [user.point(index, 66, 80), user.point(index, 76, 70)])
    user.ui.editorWidget.setActiveEffectByName("")
    user.settle(0.5)
    shots.top("painted", "Red")
    user.run("both")
    user.settle(0.5)
    shots.panel("corrected")
    shots.window("corrected")


def sections(user: Any, shots: Shots) -> None:
    """Every section open."""
    for name in SECTIONS:
        getattr(user.ui, name).collapsed = False
    user.settle(0.5)
    shots.panel("sections")
    for name in SECTIONS:
        getattr(user.ui, name).collapsed = True
    user.settle()


def several(user: Any, shots: Shots) -> None:
    """Two more segments in one pass."""
    for name, color, index, box_rc, depth in (
        ("Muscle", BLUE, MUSCLE_SLICE, MUSCLE_RC, MUSCLE_DEPTH),
        ("Anal canal", GREEN, CANAL_SLICE, CANAL_RC, CANAL_DEPTH),
    ):
        user.press("addSegment")
        user.draw_box(index, box_rc, depth)
        stage.describe_segment(user, name, color)
        color_prompts(user, color)
    user.run("segmentAll")
    user.settle(1)
    stage.show_surface(user)
    shots.window("several")


def color_prompts(user: Any, color: tuple[float, float, float]) -> None:
    """Prompts in the colour of their segment."""
    for node in user.workspace.prompts.nodes(user.segment_id):
        node.GetDisplayNode().SetSelectedColor(*color)
        node.GetDisplayNode().SetColor(*color)


def main() -> None:
    """Makes them all."""
    user = stage.start()
    shots = Shots(user, OUTPUT)
    three_clicks(user, shots)
    correction(user, shots)
    sections(user, shots)
    several(user, shots)
    if user.slicer.errors:
        raise RuntimeError(user.slicer.errors)


if __name__ == "__main__":
    main()
