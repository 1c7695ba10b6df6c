"""Configures, builds and installs an extension with plain CMake and a stand-in for Slicer's build."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

STUB = Path(__file__).with_name("slicer_cmake_stub")
NO_NETWORK = dict.fromkeys(
    ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9"
)
NO_COMPILER = [
    option
    for language in ("C", "CXX")
    for option in (
        f"-DCMAKE_{language}_COMPILER={sys.executable}",
        f"-DCMAKE_{language}_COMPILER_ID_RUN=1",
        f"-DCMAKE_{language}_COMPILER_FORCED=1",
    )
]
"""project() asks for compilers that a module of Python never calls; any program passes for one."""


class BuildError(Exception):
    """CMake refused; the text is what it said."""


def find_cmake() -> Path | None:
    """CMake's program: the one beside this Python, or the machine's."""
    beside = Path(sys.executable).with_name("cmake")
    elsewhere = shutil.which("cmake")
    return beside if beside.exists() else Path(elsewhere) if elsewhere else None


@dataclasses.dataclass(frozen=True)
class Extension:
    """One extension in a folder of its own.

    Args:
        cmake: the program.
        source: the folder with the top CMakeLists.txt.
        folder: an empty one for everything that is made.
    """

    cmake: Path
    source: Path
    folder: Path

    @property
    def build_folder(self) -> Path:
        """Where CMake works."""
        return self.folder / "build"

    @property
    def modules(self) -> Path:
        """The installed folder that Slicer would add to its module paths."""
        [found] = (self.folder / "installed").glob("lib/Slicer-*/qt-scripted-modules")
        return found

    def configure(self) -> None:
        """Reads the CMakeLists.txt.

        Raises:
            BuildError: they don't fit together.
        """
        self._run("-S", self.source, "-B", self.build_folder, "-G", "Unix Makefiles",
                  f"-DSlicer_DIR={STUB}", "-DBUILD_TESTING=ON", *NO_COMPILER)  # fmt: skip

    def install(self) -> None:
        """Builds and installs.

        Raises:
            BuildError: a step failed.
        """
        self._run("--build", self.build_folder)
        self._run("--install", self.build_folder, "--prefix", self.folder / "installed")

    def noted(self, name: str) -> list[str]:
        """The lines that the stand-in wrote down while configuring."""
        return (self.build_folder / name).read_text("utf-8").splitlines()

    def _run(self, *arguments: str | Path) -> None:
        done = subprocess.run(
            [str(self.cmake), *map(str, arguments)],
            env={**os.environ, **NO_NETWORK},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(done.stdout + done.stderr)
