from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "server" / "src" / "medsam2"
FILES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("torch", "scipy", "requests", "SimpleITK", "matplotlib", "torchvision")


def test_what_slicer_imports_at_start_pulls_in_nothing_heavy():
    names = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in FILES
        if path.parent.name in {"core", "wire"} and path.stem != "__init__"
    ]
    code = f"import {', '.join(['medsam2.wire', *names])}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=SOURCE.parent
    )
    assert set(HEAVY).isdisjoint(done.stdout.split())


def test_the_import_directions_hold():
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("import-linter is not installed beside this Python")
    done = subprocess.run(
        [str(command)], cwd=SOURCE.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
