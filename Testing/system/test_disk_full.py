"""A full disk: one clear error, nothing half-written, and the next try works."""

from __future__ import annotations

import hashlib
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from faults import SmallDisk, full_tmpfs, limited_folder
from phantoms import moving_ball

from medsam2.io.segmentations import read_segments

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
