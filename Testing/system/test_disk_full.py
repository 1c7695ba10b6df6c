"""A full disk: one clear error, nothing half-written, and the next try works."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from faults import (
    MIB,
    SOURCE,
    SmallDisk,
    bytes_to_disk,
    full_tmpfs,
    limited_folder,
    shared_blocks,
    written_files,
)
from load import Visitor
from phantoms import moving_ball
from scenes import Scene, Work, clients, outcomes, trapped_server
from server_process import running
from traps import TRAPS, Traps, untrapped

from medsam2.core.errors import ServerBusyError
from medsam2.io.segmentations import read_segments
from medsam2.wire import routes, strict, volumes
from medsam2.wire.messages import Problem

FREE = 4096
WEIGHTS = random.Random(0).randbytes(100_000)
FORMATS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")

DOWNLOAD = """
import dataclasses, sys
from pathlib import Path
from medsam2.core.errors import MedSAM2Error
from medsam2.models.download import download
try:
    download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])
except MedSAM2Error as error:
    print(error.code, end="")
"""


@pytest.fixture(params=[full_tmpfs, limited_folder])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with request.param(tmp_path / "disk", FREE) as disk:
            yield disk
    except PermissionError:
        pytest.skip("this user may not mount a disk; the test with a file-size limit stands for it")


@pytest.fixture
def publisher() -> Iterator[str]:
    """An address with weights: at ``/known`` their size is told first, elsewhere it isn't."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path == "/known":
                self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(WEIGHTS)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("size", ["known", "unknown"])
def test_a_download_to_a_full_disk_leaves_nothing_and_works_once_there_is_room(
    size, disk, publisher, ledger
):
    target = disk.folder / "weights.pt"
    arguments = ("-c", DOWNLOAD, f"{publisher}/{size}", target, hashlib.sha256(WEIGHTS).hexdigest())
    done = disk.run(*arguments)
    code, what = done.stdout, f"download of {size} size to {disk}"
    ledger.check("P18", what, "disk_full", code, passed=code == "disk_full")
    left = {name for name in disk.names() if not name.endswith(".lock")}
    ledger.none("P18", f"leftovers, {what}", len(left))
    disk.make_room()
    done = disk.run(*arguments)
    assert (done.stdout, target.read_bytes() == WEIGHTS) == ("", True), done.stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume on a disk with room."""
    import SimpleITK as sitk

    volume, _ = moving_ball((8, 128, 128))
    path = tmp_path_factory.mktemp("image") / "image.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(volume.voxels_kji), str(path))
    return path


def test_a_result_that_does_not_fit_leaves_nothing_and_works_once_there_is_room(
    disk, image, full, ledger
):
    formats = FORMATS if full else FORMATS[:1]

    def segment(ending: str) -> subprocess.CompletedProcess[str]:
        box = ("--box-ijk", "20,20,0,108,108,7", "--model", "tiny-random", "--overwrite")
        output = disk.folder / f"result{ending}"
        return disk.run("-m", "medsam2", "segment", image, *box, "-o", output)

    full_disk = [segment(ending) for ending in formats]
    clean = [r.returncode == 2 and "No room is left" in r.stderr for r in full_disk]
    what = f"result written to {disk}"
    measured = f"{sum(clean)} of {len(formats)} formats"
    ledger.check("P18", what, "disk_full", measured, passed=all(clean))
    ledger.none("P18", f"leftovers, {what}", len(disk.names()))
    disk.make_room()
    for ending in formats:
        assert segment(ending).returncode == 0
        assert read_segments(disk.folder / f"result{ending}").segments


@pytest.fixture
def model(full: bool) -> str:
    """The fake starts at once: in CI the tests of servers take it."""
    return "tiny-random" if full else "fake"


def test_a_server_writes_nothing_to_disks_but_its_log(model, tmp_path, full, ledger):
    scene = Scene()
    with (
        trapped_server(Traps(tmp_path), model) as server,
        clients(server.url, server.tokens) as both,
    ):
        expected = scene.masks(both[0])
        (worker,) = server.worker_pids()
        before, written = bytes_to_disk(worker), set()
        for _ in range(20 if full else 3):
            works = [Work(scene, client) for client in both]
            for work in works:
                work.wait(2)
                written |= written_files(server.pid) | written_files(worker)
            assert outcomes(works) == [expected] * 2
        grown = bytes_to_disk(worker) - before
        assert written == {server._log.name}
    ledger.none("P18", "server: files open for writing beside its log", len(written) - 1)
    ledger.none("P18", "server: bytes that its worker wrote to disks", grown)


def test_a_server_works_on_a_full_disk(model, tmp_path, ledger):
    scene = Scene()
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(full_tmpfs(tmp_path / "disk", 0))
        except PermissionError:
            pytest.skip("this user may not mount a disk")
        home = dict.fromkeys(
            ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"), str(disk.folder)
        )
        env = {**os.environ, **home, "PYTHONDONTWRITEBYTECODE": "1"}
        server = stack.enter_context(
            running(
                factory="traps:TrappedBackend",
                model={"model": model},
                env={**env, TRAPS: str(tmp_path)},
                cwd=disk.folder,
            )
        )
        (client,) = stack.enter_context(clients(server.url, server.tokens))
        same = scene.masks(client) == scene.masks(untrapped(model))
        ledger.check("P18", "server on a full disk: masks", "the same", str(same), passed=same)
        ledger.none("P18", "leftovers of a server on a full disk", len(disk.names()))


def test_a_log_on_a_full_disk_stops_no_server(ledger):
    model = ("--model", "tiny-random", "--device", "cpu", "--precision", "fp32")
    command = [sys.executable, "-m", "medsam2", "serve", "--port", "0", *model]
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "MEDSAM2_TOKEN": "t" * 43}
    with (
        Path("/dev/full").open("w") as full_disk,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=full_disk, text=True
        ) as process,
    ):
        try:
            line = process.stdout.readline()
            address = re.search(r"http://[\d.:]+", line)
            with clients(address[0], ["t" * 43]) as (client,):
                same = Scene().masks(client) == Scene().masks(untrapped("tiny-random"))
        finally:
            process.terminate()
            code = process.wait(20)
    ledger.check(
        "P18", "server whose log's disk is full: masks", "the same", str(same), passed=same
    )
    assert code == 0


def test_a_volume_that_memory_can_not_hold_is_refused_and_fits_later(model, tmp_path, ledger):
    scene, large = Scene(), Scene(slices=600)
    with trapped_server(Traps(tmp_path), model) as server:
        limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (MIB, limits[1]))
        before = shared_blocks(server.pid)
        with clients(server.url, server.tokens, patience_s=1.0) as (client, other):
            with Visitor(server.port, server.token) as visitor:
                header = volumes.header_of(large.volume)
                path = routes.VOLUME.format(volume=large.volume.content_hash)
                answer = visitor.ask("PUT", path, strict.to_json(header))
            with pytest.raises(ServerBusyError, match="memory"):
                client.open(large.volume)
            left = shared_blocks(server.pid) - before
            same = scene.masks(other) == scene.masks(untrapped(model))
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
            client.open(large.volume).close()
    told = f"{answer.status} {strict.from_json(Problem, answer.body).code}"
    ledger.check(
        "P18",
        "volume that memory can't hold",
        "507 no_memory",
        told,
        passed=told == "507 no_memory",
    )
    ledger.none("P18", "blocks left of a volume that memory can't hold", len(left))
    ledger.check("P18", "smaller volume meanwhile: masks", "the same", str(same), passed=same)
