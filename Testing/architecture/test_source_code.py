"""The code's outer form: short files, short functions, and a docstring on everything public."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST_FILE, LONGEST_FUNCTION = 400, 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module")
def sources(repository) -> dict[str, str]:
    """The text of every source file by its path."""
    folder: Path = repository / "server" / "src"
    found = {
        file.relative_to(folder).as_posix(): file.read_text("utf-8")
        for file in sorted(folder.rglob("*.py"))
    }
    assert len(found) > 50
    return found


def public(tree: ast.Module) -> Iterator[tuple[str, ast.Module | ast.ClassDef | Function]]:
    """A module, its public classes and functions, and their public methods."""
    yield "the module", tree
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        yield node.name, node
        for member in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(member, Function) and not member.name.startswith("_"):
                yield f"{node.name}.{member.name}", member


def test_files_are_short(sources):
    lengths = {path: text.count("\n") for path, text in sources.items()}
    assert {path: n for path, n in lengths.items() if n > LONGEST_FILE} == {}


def test_functions_fit_on_a_screen(sources):
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, text in sources.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, Function)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_everything_public_says_what_it_is(sources):
    silent = [
        f"{path}: {name}"
        for path, text in sources.items()
        for name, node in public(ast.parse(text))
        if not ast.get_docstring(node)
    ]
    assert silent == []
