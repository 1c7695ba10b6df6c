"""Memory and start-up, each measured in a process of its own."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from .table import Row

IMPORT = (
    "import time; start = time.perf_counter(); import medsam2.core.backend, medsam2.wire; import sys;"
    "print(time.perf_counter() - start, 'torch' in sys.modules)"
)


def import_row(repeats: int = 7) -> Row:
    """Seconds to import what Slicer imports at start, and that torch is not among it."""
    times = []
    for _ in range(repeats):
        seconds, has_torch = _python("-c", IMPORT).split()
        if has_torch != "False":
            msg = "importing medsam2.core pulled torch in"
            raise RuntimeError(msg)
        times.append(float(seconds))
    name = "import medsam2.core, medsam2.wire (no torch)"
    return Row(name, statistics.median(times) * 1000, "ms", 150.0, at_most=True)


def memory_row() -> Row:
    """Peak memory of a pass over 512x512x300 at 512 px above the volume and the model."""
    peak, start = (float(part) for part in _python("-m", "medsam2.bench.footprint").split())
    detail = f"peak {peak:.2f} GB, {start:.2f} GB with volume and model loaded"
    name = "peak memory above the volume, 512x512x300, 512 px"
    return Row(name, peak - start, "GB", 1.0, at_most=True, detail=detail)


def _python(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 (this interpreter, on this package's own code)
        [sys.executable, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip().splitlines()[-1]


def _resident_gb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e9


def _whole_volume() -> tuple[float, float]:
    from .rivals import Ours, phantom

    volume, boxes = phantom(300)
    ours = Ours(512)
    start = _resident_gb()
    with ours.session(volume) as session:
        ours.run(session, boxes[:1], index=150)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, start


if __name__ == "__main__":
    print(*_whole_volume())
