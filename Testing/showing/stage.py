"""The stand-in with the module in it, on the shipped volume: where pictures and figures are made."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a thread that waits leaves its core to Qt

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "Testing" / "data" / "demo"
TUMOUR_RC = (32, 30, 88, 85)
"""A box that a reader would draw around the tumour on :data:`TUMOUR_SLICE`."""
TUMOUR_SLICE = 21
TUMOUR_DEPTH = (12, 31)
"""First and last slice of it."""

WITHOUT_SLICER = (
    "Slicer's packages need Linux with Mesa (.ci/system-packages); without them the command line "
    "shows the same: .venv/bin/medsam2 demo"
)

sys.path[:0] = [str(REPOSITORY / "Testing" / "harness"), str(REPOSITORY / "server" / "src")]


def start(backend: Any = None) -> Any:
    """Starts the stand-in with the module opened.

    Args:
        backend: a factory; the settings' way of computing if not given.

    Returns:
        The user at the module, a :class:`module_user.User`.
    """
    try:
        import standin
        from module_user import User

        standin.boot()
    except ImportError as error:
        sys.exit(f"{error}. {WITHOUT_SLICER}")
    return User(standin.boot(), backend)


def open_demo(user: Any) -> Any:
    """Loads the shipped volume and chooses it; returns its node."""
    import slicer

    volume = slicer.util.loadVolume(str(DEMO / "mr_t1.nii.gz"))
    user.choose(volume)
    return volume


def describe_segment(user: Any, name: str, color: tuple[float, float, float]) -> None:
    """Gives the current segment a name and a colour, which its prompts take over."""
    segment = user.workspace.segmentation.segment(user.segment_id)
    segment.SetName(name)
    segment.SetColor(*color)
    user.settle()
    user.view.refresh()


def show_surface(user: Any) -> None:
    """Shows the segments in the 3D view, as "Show 3D" does, and looks at them."""
    node = user.workspace.segmentation.node
    node.CreateClosedSurfaceRepresentation()
    user.slicer.layoutManager.threeDWidget(0).canvas.view.reset()


def wait_until(user: Any, condition: Any) -> None:
    """Lets the module work until something holds, or the run is over."""
    import standin

    standin.pump(120, until=lambda: condition() or user.logic.run is None)


def finish(user: Any) -> None:
    """Closes the module.

    Raises:
        RuntimeError: something went wrong in a slot, a timer or an observer meanwhile.
    """
    user.slicer.unload_modules()
    if user.slicer.errors:
        raise RuntimeError(user.slicer.errors)
