from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
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


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_and_its_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    long = [f.name for f in functions(ast.parse(text)) if (f.end_lineno or 0) - f.lineno >= 60]
    assert long == []
