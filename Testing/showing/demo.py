"""``make demo``: the Slicer module at work on the shipped volume, without the Slicer application.

A real scene, the shipped ROI node as the prompt, the module's own bundled server, the masks in a
segmentation node, and the views as Slicer draws them.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import stage

OUTPUT = stage.REPOSITORY / "demo-output"
RESULT, PICTURE = "demo.seg.nrrd", "demo.png"
ORANGE = (0.95, 0.55, 0.15)


def main() -> None:
    """Loads, segments, compares, draws; tells each step in a line."""
    print("The Slicer module at work, without the Slicer application.\n")
    user = stage.start()
    volume = stage.open_demo(user)
    dimensions = " x ".join(map(str, volume.GetImageData().GetDimensions()))
    tell("Volume", f"Testing/data/demo/mr_t1.nii.gz, {dimensions} voxels, MR of a sarcoma")
    adopt_roi(user)
    tell("Prompt", "the ROI node of Testing/data/demo/roi.mrk.json")
    seconds = start_server(user)
    tell(
        "Server", f"the module's own, ready after {seconds:.1f} s: {user.ui.computeSection.toolTip}"
    )
    first = segment(user)
    tell("Segment", f"{user.ui.statusLabel.text[:-1]}, the first one after {first:.1f} s")
    tell("Dice", f"{dice(user):.3f} against the contour that was drawn by hand")
    write_results(user)
    print("\nFor research, not for diagnosis or treatment.")
    stage.finish(user)


def tell(what: str, text: str) -> None:
    """Prints a line, over what was there."""
    print(f"{_clear()}{what:<9}{text}", flush=True)


def adopt_roi(user: Any) -> None:
    """Takes the shipped ROI node as the box of a new segment."""
    import slicer

    roi = slicer.util.loadMarkups(str(stage.DEMO / "roi.mrk.json"))
    display = roi.GetDisplayNode()
    display.SetSelectedColor(*ORANGE)
    display.SetFillVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    user.workspace.prompts.adopt(roi, user.segment_id)
    stage.describe_segment(user, "Sarcoma", ORANGE)


def start_server(user: Any) -> float:
    """Chooses "This computer, bundled server" and waits until it has the volume.

    Returns:
        The seconds that took.
    """
    begun = time.monotonic()
    selector = user.ui.computeSelector
    selector.setCurrentIndex(selector.findData("bundled-server"))
    selector.activated.emit(selector.currentIndex)
    opening = user.logic.opening(user.workspace)
    user.logic.jobs.submit(lambda _job: user.logic.compute.session(*opening))
    user.settle()
    user.view.refresh()
    return time.monotonic() - begun


def segment(user: Any) -> float:
    """Presses Segment and shows how far it is; returns the seconds to the first slice."""
    written: list[float] = []
    user.logic.sliceWritten.connect(lambda *_: written.append(time.monotonic()))
    begun = time.monotonic()
    user.press("segment")
    shown = ""
    while user.logic.run is not None:
        stage.wait_until(user, lambda old=shown: user.ui.statusLabel.text != old)
        shown = str(user.ui.statusLabel.text)
        if sys.stdout.isatty():
            print(f"{_clear()}{shown}", end="", flush=True)
    user.settle(0.2)
    return written[0] - begun


def _clear() -> str:
    return "\r\x1b[K" if sys.stdout.isatty() else ""


def dice(user: Any) -> float:
    """Overlap of the segment with the shipped reference, 0 to 1."""
    import slicer

    reference = slicer.util.loadVolume(
        str(stage.DEMO / "reference.nii.gz"), properties={"labelmap": True}
    )
    reference_kji = slicer.util.arrayFromVolume(reference) > 0
    slicer.mrmlScene.RemoveNode(reference)
    slices_kji = np.stack(list(user.masks().values()))
    mask_kji = np.moveaxis(slices_kji, 0, user.workspace.axis.value)
    return float(2 * (mask_kji & reference_kji).sum() / (mask_kji.sum() + reference_kji.sum()))


def write_results(user: Any) -> None:
    """Writes the segmentation as Slicer saves it, and a picture of the panel and the views."""
    from MedSAM2SlicerLib.Export import exportFile

    OUTPUT.mkdir(exist_ok=True)
    workspace = user.workspace
    exportFile(workspace.segmentation.node, workspace.volume.node, OUTPUT / RESULT)
    stage.show_surface(user)
    pictures.write(pictures.window(user), OUTPUT / PICTURE)
    tell("Wrote", f"{_shown(PICTURE)}, the panel beside the views")
    tell("", f"{_shown(RESULT)}, which opens in 3D Slicer")


def _shown(name: str) -> Path:
    return (OUTPUT / name).relative_to(stage.REPOSITORY)


if __name__ == "__main__":
    main()
