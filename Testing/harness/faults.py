"""Things that break: disks, files, processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from server_process import ServerProcess

SOURCE = Path(__file__).resolve().parents[2] / "server" / "src"
MIB = 1 << 20


def wait_until(condition: Callable[[], bool], seconds: float, step_s: float = 0.01) -> float:
    """Waits for something to become true; returns the seconds that it took.

    Raises:
        TimeoutError: it didn't.
    """
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            msg = f"nothing happened for {seconds} s"
            raise TimeoutError(msg)
        time.sleep(step_s)
    return time.monotonic() - start


# Servers


def ask(server: ServerProcess, path: str) -> tuple[int, str]:
    """Asks a server once; returns status and body, or 0 and nothing if no answer comes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def until_ready(server: ServerProcess, seconds: float = 60.0) -> float:
    """Waits until a server could start a job; returns the seconds that it took."""
    return wait_until(lambda: ask(server, "/ready")[0] == 200, seconds)


def count(server: ServerProcess, series: str) -> float:
    """One of the numbers that a server counts; 0 if it counts no such thing yet."""
    lines = ask(server, "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(series))


# Disks


class SmallDisk:
    """A folder in which little room is left, for programs that :meth:`run` starts.

    Args:
        folder: where to write.
        limit: bytes that a file may have, where the folder's disk itself has room.
        ballast: a file that takes the room, where it is a small disk.
    """

    def __init__(self, folder: Path, *, limit: int | None = None, ballast: Path | None = None):
        self.folder = folder
        self._limit = limit
        self._ballast = ballast

    def __str__(self) -> str:
        return "a 4 MiB disk" if self._ballast else "limited files"

    def make_room(self) -> None:
        """Does what the error's message asks of the user."""
        self._limit = None
        if self._ballast is not None:
            self._ballast.unlink()

    def names(self) -> set[str]:
        """What lies in the folder."""
        return {p.name for p in self.folder.iterdir() if p != self._ballast}

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs Python with these arguments."""

        def limited() -> None:
            if self._limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, self._limit))

        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=limited,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@contextlib.contextmanager
def limited_folder(folder: Path, free: int) -> Iterator[SmallDisk]:
    """A folder in which no file may grow beyond ``free`` bytes."""
    folder.mkdir()
    yield SmallDisk(folder, limit=free)


@contextlib.contextmanager
def full_tmpfs(folder: Path, free: int) -> Iterator[SmallDisk]:
    """A disk of 4 MiB with ``free`` bytes left, until the block ends.

    Raises:
        PermissionError: this user may not mount.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        raise PermissionError
    try:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(4 * MIB - free))
        yield SmallDisk(folder, ballast=ballast)
    finally:
        unmount = ["umount", str(folder)]
        # The last process of a server that has ended may still be about to leave the folder.
        wait_until(lambda: subprocess.run(unmount, check=False).returncode == 0, 10)


# Processes


def family(pid: int) -> list[psutil.Process]:
    """A process's children, grandchildren and so on that live."""
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid).children(recursive=True)
        return [child for child in found if alive(child.pid)]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be fetched by its parent doesn't."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Sends a signal to one process; no matter if it is gone."""
    assert pid > 1, "not a process of ours"
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def open_files(pid: int) -> dict[int, str]:
    """What a process has open, by descriptor."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(entry.name)] = str(entry.readlink())
    return found


@contextlib.contextmanager
def few_open_files(pid: int) -> Iterator[None]:
    """While the block runs, a process can open no further file, socket or pipe."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def written_files(pid: int) -> set[str]:
    """The regular files, beside shared memory, that a process could write to just now."""
    found = set()
    for number, name in open_files(pid).items():
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text(encoding="ascii").splitlines()
            (flags,) = (int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
            regular = stat.S_ISREG(Path(f"/proc/{pid}/fd/{number}").stat().st_mode)
            if regular and flags & os.O_ACCMODE and not name.startswith(("/dev/shm/", "/memfd:")):
                found.add(name)
    return found


def bytes_to_disk(pid: int) -> int:
    """How much a process has had written to disks."""
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes:")))


def shared_blocks(pid: int) -> set[Path]:
    """The files in /dev/shm that a process has open, and that still have a name."""
    named = {Path(name) for name in open_files(pid).values() if name.startswith("/dev/shm/")}
    return {path for path in named if path.exists()}
