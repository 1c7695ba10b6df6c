"""A stand-in for the 3D Slicer application; README.md beside this file tells what it is.

Importing this package loads nothing heavy. :func:`boot` gives the whole application, and
:func:`boot_headless` the scene, its logics and its files without Qt.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .scene import HeadlessApplication
    from .startup import StandIn

__all__ = ["block_meter", "boot", "boot_headless", "mouse", "pump", "volumes"]

# Both are read when their libraries load, so they are set before anything else happens.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def boot() -> StandIn:
    """The application; started at the first call, the same one at every later call.

    Afterwards ``slicer.app``, ``slicer.mrmlScene``, ``slicer.modules``, ``slicer.util``, ``qt`` and
    ``ctk`` are there as in Slicer. Main thread only.
    """
    from .startup import boot as start

    return start()


def boot_headless() -> HeadlessApplication:
    """The scene, the modules' logics and the files, without Qt; the same ones at every call."""
    from .scene import boot_headless as start

    return start()


def pump(seconds: float = 0.0, until: Any = None) -> bool:
    """Runs the event loop; see :func:`standin.clock.pump`."""
    from .clock import pump as run

    return run(seconds, until)


def block_meter() -> Any:
    """Measures how long the main thread stays away from the event loop; see :mod:`standin.clock`."""
    from .clock import BlockMeter

    return BlockMeter()


def __getattr__(name: str) -> ModuleType:
    if name in ("mouse", "volumes"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
