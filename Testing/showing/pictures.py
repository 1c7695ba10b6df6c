"""Pictures of the panel and the views, composed and written small."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

MOST_BYTES = 250_000
COLORS = 255
BAR, GAP = 6, 4
"""Height of the coloured bar over a view, and space between things, in pixels."""

BAR_COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b", "3D": "#7d7ddb"}
"""Slicer's own for its views."""

DARK = {
    "Window": "#2f2f2f",
    "WindowText": "#e6e6e6",
    "Base": "#232323",
    "AlternateBase": "#2f2f2f",
    "ToolTipBase": "#2f2f2f",
    "ToolTipText": "#e6e6e6",
    "PlaceholderText": "#9a9a9a",
    "Text": "#e6e6e6",
    "Button": "#3a3a3a",
    "ButtonText": "#e6e6e6",
    "BrightText": "#ff6b6b",
    "Link": "#5aa9f0",
    "Highlight": "#2a72b5",
    "HighlightedText": "#ffffff",
}
DIMMED = "#7c7c7c"


@contextlib.contextmanager
def palette(name: str) -> Iterator[None]:
    """Shows everything in a ``light`` or a ``dark`` palette within the block."""
    from PySide6 import QtGui, QtWidgets

    standard = QtWidgets.QApplication.palette()
    if name == "dark":
        colors, roles = QtGui.QPalette(), QtGui.QPalette.ColorRole
        for role, color in DARK.items():
            colors.setColor(roles[role], QtGui.QColor(color))
        for role in ("WindowText", "Text", "ButtonText"):
            disabled = QtGui.QPalette.ColorGroup.Disabled
            colors.setColor(disabled, roles[role], QtGui.QColor(DIMMED))
        QtWidgets.QApplication.setPalette(colors)
    try:
        yield
    finally:
        QtWidgets.QApplication.setPalette(standard)


def panel(user: Any) -> Image.Image:
    """The whole panel at the width that Slicer gives it."""
    with tempfile.TemporaryDirectory() as folder:
        path = user.loaded.grab(Path(folder) / "panel.png")
        with Image.open(path) as image:
            return image.convert("RGB")


def view(user: Any, name: str) -> Image.Image:
    """A slice view by its name, or the 3D view as ``3D``, under a bar of its colour."""
    manager = user.slicer.layoutManager
    widget = manager.threeDWidget(0) if name == "3D" else manager.sliceWidget(name)
    drawn = Image.fromarray(widget.image())
    whole = Image.new("RGB", (drawn.width, drawn.height + BAR), BAR_COLORS[name])
    whole.paste(drawn, (0, BAR))
    return whole


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Images side by side; what is free below shorter ones is as the first one's corner."""
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    height = max(image.height for image in images)
    whole = Image.new("RGB", (width, height), images[0].getpixel((0, 0)))
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width + GAP
    return whole


def above(images: Sequence[Image.Image]) -> Image.Image:
    """Images one below the other."""
    height = sum(image.height for image in images) + GAP * (len(images) - 1)
    whole = Image.new("RGB", (max(image.width for image in images), height), "#202020")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height + GAP
    return whole


def window(user: Any) -> Image.Image:
    """The panel beside the three slice views and the 3D view."""
    rows = [
        beside([view(user, name) for name in names])
        for names in (("Red", "3D"), ("Yellow", "Green"))
    ]
    return beside([panel(user), above(rows)])


def top(image: Image.Image, height: int) -> Image.Image:
    """The upper part of an image."""
    return image.crop((0, 0, image.width, min(height, image.height)))


def write(image: Image.Image, path: Path) -> None:
    """Writes a PNG with few colours.

    Raises:
        ValueError: it is larger than a page should load.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    few = image.quantize(COLORS, kmeans=4, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        msg = f"{path} has {path.stat().st_size} bytes; {MOST_BYTES} are the most."
        raise ValueError(msg)
