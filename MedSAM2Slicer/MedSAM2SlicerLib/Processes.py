"""Python programs beside Slicer: with which interpreter, in which environment, and how they end.

No shell is used, no window appears, and no library of Slicer is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from . import Paths

WINDOWS = os.name == "nt"
_NAME = "PythonSlicer.exe" if WINDOWS else "PythonSlicer"


def pythonSlicer(slicerHome: str | Path | None = None, executable: str | None = None) -> Path:
    """The interpreter that has Slicer's packages.

    Inside Slicer the running executable may be ``SlicerApp-real``, which is no interpreter;
    PythonSlicer is in the application's ``bin`` folder.

    Args:
        slicerHome: ``slicer.app.slicerHome``; None outside Slicer.
        executable: of this process; ``sys.executable`` if not given.

    Raises:
        EngineError: there is none.
    """
    running = Path(executable or sys.executable)
    folders = [Path(slicerHome) / "bin"] if slicerHome else []
    for folder in (*folders, running.parent):
        if (folder / _NAME).is_file():
            return folder / _NAME
    found = shutil.which(_NAME)
    if found:
        return Path(found)
    if running.stem.lower().startswith("python"):
        return running
    Paths.useBundledServer()
    from medsam2.core.errors import EngineError

    msg = f"{_NAME} was not found beside {running}; install Slicer again."
    raise EngineError(msg)


def environment(source: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with the package ``medsam2`` to be found in ``source``.

    The working folder is kept out of the module path: a file there named like a library would be run.
    """
    own = dict(os.environ)
    paths = [str(source), own.get("PYTHONPATH", "")]
    return {
        **own,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONSAFEPATH": "1",
        "PYTHONIOENCODING": "utf-8",
        **changes,
    }


def start(
    command: Sequence[str | Path], env: Mapping[str, str], *, follows: bool
) -> subprocess.Popen[str]:
    """Starts a program in a group of its own, without a window.

    Args:
        command: the executable and its arguments.
        env: its whole environment.
        follows: gives it a standard input that closes when this process ends, however it ends. The
            operating system sees to that: the other end is inherited by no other process.

    Raises:
        OSError: it can't be started.
    """
    return subprocess.Popen(  # noqa: S603 (a list of arguments of our own, no shell)
        [str(part) for part in command],
        stdin=subprocess.PIPE if follows else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if follows else subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=dict(env),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def readLines(pipe: IO[str], use: Callable[[str], None]) -> threading.Thread:
    """Calls ``use`` with every line of a pipe, in a thread that ends with the pipe."""

    def read() -> None:
        with pipe, contextlib.suppress(OSError, ValueError):
            for line in pipe:
                use(line.rstrip())

    thread = threading.Thread(target=read, name="MedSAM2Slicer-lines", daemon=True)
    thread.start()
    return thread


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a program of :func:`start` and all that it has started, at once.

    PythonSlicer is a launcher: ending it alone would leave the interpreter behind.
    """
    if WINDOWS:
        taskkill = Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "taskkill.exe"
        with contextlib.suppress(OSError):
            subprocess.run(  # noqa: S603 (the system's own program)
                [str(taskkill), "/F", "/T", "/PID", str(process.pid)],
                check=False,
                capture_output=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
