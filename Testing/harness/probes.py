"""What is measured from outside: answers to ``/health``, memory, files and threads of processes.

Run as a program, this file is the probe itself: a small process with nothing but sockets in it, so that
neither the test nor the load it makes can delay the watch.
"""

from __future__ import annotations

import contextlib
import json
import math
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psutil import Process

MIB = 1 << 20
LATE_S = 30.0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def slope(values: Sequence[float]) -> float:
    """Growth from one value to the next, by least squares."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    weights = [n - middle for n in range(len(values))]
    return sum(w * (v - mean) for w, v in zip(weights, values, strict=True)) / sum(
        w * w for w in weights
    )


class Watch:
    """Seconds that ``/health`` took, each time it was asked; a refusal or silence counts as 30 s."""

    def __init__(self) -> None:
        self.seconds: list[float] = []


@contextlib.contextmanager
def watching(port: int, period_s: float = 0.02) -> Iterator[Watch]:
    """Asks for ``/health`` again and again while the block runs."""
    watch = Watch()
    command = [sys.executable, "-S", __file__, str(port), str(period_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield watch
            answered, _ = process.communicate(timeout=LATE_S + 5)
            watch.seconds = json.loads(answered)
        finally:
            process.kill()


@contextlib.contextmanager
def bystanders(processes: Sequence[Process]) -> Iterator[list[float]]:
    """Measures what other programs take of the machine while the block runs.

    Args:
        processes: that are not other programs; neither is this one.

    Yields:
        The share of all cores, once the block is left.
    """
    import psutil

    def busy() -> tuple[float, float]:
        machine = psutil.cpu_times()
        times = [process.cpu_times() for process in (psutil.Process(), *processes)]
        return sum(machine) - machine.idle - machine.iowait, sum(t.user + t.system for t in times)

    share: list[float] = []
    begun, (all_before, ours_before) = time.monotonic(), busy()
    yield share
    all_after, ours_after = busy()
    others = (all_after - all_before) - (ours_after - ours_before)
    share.append(max(0.0, others) / (time.monotonic() - begun) / (psutil.cpu_count() or 1))


def held_bytes(processes: Sequence[Process]) -> int:
    """Memory of processes together; what they share counts once (the kernel's PSS)."""
    return sum(process.memory_full_info().pss for process in processes)


def peak_rss_bytes(pid: int) -> int:
    """The most memory that a process ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def probe(port: int, period_s: float) -> list[float]:
    """Asks for ``/health`` until standard input ends."""
    taken = []
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    connection = None
    while not select.select([sys.stdin], [], [], period_s)[0]:
        begun = time.perf_counter()
        try:
            connection = connection or socket.create_connection(("127.0.0.1", port), LATE_S)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\nok\n"):
                answer += connection.recv(4096) or _silence()
        except OSError:
            answer = b""
        if answer:
            taken.append(time.perf_counter() - begun)
            continue
        taken.append(LATE_S)
        if connection is not None:
            connection.close()
            connection = None
    return taken


def _silence() -> bytes:
    raise ConnectionError


if __name__ == "__main__":
    json.dump(probe(int(sys.argv[1]), float(sys.argv[2])), sys.stdout)
