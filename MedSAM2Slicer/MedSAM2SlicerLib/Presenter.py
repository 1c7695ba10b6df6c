"""What the panel shows and allows, worked out from the facts alone.

Pure Python: no Qt, no VTK, no scene. The widget gathers a :class:`Situation` and shows the
:class:`Appearance` that :func:`present` returns.
"""

from __future__ import annotations

import dataclasses

DISCLAIMER = "For research, not for diagnosis or treatment."


@dataclasses.dataclass(frozen=True)
class Situation:
    """The facts that the panel depends on.

    Args:
        missing: what must be installed first for the chosen way of computing; empty when ready.
        setup: what an installation that is under way says; empty without one.
        done, total: slices of the run so far and planned; ``total`` is 0 until it is known.
        slice: the slice in view, or None where no view shows the volume.
        message: what last happened, one line.
    """

    hasVolume: bool = False
    hasSegments: bool = False
    hasPrompt: bool = False
    placing: str = ""
    running: bool = False
    cancelling: bool = False
    busy: bool = False
    done: int = 0
    total: int = 0
    slicesPerSecond: float = 0.0
    secondsLeft: float | None = None
    missing: tuple[str, ...] = ()
    setup: str = ""
    undoLabel: str | None = None
    redoLabel: str | None = None
    slice: int | None = None
    sliceLocked: bool = False
    sliceChanged: bool = False
    sliceUncertain: bool = False
    hasUncertain: bool = False
    promptedSegments: int = 0
    message: str = ""
    isError: bool = False


@dataclasses.dataclass(frozen=True)
class Appearance:
    """What is enabled, and every text that changes."""

    enabled: frozenset[str]
    """Names of the buttons that can be pressed."""
    mainAction: str
    """What the main button says: it segments, or sets up what is needed for that."""
    status: str
    isError: bool
    progress: tuple[int, int] | None
    """Value and maximum of the progress bar; a maximum of 0 means "unknown"; None hides it."""
    undoTip: str
    redoTip: str
    checkedTool: str
    """The prompt tool that is placing now, or empty."""


SEGMENT, SET_UP = "Segment", "Set up..."

TOOLS = ("drawBox", "boxes", "inside", "outside", "sliceBox", "line", "scribble", "lasso")
"""Buttons that place a prompt."""


def present(situation: Situation) -> Appearance:
    """Works out what the panel shows."""
    s = situation
    undo = f"Undo: {s.undoLabel} (Ctrl+Z)" if s.undoLabel else "Nothing to undo"
    redo = f"Redo: {s.redoLabel} (Ctrl+Y)" if s.redoLabel else "Nothing to redo"
    return Appearance(
        enabled=frozenset(_enabled(s)),
        mainAction=SET_UP if s.missing else SEGMENT,
        status=_status(s),
        isError=s.isError and not s.running,
        progress=(s.done, s.total) if s.running else None,
        undoTip=undo,
        redoTip=redo,
        checkedTool=s.placing,
    )


def _enabled(s: Situation) -> set[str]:
    if s.running:
        return set() if s.cancelling else {"cancel"}
    if not s.hasVolume:
        return {"segment"} if s.missing and not s.setup else set()
    enabled = {*TOOLS, "addSegment"}
    if s.hasSegments:
        enabled |= {"removePrompts", "rangeFromView", "clearRange"}
    if s.missing and not s.setup:
        enabled.add("segment")
    if s.hasPrompt and not s.missing:
        enabled |= {"segment", "forward", "backward", "both"}
    if s.promptedSegments > 1 and not s.missing:
        enabled.add("segmentAll")
    if s.slice is not None:
        enabled.add("releaseSlice" if s.sliceLocked else "useSlice")
    if s.sliceChanged or s.sliceUncertain:
        enabled.add("acceptSlice")
    if s.sliceChanged:
        enabled.add("revertSlice")
    if s.hasUncertain:
        enabled.add("nextUncertain")
    if s.undoLabel:
        enabled.add("undo")
    if s.redoLabel:
        enabled.add("redo")
    return enabled


def _status(s: Situation) -> str:  # noqa: PLR0911 (a list of cases, the most urgent first)
    if s.cancelling:
        return "Cancelling after this slice..."
    if s.running:
        return _progressText(s)
    if s.isError and s.message:
        return s.message
    if s.placing:
        return _PLACING[s.placing]
    if s.setup:
        return s.setup
    if s.missing:
        return (
            f"{', '.join(s.missing)} must be installed first: press {SET_UP} It says how much that is "
            "before anything is fetched. A remote server (see Compute) needs nothing installed."
        )
    if not s.hasVolume:
        return "Load a volume and select it above."
    if s.message:
        return s.message
    if not s.hasPrompt:
        return "Draw a box around the structure: two clicks in any slice view."
    return "Ready. Press Segment."


def _progressText(s: Situation) -> str:
    if not s.done:
        return "Preparing the first slice..."
    text = f"Slice {s.done} of {s.total}, {s.slicesPerSecond:.1f} per second"
    return text if s.secondsLeft is None else f"{text}, {readable(s.secondsLeft)} left"


def readable(seconds: float) -> str:
    """Writes a time as a person would: ``8 s``, ``2 min 05 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


_PLACING = {
    "drawBox": "Click two opposite corners of the structure in a slice view. Esc ends.",
    "boxes": "Click two corners of one structure after the other; each gets a segment. Esc ends.",
    "inside": "Click inside the structure; every click adds a point. Esc ends.",
    "outside": "Click what does not belong to it; every click adds a point. Esc ends.",
    "sliceBox": "Click two corners around the structure on this slice. Esc ends.",
    "line": "Click both ends of the longest diameter. Esc ends.",
    "scribble": "Draw along the inside of the structure with the button held. Esc ends.",
    "lasso": "Draw around the structure on this slice with the button held. Esc ends.",
}
