"""P4, P5: nothing that anybody sends costs the server memory, time or its composure."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import random
import re
import statistics
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from bombs import MIB, bombs
from http_garbage import SMUGGLED, TRAVERSALS, shapes
from hypothesis import HealthCheck, Phase, given, settings
from openapi_cases import cases, checks
from phantoms import moving_ball
from planted import Body, Planted
from raw_http import Answer, RawHttp, exchange
from schemathesis import Case
from server_process import ServerProcess, running
from wire_fuzz import CHANGES
from wire_samples import Sample

from medsam2.wire import names, routes, strict

LIMITS = {"header_s": 1, "body_s": 1, "volume_bytes": 8 * MIB, "memory_bytes": 64 * MIB,
          "tenant_bytes": 64 * MIB, "tenant_sessions": 8}  # fmt: skip
REPLY = re.compile(rb"HTTP/1\.1 ([2-5]\d\d) ")
INSIDE = re.compile(rb"Traceback|File \"|/(root|home|usr|work|tmp)/|root:|\.py\b")
"""What a refusal must not tell."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(limits=LIMITS, dev=True) as process:
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


@pytest.fixture
def upload(server, http) -> Planted:
    """A volume that no session uses, for chunks to be tried on."""
    return Planted(http, server.token, moving_ball((4, 18, 14), seed=7)[0])


def rss(server: ServerProcess) -> float:
    return psutil.Process(server.pid).memory_info().rss / MIB


def peak(server: ServerProcess) -> float:
    """The most memory since the last :func:`forget_peak`."""
    status = Path(f"/proc/{server.pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak(server: ServerProcess) -> None:
    """Where the system does not let us, small messages still come before large ones."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{server.pid}/clear_refs").write_text("5", "ascii")


def sample_of(body: Body) -> Sample:
    """A right body, as the fuzzer takes it."""
    if body.media_type == routes.JSON:
        return Sample("json", body.data, b"", lambda text, _: text, len)
    (size,) = struct.unpack_from(">I", body.data, 4)

    def seal(text: bytes, rest: bytes) -> bytes:
        return struct.pack(">4sI", b"MS2A", len(text)) + text + rest

    return Sample("frame", body.data[8 : 8 + size], body.data[8 + size :], seal, len)


def test_damaged_messages_are_refused_in_kind_and_at_once(ledger, full, server, planted, upload):
    luck, count = random.Random(0), 12_000 if full else 300
    things = dict.fromkeys(planted.bodies(), planted) | {("PUT", routes.CHUNK): upload}
    faults, statuses, took = Counter[str](), Counter[int](), []
    before = rss(server)
    for number in range(count):
        if number == count // 4:
            before = rss(server)  # by then the server has made its first of everything
        (method, template), thing = luck.choice([*things.items()])
        sample = sample_of(thing.bodies()[method, template])
        data = luck.choice(CHANGES)(sample, luck)
        if thing is upload:
            upload.ask("DELETE", routes.VOLUME)
            upload.ask("PUT", routes.VOLUME)
        begun = time.perf_counter()
        answer = thing.ask(method, template, data=data)
        took += [time.perf_counter() - begun] if answer.status >= 400 else []
        faults[answer.fault()] += 1
        statuses[answer.status] += 1
    grown = rss(server) - before
    del faults[""]
    assert faults == {}
    assert len(took) > count / 2, statuses
    planted.plant()
    ledger.none("P4", "damaged messages answered wrongly", faults.total(), count)
    ledger.at_most("P4", "growth of the API process by them", 32, grown, "MiB")
    ledger.at_most("P4", "median of a refusal", 5, 1000 * statistics.median(took), "ms")


def test_the_openapi_document_needs_a_token_too(http, planted):
    assert http.request("GET", "/openapi.json", planted.headers()).status == 200
    assert http.request("GET", "/openapi.json").status == 401


def test_bombs_cost_a_few_times_what_they_weigh_at_most(ledger, server, planted, upload):
    before, small, large, slowest = rss(server), 0.0, 0.0, 0.0
    found = sorted(bombs(upload).items(), key=lambda bomb: len(bomb[1][2].data))
    for name, (method, template, body) in found:
        thing = planted
        if template == routes.CHUNK:
            thing = upload
            upload.ask("DELETE", routes.VOLUME)
            upload.ask("PUT", routes.VOLUME)
        forget_peak(server)
        resting, begun = rss(server), time.perf_counter()
        answer = thing.ask(method, template, data=body.data)
        slowest = max(slowest, time.perf_counter() - begun)
        assert (answer.fault(), answer.status in {400, 413, 422}) == ("", True), (name, answer)
        grown = peak(server) - resting
        if len(body.data) < MIB:
            small = max(small, grown)
        else:
            large = max(large, grown)
    planted.plant()
    ledger.at_most("P4", f"peak for one of {len(found)} bombs", 32, small, "MiB")
    ledger.at_most("P4", "peak for one bomb of 16 MiB", 64, large, "MiB")
    ledger.at_most("P4", "growth of the API process by all bombs", 48, rss(server) - before, "MiB")
    ledger.at_most("P4", "slowest refusal of a bomb", 1, slowest, "s")


def test_cases_from_the_openapi_document_get_what_it_says(ledger, full, server, http, planted):
    document = http.request("GET", "/openapi.json", planted.headers()).json()
    content = {"session": planted.fingerprint, "volume": planted.sha256}
    rules, faults, statuses = checks(), Counter[str](), Counter[int]()
    count = 10_000 if full else 100
    every = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much,
             HealthCheck.large_base_example]  # fmt: skip

    with requests.Session() as session:
        session.trust_env = False

        @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate],
                  suppress_health_check=every)  # fmt: skip
        @given(case=cases(document, planted.ids(), content))
        def ask(case: Case) -> None:
            answer = case.call(base_url=server.url, session=session, headers=planted.headers())
            statuses[answer.status_code] += 1
            faults[Answer(answer.status_code, {}, answer.content).fault()] += 1
            case.validate_response(answer, checks=rules)
            if case.method == "DELETE":
                planted.plant()

        ask()
    del faults[""]
    assert statuses.total() >= count
    assert {200, 204, 400, 404, 409, 422} <= set(statuses) or not full, statuses
    ledger.none("P5", "cases of schemathesis answered wrongly", faults.total(), statuses.total())


def test_bytes_that_are_no_http_are_refused_or_cut_off(ledger, server, planted):
    victim = routes.SESSION.format(**planted.ids())
    found = shapes(f"127.0.0.1:{server.port}", planted.headers()[routes.AUTHORIZATION], victim)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda data: exchange(server.port, data)[0], found.values())
        wrong = [(n, got) for n, got in zip(found, answers, strict=True) if not is_decent(n, got)]
    assert wrong == []
    assert planted.ask("GET", routes.SESSION).status == 200, "a smuggled request was obeyed"
    ledger.none("P5", "shapes of bytes answered wrongly", len(wrong), len(found))


def is_decent(name: str, got: bytes) -> bool:
    """Whether the answer to a shape is a typed refusal, or no answer, or one to a decent request."""
    statuses = [int(status) for status in REPLY.findall(got)]
    typed = got.count(b'{"code":') == sum(status >= 400 for status in statuses)
    smuggled = name.startswith(SMUGGLED) and len(statuses) != 1
    return typed and not smuggled and not any(s >= 500 for s in statuses) and not INSIDE.search(got)


def test_odd_targets_lead_nowhere(ledger, http, planted):
    wrong = []
    for target in TRAVERSALS:
        answer = http.request("GET", target, planted.headers())
        led = answer.status not in {400, 404} and not target.startswith(("/v1/info?", "/openapi"))
        if led or answer.fault() or INSIDE.search(answer.body):
            wrong.append((target[:80], answer))
    assert wrong == []
    ledger.none("P5", "odd targets that lead somewhere", len(wrong), len(TRAVERSALS))


def test_odd_headers_and_queries_are_refused_in_kind(ledger, full, http, planted):
    luck, faults, count = random.Random(1), Counter[str](), 2000 if full else 100
    texts = ["", "0", "-1", "1.0", "2.0", "1", "1.", ".", "9" * 400, "\u00b2", "1e3", "\u00ff" * 9,
             "a" * 32, "F" * 32, "0" * 31, " ", "\t", "null", "../..", "%00", "inf", "nan", "+1",
             "0x1"]  # fmt: skip
    names = (routes.PROTOCOL_VERSION, routes.REQUEST, routes.SESSION_ID, routes.RUN,
             routes.IDEMPOTENCY_KEY, "Content-Type", "Accept", "Accept-Encoding", "Range",
             "If-Match", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Cookie")  # fmt: skip
    for _ in range(count):
        headers = {name: luck.choice(texts) for name in luck.sample(names, 2)}
        query = f"?after={luck.choice(texts)}&wait={luck.choice(texts)}"
        method, template = luck.choice(
            [*planted.bodies(), ("GET", routes.RESULTS), ("GET", routes.JOB)]
        )
        safe = query.encode("ascii", "replace").decode().replace(" ", "+").replace("\t", "")
        faults[planted.ask(method, template, headers, safe).fault()] += 1
    del faults[""]
    assert faults == {}
    ledger.none("P5", "odd headers and queries answered wrongly", faults.total(), count)


def test_a_session_that_cannot_be_opened_costs_no_other(planted):
    opened = []
    for _ in range(LIMITS["tenant_sessions"]):
        planted.session = names.new_id()
        assert planted.ask("PUT", routes.SESSION).status == 200
        opened.append(planted.session)
    planted.session = names.new_id()
    flat = dataclasses.replace(planted.request, affine_ijk_to_ras=((0.0,) * 4,) * 4)
    assert planted.ask("PUT", routes.SESSION, data=strict.to_json(flat)).status == 422
    for session in opened:
        planted.session = session
        assert planted.ask("GET", routes.SESSION).status == 200
        assert planted.ask("DELETE", routes.SESSION).status == 204


def test_the_server_is_as_well_afterwards_as_before(server, http, planted):
    assert http.request("GET", routes.HEALTH).status == 200
    assert planted.ask("GET", routes.READY).status == 200
    assert '"defect"' not in server.logs()
    assert '"http_error"' not in server.logs()
    assert '"worker_lost"' not in server.logs()
