"""Scribbles and outlines drawn in one stroke, in any slice view.

While the tool is on, the left button draws instead of changing the window level; everything else of
the view (scrolling, zooming, the other buttons) works as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import vtk

LEAST_STEP_PIXELS = 3.0
"""Points of a stroke lie at least so far apart."""
_BEFORE_THE_VIEW = 10.0
"""Observer priority: the stroke sees the mouse first."""


class Drawing:
    """Records one stroke of the mouse as control points of a markups node.

    Args:
        makeNode: called at the first press; the stroke goes into the node that it returns.
        onEnded: called with the node when the button is released.

    Threading: main thread only.
    """

    def __init__(
        self,
        makeNode: Callable[[], vtk.vtkObject],
        onEnded: Callable[[vtk.vtkObject], None],
    ) -> None:
        self._makeNode, self._onEnded = makeNode, onEnded
        self._observed: list[tuple[vtk.vtkObject, int]] = []
        self._node: vtk.vtkObject | None = None
        self._last_xy: np.ndarray | None = None

    def start(self, views: Iterable[Any]) -> None:
        """Lets the next stroke in any of these slice widgets draw."""
        for widget in views:
            interactor, sliceNode = widget.sliceView().interactor(), widget.mrmlSliceNode()
            for event, act in (
                ("LeftButtonPressEvent", self._press),
                ("MouseMoveEvent", self._move),
                ("LeftButtonReleaseEvent", self._release),
            ):
                self._observe(interactor, event, sliceNode, act)

    def _observe(
        self,
        interactor: vtk.vtkObject,
        event: str,
        sliceNode: vtk.vtkObject,
        act: Callable[[vtk.vtkObject, vtk.vtkObject], bool],
    ) -> None:
        tags: list[int] = []

        def heard(caller: vtk.vtkObject, _event: str) -> None:
            command = caller.GetCommand(tags[0])  # gone once the stroke has ended
            if act(caller, sliceNode):
                command.AbortFlagOn()

        tags.append(interactor.AddObserver(event, heard, _BEFORE_THE_VIEW))
        self._observed.append((interactor, tags[0]))

    def stop(self) -> None:
        """Gives the left button back to the views; a stroke under way is given up."""
        node = self._let()
        if node is not None:
            node.GetScene().RemoveNode(node)

    def _let(self) -> vtk.vtkObject | None:
        """Stops listening; returns the node of a stroke under way, unless it was removed."""
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        self._observed.clear()
        node, self._node, self._last_xy = self._node, None, None
        return node if node is not None and node.GetScene() is not None else None

    def _press(self, interactor: vtk.vtkObject, sliceNode: vtk.vtkObject) -> bool:
        self._node, self._last_xy = self._makeNode(), None
        return self._move(interactor, sliceNode)

    def _move(self, interactor: vtk.vtkObject, sliceNode: vtk.vtkObject) -> bool:
        if self._node is None or self._node.GetScene() is None:
            return False
        at_xy = np.array(interactor.GetEventPosition(), dtype=float)
        if self._last_xy is None or np.linalg.norm(at_xy - self._last_xy) >= LEAST_STEP_PIXELS:
            x, y = at_xy
            point_ras = sliceNode.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3]
            self._node.AddControlPointWorld(vtk.vtkVector3d(*point_ras))
            self._last_xy = at_xy
        return True

    def _release(self, interactor: vtk.vtkObject, sliceNode: vtk.vtkObject) -> bool:
        if self._node is None:
            return False
        self._move(interactor, sliceNode)
        node = self._let()
        if node is not None:
            self._onEnded(node)
        return True
