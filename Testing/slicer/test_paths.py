from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LIB = Path("MedSAM2Slicer") / "MedSAM2SlicerLib"


@pytest.fixture
def lone_module(repository, tmp_path) -> Path:
    """A folder with the module's Paths.py and nothing else of the project."""
    (tmp_path / "alone" / "MedSAM2SlicerLib").mkdir(parents=True)
    for name in ("__init__.py", "Paths.py"):
        shutil.copy(repository / LIB / name, tmp_path / "alone" / "MedSAM2SlicerLib")
    return tmp_path / "alone"


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """What a Python says that finds the module in a folder."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); from MedSAM2SlicerLib import Paths; "
    return subprocess.run(
        [sys.executable, "-B", "-c", start + code], capture_output=True, text=True, check=False
    )


def test_in_a_checkout_everything_is_found(repository):
    code = "print(Paths.resourcesDirectory(), Paths.sampleDataDirectory(), Paths.bundledServerSource())"
    found = run(repository / "MedSAM2Slicer", code).stdout.split()
    assert found == [
        str(repository / part) for part in ("Resources", "Testing/data/demo", "server/src")
    ]


def test_the_bundled_package_comes_first_once_and_unimported(repository):
    code = (
        "sys.path.append(str(Paths.bundledServerSource())); "
        "Paths.useBundledServer(); Paths.useBundledServer(); "
        "print(sys.path.index(str(Paths.bundledServerSource())), "
        "sys.path.count(str(Paths.bundledServerSource())), 'medsam2' in sys.modules)"
    )
    assert run(repository / "MedSAM2Slicer", code).stdout.split() == ["0", "1", "False"]


@pytest.mark.parametrize(
    ("call", "lacking"),
    [
        ("useBundledServer()", "medsam2"),
        ("resourcesDirectory()", "Resources"),
        ("sampleDataDirectory()", "SampleData"),
    ],
)
def test_a_module_that_was_copied_alone_says_what_is_missing(lone_module, call, lacking):
    said = run(lone_module, f"Paths.{call}").stderr.splitlines()[-1]
    assert said.startswith("FileNotFoundError: MedSAM2Slicer is not complete: ")
    assert lacking in said
    assert said.endswith("Install the extension again.")


def test_a_resource_that_is_absent_is_named(repository):
    said = run(repository / "MedSAM2Slicer", "Paths.resource('Icons/Absent.svg')").stderr
    assert "Absent.svg is missing" in said
