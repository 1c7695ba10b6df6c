"""The Extensions Index's own checks of an entry, run here before it is sent there.

They follow scripts/check_description_files.py and scripts/extension_ai_analysis.py of
Slicer/ExtensionsIndex, and version 1.0.2 of the entry's schema in Slicer/Slicer.
"""

from __future__ import annotations

import ast
import json
import re
import struct
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from module_gate import foreign_imports, run_at_import

SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/"
    "slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
FIELDS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "tier": int,
}
REQUIRED = {"$schema", "category", "scm_url"}
MOST_BYTES = 100_000_000


@pytest.fixture(scope="module")
def entry_file(repository) -> Path:
    [found] = (repository / "Resources" / "ExtensionsIndex").iterdir()
    return found


@pytest.fixture(scope="module")
def entry(entry_file) -> dict[str, Any]:
    return json.loads(entry_file.read_text("utf-8"))


@pytest.fixture(scope="module")
def cmake(repository) -> str:
    return (repository / "CMakeLists.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def module_files(repository) -> list[Path]:
    return sorted((repository / "MedSAM2Slicer").rglob("*.py"))


def setting(cmake: str, name: str) -> str:
    """The text of ``set(EXTENSION_... "...")``, as the index reads it: nothing is expanded."""
    found = re.search(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"\s*\)', cmake)
    assert found, name
    return found[1]


def test_the_entrys_fields_are_those_of_the_schema(entry):
    assert set(entry) >= REQUIRED
    assert set(entry) <= set(FIELDS)
    assert {name: type(value) for name, value in entry.items()} == {n: FIELDS[n] for n in entry}
    assert entry["$schema"] == SCHEMA


def test_the_entrys_values_are_such_as_the_index_takes(entry):
    assert entry["category"] == "Segmentation"
    assert entry["scm_type"] == "git"
    assert 1 <= entry["tier"] <= 5
    assert entry["build_dependencies"] == []
    assert urlsplit(entry["scm_url"]).scheme == "https"


def test_the_repositorys_name_begins_with_slicer_and_the_extensions_does_not(entry, entry_file):
    assert Path(urlsplit(entry["scm_url"]).path).name.startswith("Slicer")
    assert not entry_file.stem.startswith("Slicer")


def test_the_files_that_the_index_reads_end_their_lines_plainly(repository, entry_file):
    scripts = [*repository.glob("CMakeLists.txt"), *repository.glob("*/CMakeLists.txt")]
    assert len(scripts) == 5
    for file in (entry_file, *scripts):
        content = file.read_bytes()
        assert b"\r" not in content, file
        assert content.endswith(b"\n"), file


def test_the_project_has_the_entrys_name(cmake, entry_file):
    found = re.search(r"project\s*\(\s*([^\s)]+)", cmake, re.IGNORECASE)
    assert found
    assert found[1] == entry_file.stem


def test_the_addresses_are_those_of_the_entrys_repository_and_point_to_pictures(
    cmake, entry, repository
):
    place = urlsplit(entry["scm_url"]).path
    raw = f"https://raw.githubusercontent.com{place}/{entry['scm_revision']}/"
    assert setting(cmake, "HOMEPAGE") == entry["scm_url"]
    for address in [setting(cmake, "ICONURL"), *setting(cmake, "SCREENSHOTURLS").split()]:
        assert address.startswith(raw)
        picture = (repository / address.removeprefix(raw)).read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n"), address


def test_the_icon_is_128_pixels_wide_and_high(repository):
    icon = (repository / "Resources" / "Icons" / "MedSAM2Slicer.png").read_bytes()
    assert struct.unpack(">II", icon[16:24]) == (128, 128)


def test_the_description_says_in_a_sentence_what_the_extension_does(cmake):
    assert len(setting(cmake, "DESCRIPTION").split()) > 10
    assert setting(cmake, "DEPENDS") == "NA"


def test_the_root_holds_the_licence(repository):
    assert "Apache License" in (repository / "LICENSE.txt").read_text("utf-8")


def test_a_checkout_is_small(repository):
    listed = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "-z"], capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no git checkout, so which files are the project's can't be told")
    files = [repository / name for name in listed.stdout.decode().split("\0") if name]
    assert 0 < sum(file.stat().st_size for file in files if file.is_file()) <= MOST_BYTES


def test_the_modules_files_import_nothing_that_slicer_does_not_bring(module_files):
    assert module_files
    found = {
        file.name: foreign_imports(ast.parse(file.read_text("utf-8"))) for file in module_files
    }
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_the_modules_files_do_nothing_when_they_are_imported(module_files):
    found = {file.name: run_at_import(ast.parse(file.read_text("utf-8"))) for file in module_files}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import torch",
        "from medsam2.core import errors",
        "import requests as r",
        "try:\n    import torch\nexcept ImportError:\n    pass",
        "class A:\n    import scipy",
    ],
)
def test_an_import_of_something_foreign_is_found(line):
    assert foreign_imports(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "import json, vtk, qt, ctk, slicer",
        "from slicer.util import VTKObservationMixin",
        "from . import Paths",
        "def f():\n    import torch",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import medsam2",
        "if not TYPE_CHECKING:\n    pass",
    ],
)
def test_an_import_that_slicer_brings_or_that_runs_later_is_let_through(line):
    assert foreign_imports(ast.parse(line)) == []


def test_a_call_in_a_files_body_is_found():
    assert run_at_import(ast.parse("print('here')")) == ["line 1: print('here')"]
    assert run_at_import(ast.parse("if True:\n    f()")) == ["line 2: f()"]
    assert run_at_import(ast.parse('"""Text."""\nA = len("x")\ndef f():\n    g()')) == []
