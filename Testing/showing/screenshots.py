"""``make screenshots``: the pictures of the README, made by using the module.

A user draws, segments, paints and updates on the shipped volume, with LiteMedSAM in this process. The
views are Slicer's own; what is around them is drawn by the tests' stand-in for Slicer's windows.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pictures
import stage

OUTPUT = stage.REPOSITORY / "Resources" / "Screenshots"
ORANGE = (0.95, 0.55, 0.15)
PANEL_TOP = 390
"""Height of the part of the panel that the three clicks need."""

SECTIONS = ("editorSection", "displaySection", "computeSection", "exportSection")
ERASED_SLICE, CORE_RC, CORE_RADIUS, BRUSH_MM = 13, (65, 58), 19, 14
"""Where the model takes more than the tumour: a ring around its dark core."""

NEAR = (60, 0, 360, 330)
"""The part of a view that matters there: left, top, right, bottom."""

DIAMETER_RC = ((36, 46), (82, 72))
OTHERS = (
    ("Muscle 1", (0.25, 0.6, 0.95), 5, (0, 41, 33, 64), (0, 10)),
    ("Muscle 2", (0.75, 0.45, 0.9), 5, (3, 101, 56, 120), (0, 9)),
    ("Muscle 3", (0.4, 0.8, 0.35), 42, (0, 70, 38, 108), (37, 45)),
)
"""Name, colour, slice of the box, the box, first and last slice."""


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

    def part(self, name: str, first: str, below: str) -> None:
        """The panel from one of its widgets to just above another."""
        shown, host = pictures.panel(self.user), self.user.loaded.host
        start, end = (
            getattr(self.user.ui, n).mapTo(host, host.rect.topLeft()).y() for n in (first, below)
        )
        self._write(shown.crop((0, start - 4, shown.width, end - 4)), name)

    def window(self, name: str) -> None:
        """Panel and all views."""
        self._write(pictures.window(self.user), name)

    def row(self, name: str, *images: Any) -> None:
        """Pictures side by side."""
        self._write(pictures.beside(images), name)

    def _write(self, image: Any, name: str) -> None:
        path = self.output / f"{name}.png"
        pictures.write(image, path)
        print(f"Wrote {path} ({path.stat().st_size // 1000} kB)", flush=True)


def three_clicks(user: Any, shots: Shots) -> None:
    """From an opened module to a segmentation."""
    stage.open_demo(user)
    shots.panel("opened")
    user.draw_box(stage.TUMOUR_SLICE, stage.TUMOUR_RC, stage.TUMOUR_DEPTH)
    paint_over(user, "Tumour", ORANGE)
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


def diameter(user: Any, shots: Shots) -> None:
    """Another prompt than a box: the preview of a diameter."""
    stage.open_demo(user)
    user.press("line")
    user.click(stage.TUMOUR_SLICE, *DIAMETER_RC)
    paint_over(user, "Tumour", ORANGE)
    user.settle(2)
    shots.top("diameter", "Red")
    user.slicer.close_scene()
    user.settle()


def correction(user: Any, shots: Shots) -> None:
    """A stroke that takes away what is too much, and what an update makes of it."""
    import standin

    before = close_up(user)
    widget = user.view_showing(ERASED_SLICE)
    user.ui.editorWidget.setActiveEffectByName("Erase")
    user.ui.editorWidget.activeEffect().setParameter("BrushAbsoluteDiameter", BRUSH_MM)
    angles = [2 * math.pi * step / 24 for step in range(25)]
    row, column = CORE_RC
    ring = [(row + CORE_RADIUS * math.sin(a), column + CORE_RADIUS * math.cos(a)) for a in angles]
    standin.mouse.drag(widget, [user.point(ERASED_SLICE, *place_rc) for place_rc in ring])
    user.ui.editorWidget.setActiveEffectByName("")
    user.settle(0.5)
    corrected = close_up(user)
    user.run("both")
    user.settle(0.5)
    shots.panel("updated")
    shots.row("correction", before, corrected, close_up(user))
    stage.show_surface(user)
    shots.window("updated")


def close_up(user: Any) -> Any:
    """The corrected slice, and below it the tumour from the side."""
    user.view_showing(ERASED_SLICE)
    middle_ras = user.point(ERASED_SLICE, *CORE_RC)
    user.slicer.sliceWidget("Yellow").mrmlSliceNode().JumpSliceByOffsetting(*middle_ras)
    return pictures.above([pictures.view(user, name).crop(NEAR) for name in ("Red", "Yellow")])


def sections(user: Any, shots: Shots) -> None:
    """Every section open."""
    for name in SECTIONS:
        getattr(user.ui, name).collapsed = False
    user.settle(0.5)
    shots.panel("sections")
    shots.part("compute", "computeSection", "exportSection")
    for name in SECTIONS:
        getattr(user.ui, name).collapsed = True
    user.settle()


def several(user: Any, shots: Shots) -> None:
    """More segments, in one pass."""
    for name, color, index, box_rc, depth in OTHERS:
        user.press("addSegment")
        user.draw_box(index, box_rc, depth)
        paint_over(user, name, color)
    user.run("segmentAll")
    user.settle(1)
    stage.show_surface(user)
    shots.window("several")


def paint_over(user: Any, name: str, color: tuple[float, float, float]) -> None:
    """Gives the current segment and its prompts a name and a colour that tell them apart."""
    stage.describe_segment(user, name, color)
    for node in user.workspace.prompts.nodes(user.segment_id):
        node.GetDisplayNode().SetSelectedColor(*color)
        node.GetDisplayNode().SetColor(*color)


def main() -> None:
    """Makes them all."""
    user = stage.start()
    shots = Shots(user, OUTPUT)
    diameter(user, shots)
    three_clicks(user, shots)
    correction(user, shots)
    sections(user, shots)
    several(user, shots)
    stage.finish(user)


if __name__ == "__main__":
    main()
