"""The pictures on the panel's buttons.

They are set here rather than in the ``.ui`` file, whose paths would hold in a checkout or in an
installed extension, but not in both.
"""

from __future__ import annotations

from typing import Any

import qt

from . import Paths

ICONS = {
    "drawBox": "DrawBox",
    "segment": "Segment",
    "cancel": "Cancel",
    "undo": "Undo",
    "redo": "Redo",
    "inside": "PointPositive",
    "outside": "PointNegative",
    "line": "Line",
    "sliceBox": "SliceBox",
    "scribble": "Scribble",
    "lasso": "Lasso",
    "nextUncertain": "NextUncertain",
    "useSlice": "LockSlice",
    "releaseSlice": "UnlockSlice",
    "acceptSlice": "Accept",
    "revertSlice": "Revert",
    "backward": "PropagateBackward",
    "both": "PropagateBoth",
    "forward": "PropagateForward",
}
"""File in ``Resources/Icons`` by the button's name without its ending ``Button``."""


def setIcons(ui: Any) -> None:
    """Puts the pictures on the buttons; a button whose picture is missing keeps its text alone.

    Args:
        ui: the panel's widgets by name.

    Threading: main thread only.
    """
    for name, file in ICONS.items():
        path = Paths.resource(f"Icons/{file}.svg")
        getattr(ui, f"{name}Button").setIcon(qt.QIcon(str(path)))
