"""The third part of ``make bench``: what the Slicer module costs on the main thread.

Measured on the stand-in, whose views are drawn by software; a figure that contains drawing says so.
What a graphics card would draw in a moment takes tens of milliseconds here, so it has no aim.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import stage
import standin
from fake_backend import FakeBackend

from medsam2.bench.table import Row, measure

MODULE = stage.REPOSITORY / "MedSAM2Slicer"
sys.path.append(str(MODULE))

IMPORTING = """
import sys, time
sys.path.insert(0, {module!r})
import standin
standin.boot()
begun = time.perf_counter()
import MedSAM2Slicer
from MedSAM2SlicerLib import Panel
print(time.perf_counter() - begun, [n for n in ("torch", "requests", "medsam2") if n in sys.modules])
"""
SLICE_SECONDS = 0.02


def import_rows() -> list[Row]:
    """The module and everything its panel needs, in a fresh process that has loaded Slicer."""
    code = IMPORTING.format(module=str(MODULE))
    paths = {"PYTHONPATH": str(stage.REPOSITORY / "Testing" / "harness")}
    seconds, loaded = [], ""
    for _ in range(5):
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            check=True,
        )
        text, loaded = answer.stdout.strip().split(" ", 1)
        seconds.append(float(text))
    detail = f"of torch, requests and medsam2 loaded: {loaded}"
    return [
        Row("import of the module and its panel", 1000 * sorted(seconds)[2], "ms", 150.0,
            at_most=True, detail=detail),
    ]  # fmt: skip


def writing_rows() -> list[Row]:
    """A streamed slice into the scene, without views."""
    volume = standin.volumes.add_volume(
        standin.boot().scene, "axial", np.zeros((300, 512, 512), np.int16)
    )
    rows = [_writing(volume, name) for name in "KJI"]
    standin.boot().scene.Clear(0)
    return rows


def _writing(volume: Any, name: str) -> Row:
    from medsam2.core.geometry import SliceAxis
    from MedSAM2SlicerLib.SegmentationBridge import createEditorNode, createSegmentation
    from MedSAM2SlicerLib.Workspace import Workspace

    axis, scene = SliceAxis[name], volume.GetScene()
    workspace = Workspace(volume, createSegmentation(volume), createEditorNode(scene), axis)
    segment = workspace.addSegment("ball")
    rows, columns = workspace.shape_rc
    r, c = np.ogrid[:rows, :columns]
    middle, times = workspace.sliceCount // 2, []
    for index in [*range(middle, middle + 100), *range(middle - 1, middle - 101, -1)]:
        radius = 120 - abs(index - middle) / 2
        mask_rc = np.hypot(r - rows / 2, c - columns / 2) < radius
        begun = time.perf_counter()
        workspace.writeModelSlice(segment, index, mask_rc)
        times.append(1000 * (time.perf_counter() - begun))
    detail = f"200 slices of a ball outwards; the worst {max(times):.3g} ms, where room is made"
    return Row(f"writing a streamed slice of 512x512x300 across {name}, median",
               float(np.median(times)), "ms", 3.0, at_most=True, detail=detail)  # fmt: skip


@dataclasses.dataclass
class Watched:
    """What a run cost.

    Args:
        block_s: the longest stay of the main thread away from the event loop.
        written_s, shown_s: from the press of Segment to the first slice in the scene, and to the
            end of the first drawing after it; NaN where views are not drawn.
        drawing_s: what the drawings until then took.
        whole_s: until the end.
    """

    block_s: float
    written_s: float
    shown_s: float
    drawing_s: float
    whole_s: float


def fake_rows() -> list[Row]:
    """A hundred slices of 20 ms as the user sees them arrive."""
    user = _user(lambda: FakeBackend(on_slice=lambda _index: time.sleep(SLICE_SECONDS)))
    plain = _watch_run(user)
    with standin.block_meter() as undoing:
        user.press("undo")
        user.settle()
    drawn = _watch_run(user, drawing=True)
    stage.finish(user)
    return [
        *_block_rows(f"100 slices of {1000 * SLICE_SECONDS:.0f} ms", plain, drawn),
        *_first_rows(plain, drawn),
        Row("longest block of the main thread while that run is undone",
            1000 * undoing.longest_s, "ms", 50.0, at_most=True, detail="views not drawn"),
    ]  # fmt: skip


def model_rows() -> list[Row]:
    """The same with LiteMedSAM in this process, which competes for the processor."""
    from medsam2.engine.backend import LocalBackend
    from medsam2.models.load import load_model

    runs = []
    for drawing in (False, True):
        user = _user(lambda: LocalBackend(load_model("litemedsam"), "cpu"))
        runs.append(_watch_run(user, drawing=drawing))
        stage.finish(user)
        standin.boot().reset()
    return _block_rows("100 slices of LiteMedSAM at 256 px", *runs)


def lesion_rows() -> list[Row]:
    """Thirty bright balls, a box around each drawn by mouse, all segmented in one pass."""
    from medsam2.engine.backend import LocalBackend
    from medsam2.models.load import load_model

    user = stage.start(lambda: LocalBackend(load_model("litemedsam"), "cpu"))
    voxels_kji = np.random.default_rng(0).normal(60, 8, (8, 256, 256))
    k, j, i = np.ogrid[:8, :256, :256]
    centres_ji = [(25 + 50 * row, 22 + 42 * column) for row in range(5) for column in range(6)]
    for row, column in centres_ji:
        voxels_kji[(k - 3.5) ** 2 * 16 + (j - row) ** 2 + (i - column) ** 2 < 100] += 120
    user.choose(standin.volumes.add_volume(user.logic.scene, "axial", voxels_kji.astype(np.int16)))
    user.ui.livePreviewCheckBox.checked = False
    user.press("boxes")
    for row, column in centres_ji:
        user.click(3, (row - 13, column - 13), (row + 13, column + 13))
        standin.pump(0.1)
    user.view.tools.stop()
    user.settle()
    begun = _now()
    user.press("segmentAll")
    standin.pump(1800, until=lambda: user.logic.run is None)
    seconds = _now() - begun
    user.settle()
    ids = user.workspace.segmentation.segmentIds
    found = sum(any(mask_rc.any() for mask_rc in user.masks(one).values()) for one in ids)
    stage.finish(user)
    actions = 1 + 2 * len(centres_ji) + 2
    return [
        Row("thirty lesions: clicks and keys from the volume to their masks", actions, "",
            detail="Boxes in a row, two clicks each, Esc, Segment all"),
        Row("thirty lesions: from Segment all to the last mask", seconds, "s",
            detail=f"LiteMedSAM, {found} of {len(ids)} segments with a mask"),
    ]  # fmt: skip


def _block_rows(compute: str, plain: Watched, drawn: Watched) -> list[Row]:
    return [
        Row(f"longest block of the main thread, {compute}", 1000 * plain.block_s, "ms", 50.0,
            at_most=True, detail=f"views not drawn; {plain.whole_s:.3g} s in all"),
        Row("the same while four views are drawn", 1000 * drawn.block_s, "ms",
            detail=f"by Mesa in software; {drawn.whole_s:.3g} s in all"),
    ]  # fmt: skip


def _first_rows(plain: Watched, drawn: Watched) -> list[Row]:
    beyond = drawn.shown_s - SLICE_SECONDS
    return [
        Row("first mask in the scene after Segment, beyond one slice's compute",
            1000 * (plain.written_s - SLICE_SECONDS), "ms", 100.0, at_most=True,
            detail="the session was open, as it is after the live preview"),
        Row("first mask on screen, beyond one slice's compute and the drawing of views",
            1000 * (beyond - drawn.drawing_s), "ms", 100.0, at_most=True,
            detail=f"{1000 * beyond:.3g} ms with {1000 * drawn.drawing_s:.3g} ms of Mesa's drawing"),
    ]  # fmt: skip


def _user(backend: Any) -> Any:
    """A user with a bright block in noise, a box around it, and the session open."""
    user = stage.start(backend)
    shape_kji = (120, 256, 256)
    noise = np.random.default_rng(0).normal(60, 8, shape_kji)
    noise[10:110, 60:200, 60:200] += 120
    user.choose(standin.volumes.add_volume(user.logic.scene, "axial", noise.astype(np.int16)))
    user.draw_box(60, (50, 50, 210, 210), (10, 109))
    standin.pump(60, until=lambda: user.view.preview.mask_rc is not None)
    return user


def _watch_run(user: Any, *, drawing: bool = False) -> Watched:
    canvases = [widget.canvas for widget in user.slicer.layoutManager.viewWidgets()]
    drawings: list[tuple[float, float]] = []
    user.slicer.app.mainWindow().setVisible(drawing)
    for canvas in canvases:
        canvas.live = drawing
        canvas.refresh = _timed(type(canvas).refresh.__get__(canvas), drawings)
    user.settle(0.5)
    written: list[float] = []
    user.logic.sliceWritten.connect(lambda *_: written.append(_now()))
    with standin.block_meter() as meter:
        begun = _now()
        user.ui.segmentButton.click()
        standin.pump(600, until=lambda: user.logic.run is None)
    whole = _now() - begun
    for canvas in canvases:
        canvas.live = False
        del vars(canvas)["refresh"]
    user.settle()
    shown = next((end for start, end in drawings if start > written[0]), math.nan)
    before = sum(end - start for start, end in drawings if begun < start and end <= shown)
    return Watched(meter.longest_s, written[0] - begun, shown - begun, before, whole)


def _timed(draw: Any, drawings: list[tuple[float, float]]) -> Any:
    def timed() -> Any:
        begun = _now()
        picture = draw()
        drawings.append((begun, _now()))
        return picture

    return timed


def _now() -> float:
    return time.perf_counter()


def main() -> None:
    """Runs all parts and writes ``bench-module.md`` and ``bench-module.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = stage.REPOSITORY / "Testing" / "results"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    parts = [import_rows, writing_rows, fake_rows, model_rows, lesion_rows]
    measure(parts, "Benchmark of the Slicer module", options.output / "bench-module.md")


if __name__ == "__main__":
    main()
