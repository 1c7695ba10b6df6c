"""The selector of ROIs that the user has already: one of them can serve as the segment's box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import PromptNodes
from .Logic import SegmentationLogic

TITLE = "Take a ROI"


class RoiSelector:
    """Lists the scene's ROIs that are no prompt yet; hidden where there are none.

    Args:
        selector: a QComboBox.
        logic: whose current segment gets the ROI.
        attempt: runs an action and shows what is wrong in the status line.

    Threading: main thread only.
    """

    def __init__(
        self, selector: Any, logic: SegmentationLogic, attempt: Callable[..., Any]
    ) -> None:
        self._selector, self._logic, self._attempt = selector, logic, attempt
        self._offered: list[tuple[str, str]] = []
        self._fill()
        selector.connect("activated(int)", self._onActivated)

    def show(self, *, enabled: bool) -> None:
        """Offers what the scene holds now."""
        free = PromptNodes.freeRois(self._logic.scene)
        offered = [(node.GetName(), node.GetID()) for node in free]
        if offered != self._offered:
            self._offered = offered
            self._fill()
        self._selector.setEnabled(enabled)

    def _fill(self) -> None:
        self._selector.clear()
        self._selector.addItem(TITLE, "")
        for name, nodeId in self._offered:
            self._selector.addItem(name, nodeId)
        self._selector.setVisible(bool(self._offered))

    def _onActivated(self, index: int) -> None:
        roi = self._logic.scene.GetNodeByID(self._selector.itemData(index))
        self._selector.setCurrentIndex(0)
        if roi is not None:
            self._attempt(self._logic.takeBox, roi)
