"""Who may import what, and what starts without the heavy libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "scipy", "requests", "SimpleITK")


def modules(server: Path, room: str) -> list[str]:
    """The dotted names of a room's modules."""
    files = sorted((server / "src" / "medsam2" / room).glob("*.py"))
    names = [f"medsam2.{room}.{file.stem}" for file in files]
    return [name.removesuffix(".__init__") for name in names]


@pytest.fixture
def server(repository) -> Path:
    return repository / "server"


def loaded_after_importing(names: list[str], server: Path) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded once it imported these modules."""
    script = f"import sys, importlib; [importlib.import_module(n) for n in {names}]"
    script += f"; print(*[n for n in {HEAVY} if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(server / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ["core", "wire"])
def test_the_room_loads_without_any_heavy_library(server, room):
    names = modules(server, room)
    assert f"medsam2.{room}" in names
    assert loaded_after_importing(names, server) == set()


def test_reading_and_writing_files_loads_no_heavy_library_before_it_needs_one(server):
    assert loaded_after_importing(modules(server, "io"), server) == set()


def test_rooms_import_downwards_only(server):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=server,
        env={**os.environ, "PYTHONPATH": str(server / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'importlinter'" in done.stderr:
        pytest.skip("import-linter is not installed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
