"""P16: a patient's name and identifiers reach no server, and voxels stay in memory."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel
import numpy as np
import pytest
from faults import shared_blocks
from raw_http import RawHttp
from server_process import SOURCE, ServerProcess, running
from socket_proxy import SocketProxy

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import SessionOptions
from medsam2.core.errors import MedSAM2Error
from medsam2.core.prompts import BoxPrompt, ObjectPrompts, PointPrompt, mask_on_slice
from medsam2.core.volume import Volume
from medsam2.wire import routes

NAME, UID, NUMBER = "Sentinelova^Wilhelmina", "1.2.826.0.1.3680043.8.498.4711081542", "MRN0815-4711"
SECRETS = (NAME, "Sentinelova", "Wilhelmina", UID, NUMBER)
PATTERN = np.random.default_rng(16).integers(0, 2000, 64, dtype=np.int16)
"""A row of voxels that is found nowhere else."""

FOLDERS = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
           "XDG_RUNTIME_DIR", "TORCH_HOME", "MPLCONFIGDIR")  # fmt: skip


def forms(text: str) -> set[bytes]:
    """A text as it may be written somewhere."""
    plain = text.encode()
    return {
        plain,
        plain.lower(),
        text.encode("utf-16-le"),
        urllib.parse.quote(text).encode(),
        plain.hex().encode(),
        base64.b64encode(plain)[:-4],
    }


def told(data: bytes) -> list[str]:
    """The secrets that some bytes tell."""
    return [secret for secret in SECRETS if any(form in data for form in forms(secret))]


def private(folder: Path) -> dict[str, str]:
    """An environment in which a process writes nowhere but into a folder."""
    made = {name: folder / name.lower() for name in FOLDERS}
    for path in made.values():
        path.mkdir(parents=True, exist_ok=True)
    return {**os.environ, **{name: str(path) for name, path in made.items()}}


def voxels() -> np.ndarray:
    made = np.random.default_rng(0).integers(0, 400, (8, 64, 64), dtype=np.int16)
    made[:, 20:44, 20:44] += 900
    made[3, 5] = PATTERN
    return made


class Place:
    """A server that can write into its own folder alone, and the wire to it.

    Args:
        server: the process.
        folder: where it may write.
        proxy: that its clients use.
    """

    def __init__(self, server: ServerProcess, folder: Path, proxy: SocketProxy) -> None:
        self.server = server
        self.folder = folder
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"

    def heard(self) -> bytes:
        """All that crossed the wire, both ways."""
        assert self.proxy.heard is not None
        return bytes(self.proxy.heard["up"] + self.proxy.heard["down"])

    def written(self) -> dict[str, bytes]:
        """The server's log, its metrics, and every file that it left, by name."""
        with RawHttp(self.server.port) as http:
            right = {routes.AUTHORIZATION: f"Bearer {self.server.token}"}
            metrics = http.request("GET", routes.METRICS, right).body
        files = {str(p): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
        return {"log": self.server.logs().encode(), "metrics": metrics, **files}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("server")
    work = folder / "work"
    work.mkdir()
    with (
        running(factory="factories:tiny", env=private(folder), cwd=work) as server,
        SocketProxy(server.port, keep=True) as proxy,
    ):
        yield Place(server, folder, proxy)


def check(ledger, place: Place, what: str) -> None:
    """Writes down what was told, where it must not be."""
    written = place.written()
    hits = [(name, secret) for name, data in written.items() for secret in told(data)]
    hits += [(name, secret) for name in written for secret in told(name.encode())]
    hits += [("the wire", secret) for secret in told(place.heard())]
    kept = [name for name, data in written.items() if PATTERN.tobytes() in data]
    assert hits == []
    assert kept == []
    ledger.none("P16", f"names and identifiers told by {what}", len(hits), f"{len(written)} places")
    ledger.none("P16", f"places on disk with voxels after {what}", len(kept), len(written))


def test_the_search_finds_what_it_is_to_find():
    for form in forms(NAME):
        assert told(b"x" + form + b"y")
    assert not told(b"Sentinel")


def test_a_client_tells_nobody_whose_image_it_is(ledger, place):
    headers = {"PatientName": NAME, "PatientID": NUMBER, "StudyInstanceUID": UID}
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    volume = Volume(voxels(), affine, "CT", NAME, headers)
    box = ObjectPrompts((BoxPrompt(3, (18, 18, 46, 46)),), name=f"Tumour of {NAME}")
    with contextlib.closing(RemoteBackend(place.url, place.server.token)) as backend:
        with backend.open(volume, SessionOptions(stop_after_empty=0)) as session:
            session.put(1, box)
            first = [*session.propagate()]
            locked = mask_on_slice(4, voxels()[4] > 800)
            clicks = ObjectPrompts((locked, PointPrompt(3, (30.0, 30.0))), name=NUMBER)
            session.put(2, clicks)
            session.predict(2, 3)
            assert len(first) == len([*session.propagate([2])]) == 8
            assert any(PATTERN.tobytes() in p.read_bytes() for p in shared_blocks(place.server.pid))
        outside = ObjectPrompts((BoxPrompt(99, (1, 1, 2, 2)),), name=NAME)
        with backend.open(volume) as session, pytest.raises(MedSAM2Error):
            session.put(3, outside)
    assert PATTERN.tobytes() in place.heard()
    check(ledger, place, "the client")


def test_the_command_line_tells_nobody_whose_image_it_is(ledger, place, tmp_path):
    home = private(tmp_path)
    source = tmp_path / f"{NAME}.{UID}.nii.gz"
    image = nibabel.Nifti1Image(voxels().T, np.diag([-0.8, -0.8, 2.5, 1.0]))
    image.header["descrip"] = NAME.encode()
    image.header["db_name"] = NUMBER.encode()
    nibabel.save(image, source)
    (tmp_path / "token").write_text(place.server.token)
    (tmp_path / "token").chmod(0o600)
    done = segment(
        source,
        *("--server", place.url, "--token-file", tmp_path / "token"),
        *("--box-ijk", f"{NUMBER}=18,18,1,46,46,6", "-o", tmp_path / f"{NAME}.seg.nrrd"),
        environment=home,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{NAME}.seg.nrrd").is_file()
    check(ledger, place, "the command line")


def segment(*options: object, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs ``medsam2 segment``."""
    return subprocess.run(
        [sys.executable, "-m", "medsam2", "segment", *map(str, options)],
        env={**environment, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_what_a_client_sends_in_any_place_is_never_written_down(ledger, place):
    body = f'{{"{NAME}":"{UID}"}}'.encode()
    right = {routes.AUTHORIZATION: f"Bearer {place.server.token}", "Content-Type": routes.JSON}
    places: dict[str, tuple[str, Mapping[str, str]]] = {
        "a path": (f"/v1/sessions/{urllib.parse.quote(NAME)}/objects/{UID}", {}),
        "a session": (f"/v1/sessions/{NUMBER}", {}),
        "a volume": (f"/v1/volumes/{UID}", {}),
        "nowhere": (f"/{NUMBER}/{UID}", {}),
        "a query": (f"{routes.INFO}?patient={urllib.parse.quote(NAME)}&uid={UID}", {}),
        "an identifier": ("/v1/sessions/" + "0" * 32, {routes.REQUEST: UID, "X-Patient": NAME}),
        "a key": ("/v1/sessions/" + "0" * 32 + "/jobs", {routes.IDEMPOTENCY_KEY: UID}),
        "a host": (routes.INFO, {"Host": NUMBER}),
        "an origin": (routes.INFO, {"Origin": f"https://{NUMBER}.example"}),
        "a type": ("/v1/volumes/" + "0" * 64, {"Content-Type": f"text/{NUMBER}"}),
        "a protocol": (routes.INFO, {routes.PROTOCOL_VERSION: UID}),
        "a token": (routes.INFO, {routes.AUTHORIZATION: f"Bearer {NUMBER}"}),
        "a body": ("/v1/volumes/" + "0" * 64, {}),
    }
    lines = len(place.server.logs().splitlines())
    with RawHttp(place.server.port) as http:
        for method in ("GET", "PUT", "POST", "DELETE", NUMBER):
            for target, headers in places.values():
                http.request(method, target, {**right, **headers}, body)
    assert len(place.server.logs().splitlines()) > lines + 4 * len(places)
    hits = [(name, secret) for name, data in place.written().items() for secret in told(data)]
    assert hits == []
    ledger.none("P16", "words of requests that the log or a file repeats", len(hits))


def test_no_process_leaves_its_memory_in_a_core_file(ledger, place):
    processes = [place.server.pid, *place.server.worker_pids()]
    limits = [Path(f"/proc/{pid}/limits").read_text() for pid in processes]
    allowed = [text for text in limits if not re.search(r"Max core file size\s+0\s+0\s", text)]
    assert len(processes) == 2
    ledger.none("P16", "processes that may write a core file", len(allowed), len(processes))


def test_no_voxels_stay_behind_when_the_server_is_gone(ledger, tmp_path):
    with running(env=private(tmp_path), cwd=tmp_path) as server:
        with contextlib.closing(RemoteBackend(server.url, server.token)) as backend:
            session = backend.open(Volume(voxels(), np.eye(4)))
            session.put(1, ObjectPrompts((BoxPrompt(3, (18, 18, 46, 46)),)))
            blocks = shared_blocks(server.pid)
            assert blocks
            session.close()
        assert server.terminate() == 0
        left = [block for block in blocks if block.exists()]
        kept = [
            p for p in tmp_path.rglob("*") if p.is_file() and PATTERN.tobytes() in p.read_bytes()
        ]
    ledger.none("P16", "blocks of memory that outlive the server", len(left), len(blocks))
    ledger.none("P16", "files with voxels that outlive the server", len(kept))
