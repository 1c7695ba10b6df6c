"""Keys of the module: they work where the panel or a slice view has the focus, and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping

import qt

KEYS = {
    "Ctrl+Z": "undo",
    "Ctrl+Y": "redo",
    "Ctrl+Return": "both",
    "P": "inside",
    "N": "outside",
    "D": "line",
    "O": "sliceBox",
    "U": "useSlice",
    "E": "nextUncertain",
    "Escape": "stopTool",
}
"""Key by action. Slicer's own of the slice views (R, V, T, G, F, B and others) are left to it."""

PLACING_ONLY = ("stopTool",)
"""Actions whose keys are Slicer's own as long as no prompt tool is on."""


class Shortcuts:
    """Installs the keys while the module is entered.

    Args:
        actions: what to call, by the names in :data:`KEYS`.

    Threading: main thread only.
    """

    def __init__(self, actions: Mapping[str, Callable[[], object]]) -> None:
        self._actions = actions
        self._installed: list[qt.QShortcut] = []
        self._whilePlacing: list[qt.QShortcut] = []
        self._placing = False

    def install(self, widgets: Iterable[qt.QWidget]) -> None:
        """Lets the keys work in these widgets and their children."""
        self.uninstall()
        for widget in widgets:
            for key, action in KEYS.items():
                shortcut = qt.QShortcut(qt.QKeySequence(key), widget)
                shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
                shortcut.connect("activated()", self._actions[action])
                self._installed.append(shortcut)
                if action in PLACING_ONLY:
                    shortcut.setEnabled(self._placing)
                    self._whilePlacing.append(shortcut)

    def setPlacing(self, placing: bool) -> None:
        """Says whether a prompt tool is on."""
        self._placing = placing
        for shortcut in self._whilePlacing:
            with _ifThere():
                shortcut.setEnabled(placing)

    def uninstall(self) -> None:
        """Takes them away."""
        for shortcut in self._installed:
            with _ifThere():
                shortcut.setEnabled(False)
                shortcut.deleteLater()
        self._installed.clear()
        self._whilePlacing.clear()


def _ifThere() -> contextlib.AbstractContextManager[None]:
    """Lets a shortcut be gone: Slicer may have deleted the view it was in."""
    return contextlib.suppress(ValueError, RuntimeError)
