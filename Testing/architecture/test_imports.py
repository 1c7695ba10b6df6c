from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "server" / "src" / "medsam2"
FILES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("torch", "scipy", "requests", "SimpleITK", "matplotlib", "torchvision")


def modules(*rooms: str) -> list[str]:
    """The dotted names of everything in some rooms, ``medsam2.wire.arrays`` say."""
    paths = [path.relative_to(SOURCE) for path in FILES]
    parts = [path.with_suffix("").parts for path in paths if path.parts[0] in rooms]
    return sorted({".".join(["medsam2", *part]).removesuffix(".__init__") for part in parts})


def loaded_by(names: list[str]) -> set[str]:
    """What a new Python has loaded once it has imported these modules."""
    code = f"import {', '.join(names)}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=SOURCE.parent
    )
    loaded = set(done.stdout.split())
    assert set(names) <= loaded
    return loaded


def test_what_slicer_imports_at_start_pulls_in_nothing_heavy():
    names = modules("core", "wire", "client")
    assert len(names) > 15
    loaded = loaded_by(names)
    assert loaded.isdisjoint(HEAVY)
    assert loaded.isdisjoint(["medsam2.server", "medsam2.engine", "medsam2.models", "zstandard"])


def test_the_servers_process_loads_neither_torch_nor_the_engine():
    if not (SOURCE / "server" / "app.py").exists():
        pytest.skip("there is no medsam2/server/app.py yet")
    for names in (["medsam2.server.app"], modules("server")):
        loaded = loaded_by(names)
        assert loaded.isdisjoint(["torch", "medsam2.engine", "medsam2.models", "medsam2.client"])


def test_the_import_directions_hold():
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed beside this Python")
    done = subprocess.run(
        [str(command)], cwd=SOURCE.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
