"""P20: what a server says of itself is so: alive, ready, and what it has done."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from faults import wait_until
from phantoms import moving_ball
from planted import Planted
from raw_http import Answer, RawHttp
from server_process import ServerProcess, running

from medsam2.wire import names, routes

LABELS = re.compile(r'(\w+)="([^"]*)"')


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


def get(http: RawHttp, server: ServerProcess, path: str) -> Answer:
    return http.request("GET", path, {routes.AUTHORIZATION: f"Bearer {server.token}"})


def state(http: RawHttp, server: ServerProcess) -> tuple[int, int, str, float]:
    """What a server says: statuses of health and readiness, the refusal's code, workers that are up."""
    ready = get(http, server, routes.READY)
    assert ready.fault() == ""
    code = "" if ready.status == 200 else str(ready.json()["code"])
    health = get(http, server, routes.HEALTH).status
    return health, ready.status, code, metrics(http, server)["medsam2_worker_up"]


def reason(http: RawHttp, server: ServerProcess) -> str:
    return str(get(http, server, routes.READY).json()["message"])


def metrics(http: RawHttp, server: ServerProcess) -> dict[str, float]:
    """Every series by its name and labels."""
    lines = get(http, server, routes.METRICS).body.decode("utf-8").splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_a_server_is_alive_at_once_and_ready_when_its_model_is_loaded(ledger):
    with ServerProcess(factory="factories:slow") as server, RawHttp(server.port) as http:
        starting = state(http, server)
        assert "loading" in reason(http, server)
        server.wait_ready()
        told = {starting: (200, 503, "not_ready", 0), state(http, server): (200, 200, "", 1)}
    wrong = [found for found, wanted in told.items() if found != wanted]
    ledger.none("P20", "states of a server that starts, told wrongly", len(wrong), 2)


def test_a_lost_worker_is_told_within_a_second(ledger, full, server, http, planted):
    latest, count = 0.0, 20 if full else 3
    before = metrics(http, server)["medsam2_worker_restarts_total"]
    for number in range(1, count + 1):
        wait_until(lambda: get(http, server, routes.READY).status == 200, 20)
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        took = wait_until(lambda: get(http, server, routes.READY).status == 503, 20, step_s=0.002)
        latest = max(latest, took)
        assert "lost" in reason(http, server)
        assert metrics(http, server)["medsam2_worker_restarts_total"] == before + number
    wait_until(lambda: get(http, server, routes.READY).status == 200, 20)
    assert planted.ask("GET", routes.SESSION).status == 200
    ledger.at_most("P20", f"until a lost worker is told, worst of {count}", 1, latest, "s")


def test_a_model_that_cannot_be_used_is_told_with_the_reason(ledger):
    with ServerProcess(factory="factories:unusable") as server, RawHttp(server.port) as http:
        wait_until(lambda: '"worker_unusable"' in server.logs(), 60)
        found = state(http, server)
        assert "download them again" in reason(http, server)
    wrong = int(found != (200, 503, "not_ready", 0))
    ledger.none("P20", "states of a server without a model, told wrongly", wrong, 1)


def test_a_server_that_goes_down_says_so_until_its_jobs_are_over(ledger):
    environment = {**os.environ, "SLICE_S": "0.15"}
    with running(env=environment) as server, RawHttp(server.port) as http:
        planted = Planted(http, server.token)
        planted.plant()
        planted.job = names.new_id()
        assert planted.ask("POST", routes.JOBS).status == 202
        os.kill(server.pid, signal.SIGTERM)
        wait_until(lambda: get(http, server, routes.READY).status == 503, 5)
        found = state(http, server)
        refused = planted.ask("POST", routes.JOBS, {routes.IDEMPOTENCY_KEY: names.new_id()})
        assert (refused.status, refused.json()["code"]) == (503, "shutdown")
        assert "retry-after" in refused.headers
        results = planted.ask("GET", routes.RESULTS, query="?wait=20")
        assert results.body.count(b'"kind":"slice"') == planted.volume.voxels_kji.shape[0]
        assert server.process is not None
        assert server.process.wait(15) == 0
    wrong = int(found != (200, 503, "shutdown", 1))
    ledger.none("P20", "states of a server that goes down, told wrongly", wrong, 1)


def test_metrics_are_few_and_name_nobody(ledger, server, http, planted):
    known = [*planted.ids().values(), server.token, "tenant0", planted.fingerprint, planted.run]
    for status in provoke(http, planted):
        assert status >= 200
    found = metrics(http, server)
    labels = {value for series in found for _, value in LABELS.findall(series)}
    telling = [text for text in known if len(text) > 3 and any(text in label for label in labels)]
    telling += [label for label in labels if re.search(r"[0-9a-f]{8}", label)]
    ledger.at_most("P20", "series in /metrics", 60, len(found))
    ledger.none("P20", "identifiers in labels", len(telling), len(labels))


def provoke(http: RawHttp, planted: Planted) -> Iterator[int]:
    """Has the server answer in as many ways as come to mind."""
    nothing = {routes.AUTHORIZATION: ""}
    yield http.request("GET", "/nothing", planted.headers()).status
    yield http.request("PATCH", routes.INFO, planted.headers()).status
    for headers in (nothing, {"Host": "x"}, {"Origin": "x"}, {routes.PROTOCOL_VERSION: "9.0"},
                    {routes.RUN: "0" * 32}, {"Content-Type": "text/plain"}):  # fmt: skip
        yield planted.ask("PUT", routes.SESSION, headers).status
    yield planted.ask("PUT", routes.VOLUME, data=b"{").status
    yield planted.ask("PUT", routes.VOLUME, data=b" " * (1 << 20)).status
    yield planted.ask("PUT", routes.OBJECT, data=b"{}").status
    yield planted.ask("POST", routes.JOBS, {routes.IDEMPOTENCY_KEY: names.new_id()}).status
    yield planted.ask("DELETE", routes.SESSION).status
    yield planted.ask("GET", routes.SESSION).status


def test_metrics_count_what_is_there(server, http):
    thing = Planted(http, server.token, moving_ball((5, 22, 26), seed=3)[0])
    before = metrics(http, server)
    thing.plant()
    with_it = metrics(http, server)
    thing.ask("DELETE", routes.SESSION)
    thing.ask("DELETE", routes.VOLUME)
    after = metrics(http, server)
    size, slices = thing.volume.voxels_kji.nbytes, thing.volume.voxels_kji.shape[0]
    done = 'medsam2_jobs_total{kind="propagate",state="done"}'
    for name, more in (("medsam2_sessions", 1), ("medsam2_volumes", 1)):
        assert (with_it[name], after[name]) == (before[name] + more, before[name])
    assert with_it["medsam2_slices_total"] == before["medsam2_slices_total"] + slices
    assert with_it[done] == before.get(done, 0) + 1
    assert size < with_it["medsam2_memory_bytes"] - before["medsam2_memory_bytes"] < size + 5000
    assert after["medsam2_memory_bytes"] == before["medsam2_memory_bytes"]


def test_health_is_told_while_every_handler_is_busy(server, http, planted):
    stop = threading.Event()

    def load() -> None:
        with RawHttp(server.port) as connection:
            while not stop.is_set():
                Planted(connection, server.token).plant()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        begun = time.monotonic()
        while time.monotonic() - begun < 1:
            assert http.request("GET", routes.HEALTH).status == 200
    finally:
        stop.set()
        thread.join()
