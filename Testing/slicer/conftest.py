"""Fixtures for the Slicer module: a real scene, the stand-in for the application, volumes."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import standin


def free_the_name_of_slicer() -> None:
    """Puts Slicer's package back where pytest put this folder, which has the same name."""
    taken = sys.modules.get("slicer")
    if str(Path(__file__).parent) in getattr(taken, "__path__", ()):
        del sys.modules["slicer"]
    with contextlib.suppress(ImportError):
        import slicer  # noqa: F401 - once it is there, pytest leaves it


free_the_name_of_slicer()

LIBRARIES = ("libEGL.so.1", "libGL.so.1", "libxkbcommon.so.0", "libfontconfig.so.1")
"""What Qt and VTK load when they draw without a screen; .ci/system-packages installs them."""


def missing_for_scenes() -> str:
    """Why there is no scene, or empty."""
    return _missing_package("slicer-core") or _missing_libraries()


def missing_for_the_application() -> str:
    """Why the stand-in does not start, or empty."""
    return _missing_package("PySide6-Essentials") or missing_for_scenes()


def _missing_package(name: str) -> str:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"the package {name} is not installed (pip install 'server[slicer]')"
    return ""


def _missing_libraries() -> str:
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            return f"the system library {name} is not installed (.ci/system-packages)"
    return ""


@pytest.fixture
def a_scene() -> Iterator[Any]:
    """An empty MRML scene with the logics of Slicer's modules; no Qt."""
    reason = missing_for_scenes()
    if reason:
        pytest.skip(reason)
    scene = standin.boot_headless().scene
    scene.Clear(0)
    yield scene
    scene.Clear(0)


@pytest.fixture
def an_mrml_scene(a_scene: Any) -> Any:
    """The same."""
    return a_scene


@pytest.fixture
def a_slicer() -> Iterator[Any]:
    """The stand-in as it is after a start; a test that leaves errors in it fails."""
    reason = missing_for_the_application()
    if reason:
        pytest.skip(reason)
    slicer = standin.boot()
    slicer.reset()
    yield slicer
    slicer.unload_modules()
    errors = list(slicer.errors)
    slicer.reset()
    assert errors == []


@pytest.fixture
def a_volume(a_scene: Any) -> Callable[..., Any]:
    """Makes volume nodes; see :func:`standin.volumes.add_volume`.

    ``a_volume("oblique")``; ``a_volume("axial", transformed=True)`` puts it under a transform.
    """

    def make(kind: str = "axial", *, transformed: bool = False, **options: Any) -> Any:
        transform = standin.volumes.add_transform(a_scene) if transformed else None
        return standin.volumes.add_volume(a_scene, kind, transform=transform, **options)

    return make


@pytest.fixture
def a_shown_volume(a_slicer: Any, a_volume: Callable[..., Any]) -> Callable[..., Any]:
    """Makes volume nodes and shows them in all slice views of the stand-in."""

    def make(kind: str = "axial", **options: Any) -> Any:
        volume = a_volume(kind, **options)
        standin.volumes.show(a_slicer, volume)
        return volume

    return make


@pytest.fixture
def a_script(a_scene: Any) -> Iterator[Any]:
    """The logic on a volume of noise; what fails in it fails the test. See :mod:`module_script`."""
    from module_script import Script, noise

    script = Script(a_scene, noise(a_scene))
    yield script
    script.close()
    assert script.failures == []


@pytest.fixture
def a_user(a_slicer: Any, a_volume: Callable[..., Any]) -> Any:
    """At the panel, with a volume chosen. See :mod:`module_user`."""
    from fake_backend import FakeBackend
    from module_user import User

    user = User(a_slicer, FakeBackend)
    user.choose(a_volume("axial"))
    return user


@pytest.fixture
def a_user_with_a_mask(a_user: Any) -> Any:
    """The same after a run of one segment on slices 8 to 16."""
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.run()
    return a_user
