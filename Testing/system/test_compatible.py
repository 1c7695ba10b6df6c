"""P23: a server understands the clients of its major version, older and newer ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted
from raw_http import RawHttp
from server_process import ServerProcess, running

from medsam2.core.volume import Volume
from medsam2.wire import arrays, names, records, routes

ACROSS_K = {'"axis":"J"': '"axis":"K"', '"axis": "J"': '"axis": "K"'}
"""The recorded objects are for another axis than the recorded sessions."""

MAJOR = int(routes.PROTOCOL.split(".", maxsplit=1)[0])


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running() as process:
        yield process


@pytest.fixture
def http(server) -> Iterator[RawHttp]:
    with RawHttp(server.port, timeout_s=30) as connection:
        yield connection


@pytest.fixture
def planted(server, http) -> Planted:
    made = Planted(http, server.token)
    made.plant()
    return made


class Recorded:
    """A client of protocol 1.0: its messages are bytes of files, written when that was new.

    Args:
        folder: of the files.
        http: a connection to a server.
        token: a tenant's.
    """

    def __init__(self, folder: Path, http: RawHttp, token: str) -> None:
        self.folder = folder
        self._http = http
        self._headers = {routes.AUTHORIZATION: f"Bearer {token}", routes.PROTOCOL_VERSION: "1.0"}
        self.sent = self.refused = 0

    def text(self, name: str, changed: Mapping[str, str] | None = None) -> bytes:
        """A file, with some of its texts changed: digests depend on the server's model."""
        text = (self.folder / name).read_text("ascii")
        for before, after in (changed or {}).items():
            text = text.replace(before, after)
        return text.encode("ascii")

    def send(self, method: str, target: str, data: bytes, kind: str = routes.JSON) -> Any:
        """Sends a message; returns what answers it."""
        headers = {**self._headers, "Content-Type": kind, routes.IDEMPOTENCY_KEY: names.new_id()}
        answer = self._http.request(method, target, headers, data)
        self.sent += 1
        if answer.status not in {200, 202, 204}:
            self.refused += 1
            print(method, target, answer)
        if answer.headers.get("content-type") == routes.RECORDS:
            return [*records.RecordReader().feed(answer.body)]
        return answer.json() if answer.body else None

    def upload(self, file: Path) -> str:
        """Sends a volume that is one recorded frame; returns its name."""
        frame = file.read_bytes()
        header = arrays.header_of(frame)
        voxels = np.zeros(header.shape, header.dtype)
        arrays.decode_into(frame, voxels)
        name = Volume(voxels, np.eye(4)).content_hash
        self.send("DELETE", path := routes.VOLUME.format(volume=name), b"")
        begin = json.dumps({"dtype": header.dtype, "shape": header.shape}).encode()
        self.send("PUT", path, self.text("volume.json") if header.dtype == "int16" else begin)
        state = self.send("PUT", f"{path}/chunks/0", frame, routes.FRAME)
        assert state == {"complete": True, "missing": []}
        return name


@pytest.fixture
def recorded(repository, server, http) -> Recorded:
    folder = repository / "Testing" / "data" / "wire-1.0"
    if not (folder / "session.json").is_file():
        pytest.skip("the recorded requests, Testing/data/wire-1.0, are absent")
    return Recorded(folder, http, server.token)


def test_every_array_that_a_1_0_client_sent_is_read(ledger, recorded):
    files = sorted(recorded.folder.glob("frame-*.bin"))
    for file in files:
        recorded.upload(file)
    assert len(files) >= 5
    ledger.none("P23", "recorded arrays of 1.0 refused", recorded.refused, recorded.sent)


def test_every_request_that_a_1_0_client_sent_is_obeyed(ledger, recorded):
    recorded.upload(recorded.folder / "frame-int16-raw.bin")
    for name in ("session.json", "session-by-hand.json"):
        path = routes.SESSION.format(session=names.new_id())
        opened = recorded.send("PUT", path, recorded.text(name, ACROSS_K))
        objects = {"1": "object.json", "12": "object-by-hand.json"}
        digests = {
            number: recorded.send("PUT", f"{path}/objects/{number}", recorded.text(file))["digest"]
            for number, file in objects.items()
        }
        then = json.loads(recorded.text("job-propagate.json"))
        for file in ("job-propagate.json", "job-by-hand.json", "job-predict.json"):
            changed = {then["session"]: opened["fingerprint"]}
            changed |= {then["objects"][number]: digests[number] for number in objects}
            found = recorded.send("POST", f"{path}/jobs?wait=20", recorded.text(file, changed))
            assert [found[0][0].kind, found[-1][0].kind] == ["head", "end"]
            assert found[-1][0].state == "done"
    ledger.none("P23", "recorded requests of 1.0 refused", recorded.refused, recorded.sent)


def test_digests_of_prompts_are_those_of_1_0(recorded):
    recorded.upload(recorded.folder / "frame-int16-raw.bin")
    path = routes.SESSION.format(session=names.new_id())
    recorded.send("PUT", path, recorded.text("session.json", ACROSS_K))
    answer = recorded.send("PUT", f"{path}/objects/1", recorded.text("object.json"))
    assert answer == json.loads(recorded.text("object-state.json"))


def test_clients_of_another_minor_version_are_served(ledger, planted):
    versions = [f"{MAJOR}.{minor}" for minor in (0, 1, 2, 9, 10, 99, 999)]
    requests = [
        *planted.bodies(),
        ("GET", routes.INFO),
        ("GET", routes.JOB),
        ("GET", routes.RESULTS),
    ]
    answers = [
        planted.ask(method, template, {routes.PROTOCOL_VERSION: version})
        for version in versions
        for method, template in requests
    ]
    refused = [answer for answer in answers if answer.status not in {200, 202}]
    assert {answer.headers["x-protocol"] for answer in answers} == {routes.PROTOCOL}
    ledger.none("P23", "requests of another minor version refused", len(refused), len(answers))


def test_clients_of_another_major_version_are_told(ledger, planted):
    others = [f"{major}.{minor}" for major in (0, MAJOR + 1, 10 * MAJOR, 99) for minor in (0, 1)]
    requests = [*planted.bodies(), ("GET", routes.INFO), ("DELETE", routes.SESSION)]
    answers = [
        planted.ask(method, template, {routes.PROTOCOL_VERSION: version})
        for version in others
        for method, template in requests
    ]
    served = [answer for answer in answers if (answer.status, answer.fault()) != (426, "")]
    assert served == []
    assert planted.ask("GET", routes.SESSION).status == 200
    ledger.none("P23", "requests of another major version served", len(served), len(answers))


def test_a_client_that_names_no_version_is_served(planted):
    assert planted.ask("GET", routes.INFO).status == 200


def test_a_client_of_another_run_is_told_to_start_again(planted):
    assert planted.ask("GET", routes.SESSION, {routes.RUN: planted.run}).status == 200
    answer = planted.ask("GET", routes.SESSION, {routes.RUN: "0" * 32})
    assert (answer.status, answer.json()["code"]) == (410, "restarted")


def test_health_needs_no_version(http):
    for version in ("99.0", "nonsense", ""):
        assert http.request("GET", routes.HEALTH, {routes.PROTOCOL_VERSION: version}).status == 200
