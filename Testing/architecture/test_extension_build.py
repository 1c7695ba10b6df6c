"""The extension as CMake installs it: every file where the module looks for it, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from extension_build import BuildError, Extension, find_cmake

NOT_SHIPPED = {"CMakeLists.txt", "ExtensionsIndex", "Screenshots"}
"""Of Resources: what the README, the index and CMake need."""

SAMPLE_DATA = {"ATTRIBUTION.md", "LICENSE_source.md", "mr_t1.nii.gz"}

ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from MedSAM2SlicerLib import Paths
Paths.useBundledServer()
import medsam2.core.backend
print(json.dumps({
    "resources": str(Paths.resourcesDirectory()),
    "ui": str(Paths.resource("UI/MedSAM2Slicer.ui")),
    "sample": str(Paths.sampleDataDirectory()),
    "server": str(Paths.bundledServerSource()),
    "backend": medsam2.core.backend.__file__,
}))
"""


@pytest.fixture(scope="module")
def cmake() -> Path:
    found = find_cmake()
    if found is None:
        pytest.skip("CMake is not installed")
    return found


@pytest.fixture(scope="module")
def built(cmake, repository, tmp_path_factory) -> Extension:
    extension = Extension(cmake, repository, tmp_path_factory.mktemp("extension"))
    extension.configure()
    extension.install()
    return extension


def files_below(folder: Path) -> Iterator[Path]:
    """Paths relative to a folder; what Python and CMake leave behind is not counted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.name != "CMakeLists.txt":
            yield path.relative_to(folder)


def shipped(repository: Path) -> dict[str, Path]:
    """Where each file of the checkout belongs in the installed tree."""
    module, resources = repository / "MedSAM2Slicer", repository / "Resources"
    source, demo = (
        repository / "server" / "src" / "medsam2",
        repository / "Testing" / "data" / "demo",
    )
    places = {path.as_posix(): module / path for path in files_below(module)}
    for path in files_below(resources):
        if path.parts[0] not in NOT_SHIPPED:
            places[f"Resources/{path.as_posix()}"] = resources / path
    for path in files_below(source):
        places[f"MedSAM2SlicerServer/src/medsam2/{path.as_posix()}"] = source / path
    return places | {f"Resources/SampleData/{name}": demo / name for name in SAMPLE_DATA}


def test_every_file_is_installed_in_its_place_and_no_other(built, repository):
    expected = shipped(repository)
    installed = {path.as_posix() for path in files_below(built.modules)}
    assert sorted(expected.keys() - installed) == []
    assert sorted(installed - expected.keys()) == []


def test_what_is_installed_is_the_checkouts_byte_for_byte(built, repository):
    for place, file in shipped(repository).items():
        assert (built.modules / place).read_bytes() == file.read_bytes(), place


def test_a_python_on_the_installed_tree_finds_its_files_and_its_own_package(built):
    done = subprocess.run(
        [sys.executable, "-B", "-c", ASK, str(built.modules)],
        capture_output=True,
        text=True,
        check=True,
        cwd=built.folder,
    )
    root = built.modules.resolve()
    assert {name: Path(path) for name, path in json.loads(done.stdout).items()} == {
        "resources": root / "Resources",
        "ui": root / "Resources" / "UI" / "MedSAM2Slicer.ui",
        "sample": root / "Resources" / "SampleData",
        "server": root / "MedSAM2SlicerServer" / "src",
        "backend": root / "MedSAM2SlicerServer" / "src" / "medsam2" / "core" / "backend.py",
    }


def test_the_tests_for_slicer_are_announced_to_it(built):
    announced = {Path(line).name for line in built.noted("unittests.txt")}
    assert announced == {"MedSAM2Slicer.py", "MedSAM2SlicerSelfTest.py"}


def test_the_description_reaches_slicer(built):
    fields = dict(line.split(" ", 1) for line in built.noted("description.txt"))
    assert fields["DEPENDS"] == "NA"
    assert fields["ICONURL"].endswith("Resources/Icons/MedSAM2Slicer.png")


def test_a_second_build_has_nothing_to_do(built):
    before = {
        path: (built.modules / path).stat().st_mtime_ns for path in files_below(built.modules)
    }
    built.install()
    after = {path: (built.modules / path).stat().st_mtime_ns for path in files_below(built.modules)}
    assert after == before


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("slicerMacroBuildScriptedModule(NAME A SCRIPTS absent.py)", "there is no absent.py"),
        ("slicerMacroBuildScriptedModule(NAME A SCRIPT a.py)", "unknown or missing words"),
        ("slicer_add_python_unittest(SCRIPT absent.py)", "there is no"),
        ("include(${Slicer_EXTENSION_GENERATE_CONFIG})", "EXTENSION_HOMEPAGE is not set"),
        ("include(${Slicer_EXTENSION_CPACK})", "the package lacks"),
    ],
)
def test_the_stand_in_refuses_what_slicers_macros_refuse(cmake, tmp_path, call, complaint):
    (tmp_path / "a.py").touch()
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16.3...3.28)\nproject(A)\n"
        f"find_package(Slicer REQUIRED)\ninclude(${{Slicer_USE_FILE}})\n{call}\n"
    )
    with pytest.raises(BuildError, match=complaint):
        Extension(cmake, tmp_path, tmp_path / "made").configure()
