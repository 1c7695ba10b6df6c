"""The second half of ``make bench``: the same work in process and over loopback, in one run.

Both sides are warmed up, then take turns; the median of the pairs' ratios counts, so that a machine
that is slow for a while slows both. The server is a real one, started with ``medsam2 serve``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from medsam2.core.backend import Backend, Session, SessionOptions
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.core.volume import Volume
from medsam2.wire import arrays, volumes

from .table import Row, measure

PREDICTIONS = 15
TEST_MODEL = "tiny-random"
"""Takes a few milliseconds a slice, so that its rows tell the cost of a slice's way rather than what a
user would feel; they have no aim in per cent."""


@contextlib.contextmanager
def served(model: str, *options: str) -> Iterator[tuple[str, str]]:
    """Runs a server on a free port of this machine; yields its address and its token."""
    token = secrets.token_urlsafe(32)
    command = [sys.executable, "-m", "medsam2", "serve", "--port", "0", "--model", model, *options]
    environment = {**os.environ, "MEDSAM2_TOKEN": token}
    with subprocess.Popen(  # noqa: S603 (this interpreter, on this package's own code)
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", line)
            if found is None:
                msg = f"The server did not start: {line!r}"
                raise RuntimeError(msg)
            yield found.group(), token
        finally:
            process.terminate()


def serving_rows(model: str, slices: int, repeats: int) -> list[Row]:
    """A propagation and a prompt over loopback against the same in process."""
    from medsam2.client.backend import RemoteBackend
    from medsam2.engine.backend import LocalBackend
    from medsam2.models.load import load_model

    volume = ct_like((slices, 256, 256))
    with served(model, "--device", "cpu") as (url, token):
        local, remote = LocalBackend(load_model(model), "cpu"), RemoteBackend(url, token)
        whole = _alternating(repeats, *(_propagation(b, volume) for b in (local, remote)))
        clicks = _clicks(local, remote, volume)
        remote.close()
        local.close()
    here, there = (statistics.median(times) for times in whole)
    extra = (statistics.median(b / a for a, b in zip(*whole, strict=True)) - 1) * 100
    more = 1000 * (statistics.median(clicks[1]) - statistics.median(clicks[0]))
    detail = f"{there:.3g} s against {here:.3g} s; {1000 * (there - here) / slices:.2g} ms a slice"
    clicked = f"{1000 * statistics.median(clicks[0]):.3g} ms in process"
    aim = None if model == TEST_MODEL else 5.0
    return [
        Row(f"a propagation over {slices} slices, {model}, over loopback", extra, "% more", aim,
            at_most=True, detail=detail),
        Row(f"a second prompt, {model}, over loopback", more, "ms more", 15.0, at_most=True,
            detail=clicked),
    ]  # fmt: skip


def upload_rows() -> list[Row]:
    """How fast a volume gets into the server, and what compressing it saves."""
    from medsam2.client.backend import RemoteBackend
    from medsam2.client.upload import narrowed as hash_it

    seconds = []
    with served(TEST_MODEL, "--device", "cpu") as (url, token):
        remote = RemoteBackend(url, token)
        for seed in range(5):
            volume = ct_like((300, 512, 512), seed)
            hash_it(volume)
            begun = time.perf_counter()
            remote.open(volume).close()
            seconds.append(time.perf_counter() - begun)
        remote.close()
    megabytes = volume.voxels_kji.nbytes / 1e6
    header = volumes.header_of(volume)
    frames = [
        arrays.encode(volume.voxels_kji[header.chunk(number)], "zlib")
        for number in range(0, header.chunk_count, 4)
    ]
    raw = sum(arrays.header_of(frame).shape[0] for frame in frames) * volume.voxels_kji[0].nbytes
    return [
        Row("open a 512x512x300 int16 volume in a server, raw, over loopback",
            megabytes / min(seconds), "MB/s", 300.0,
            detail=f"{megabytes:.0f} MB in {min(seconds):.3g} s, the best of {len(seconds)}; median "
            f"{statistics.median(seconds):.3g} s; the client's own hash, once per volume, not counted"),
        Row("the same volume compressed with zlib", raw / sum(map(len, frames)), "x smaller", 3.0,
            detail="synthetic CT: air, soft tissue with noise of 10 HU, bone"),
    ]  # fmt: skip


def ct_like(shape_kji: tuple[int, int, int], seed: int = 0) -> Volume:
    """A body in air: ellipses of soft tissue and bone in Hounsfield units, with noise."""
    rng = np.random.default_rng(seed)
    count, rows, columns = shape_kji
    j, i = np.ogrid[:rows, :columns]
    body = np.hypot((j - rows / 2) / (rows * 0.3), (i - columns / 2) / (columns * 0.4)) < 1
    voxels = np.empty(shape_kji, np.int16)
    for k in range(count):
        organ = np.hypot(j - rows / 2, i - columns * (0.4 + 0.1 * k / count)) < rows / 8
        bone = np.hypot(j - rows * 0.7, i - columns / 2) < rows / 20
        noise = rng.normal(0, 10, (rows, columns))
        plane = np.where(body, 20 + 80 * organ + 600 * bone + noise, -1000)
        voxels[k] = np.rint(plane)
    return Volume(voxels, np.diag([0.7, 0.7, 2.0, 1.0]), modality="CT")


def _box(volume: Volume) -> tuple[int, int, int, int]:
    rows, columns = volume.voxels_kji.shape[1:3]
    return int(rows * 0.35), int(columns * 0.25), int(rows * 0.65), int(columns * 0.6)


def _propagation(backend: Backend, volume: Volume) -> Callable[[], float]:
    """A new object followed through all slices of a session whose features are kept."""
    session = backend.open(volume, SessionOptions(stop_after_empty=0))
    row0, col0, row1, col1 = _box(volume)
    tries = iter(range(1, 1000))

    def run() -> float:
        number = next(tries)
        box = BoxPrompt(volume.shape_kji[0] // 2, (row0, col0, row1 - number, col1 - number))
        begun = time.perf_counter()
        session.put(number, ObjectPrompts((box,)))
        made = sum(1 for _ in session.propagate([number]))
        seconds = time.perf_counter() - begun
        if made != volume.shape_kji[0]:
            msg = f"{made} slices of {volume.shape_kji[0]} came"
            raise RuntimeError(msg)
        return seconds

    return run


def _alternating(
    repeats: int, here: Callable[[], float], there: Callable[[], float]
) -> tuple[list[float], list[float]]:
    here()
    there()
    pairs = [(here(), there()) for _ in range(repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _clicks(local: Backend, remote: Backend, volume: Volume) -> tuple[list[float], list[float]]:
    sessions = [backend.open(volume) for backend in (local, remote)]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(PREDICTIONS):
        for session, taken in zip(sessions, times, strict=True):
            taken.append(_click(session, volume, number))
    return times[0][2:], times[1][2:]


def _click(session: Session, volume: Volume, number: int) -> float:
    row0, col0, row1, col1 = _box(volume)
    index = volume.shape_kji[0] // 2
    box = BoxPrompt(index, (row0, col0, row1 - number, col1))
    begun = time.perf_counter()
    session.put(1, ObjectPrompts((box,)))
    session.predict(1, index)
    return time.perf_counter() - begun


def main() -> None:
    """Runs all parts and writes ``bench-server.md`` and ``bench-server.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("Testing/results"))
    parser.add_argument("--slices", type=int, default=40)
    options = parser.parse_args()
    parts: list[Callable[[], list[Row]]] = [
        upload_rows,
        lambda: serving_rows("litemedsam", options.slices, 7),
        lambda: serving_rows(TEST_MODEL, options.slices, 7),
    ]
    measure(parts, "Server benchmark", options.output / "bench-server.md")


if __name__ == "__main__":
    main()
