"""P1, P2, P3: who may reach a server, from where, and that a token is never told."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from certificates import Authority
from planted import Planted
from raw_http import Answer, RawHttp
from server_process import ServerProcess

from medsam2.client.backend import RemoteBackend
from medsam2.core.errors import UnauthorizedError
from medsam2.server.app import build_app
from medsam2.server.settings import Settings
from medsam2.server.tokens import new_token, tenant_of
from medsam2.wire import names, routes

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE")
WITHOUT_TRACE = {("DELETE", routes.VOLUME), ("DELETE", routes.SESSION)}
"""Requests that are answered 204 whether or not there was anything to delete."""

# A name of the loopback interface that the server can't know for one.
SECOND_NAME = "127.1"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(tenants=2) as running:
        yield running


@pytest.fixture(scope="module")
def http(server) -> Iterator[RawHttp]:
    with RawHttp(server.port, timeout_s=30) as connection:
        yield connection


@pytest.fixture(scope="module")
def planted(server, http) -> Planted:
    made = Planted(http, server.tokens[0])
    made.plant()
    return made


def templates() -> list[str]:
    settings = Settings((tenant_of(new_token()),))
    return sorted({route.path for route in build_app(settings).routes})  # type: ignore[attr-defined]


# P1


def started(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """The command ``medsam2 serve`` with a home of its own."""
    home = {name: str(folder) for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}
    kept = {name: text for name, text in os.environ.items() if name != "MEDSAM2_TOKEN"}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "medsam2",
            "serve",
            "--port",
            "0",
            "--model",
            "tiny-random",
            *options,
        ],
        env=kept | home | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int | None, str, list[str]]:
    """The exit code, what was printed and the lines of errors; no code for a server that runs."""
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            code = None if "ready at" in line else process.wait(60)
        finally:
            process.kill()
        _, errors = process.communicate(timeout=60)
    return code, line, errors.splitlines()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "shared-tokens").write_text(f"somebody {new_token()}\n")
    (tmp_path / "shared-tokens").chmod(0o644)
    (tmp_path / "no-tokens").touch(mode=0o600)
    return tmp_path


def test_no_server_starts_insecurely(ledger, folder):
    pair = Authority(folder).pair("server")
    tls = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    insecure: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
        "every address without TLS": (("--host", "0.0.0.0"), {}),
        "every IPv6 address without TLS": (("--host", "::"), {}),
        "a name that may be another machine's": (("--host", SECOND_NAME), {}),
        "a certificate without its key": (("--host", "0.0.0.0", *tls[:2]), {}),
        "a certificate that isn't there": ((*tls[:3], str(folder / "nothing")), {}),
        "a short token": ((), {"MEDSAM2_TOKEN": "short"}),
        "tokens that others may read": (("--token-file", str(folder / "shared-tokens")), {}),
        "a file without tokens": (("--token-file", str(folder / "no-tokens")), {}),
    }
    running = {what: started(folder, *o, **e) for what, (o, e) in insecure.items()}
    found = {what: outcome(process) for what, process in running.items()}
    wrong = [what for what, (code, _, errors) in found.items() if (code, len(errors)) != (2, 1)]
    assert wrong == [], found
    ledger.none("P1", "insecure configurations that start", len(wrong), len(insecure))


def test_secure_configurations_start(ledger, folder):
    pair = Authority(folder).pair("server")
    tls = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    secure = {
        "loopback, the default": (),
        "TLS": ("--host", SECOND_NAME, *tls),
        "no TLS, as asked for": ("--host", SECOND_NAME, "--insecure-http"),
    }
    running = {what: started(folder / what, *options) for what, options in secure.items()}
    found = {what: outcome(process) for what, process in running.items()}
    assert "https://" in found["TLS"][1]
    failed = [what for what, (code, _, _) in found.items() if code is not None]
    ledger.none("P1", "secure configurations that don't start", len(failed), len(secure))


def test_a_server_listens_to_this_machine_alone_unless_told_otherwise(server):
    listening = [
        c.laddr.ip for c in psutil.Process(server.pid).net_connections("tcp") if not c.raddr
    ]
    assert listening == ["127.0.0.1"]


# P2


def test_no_route_answers_without_the_right_token(ledger, http, planted, server):
    wrong = {
        "none": {},
        "empty": {routes.AUTHORIZATION: ""},
        "another": {routes.AUTHORIZATION: f"Bearer {new_token()}"},
        "cut short": {routes.AUTHORIZATION: f"Bearer {server.tokens[0][:-1]}"},
        "too long": {routes.AUTHORIZATION: f"Bearer {server.tokens[0]}x"},
        "of another scheme": {routes.AUTHORIZATION: f"Basic {server.tokens[0]}"},
        "bare": {routes.AUTHORIZATION: server.tokens[0]},
        "in the query": {},
        "as a cookie": {"Cookie": f"token={server.tokens[0]}"},
    }
    answers: list[tuple[str, str, str, Answer]] = []
    for template in [*templates(), "/", "/v1/nothing", "/docs", "/openapi.json"]:
        for method in METHODS:
            for what, headers in wrong.items():
                query = f"?token={server.tokens[0]}" if what == "in the query" else ""
                target = template.format(**planted.ids()) + query
                body = planted.bodies().get((method, template))
                data = body.data if body else b""
                answers.append(
                    (what, method, template, http.request(method, target, headers, data))
                )
    assert {a.status for _, m, t, a in answers if (m, t) == ("GET", routes.HEALTH)} == {200}
    others = [entry for entry in answers if entry[1:3] != ("GET", routes.HEALTH)]
    let_in = [entry[:3] for entry in others if entry[3].status != 401]
    assert let_in == []
    ledger.none("P2", "requests without the right token let in", len(let_in), len(others))
    bodies = {answer.body for *_, answer in others if answer.body}
    assert len(bodies) == 1, "a refusal tells what exists, or what is wrong with the token"
    assert not any(routes.RUN.lower() in answer.headers for *_, answer in others)


def test_a_tenant_can_neither_see_nor_change_what_is_anothers(ledger, http, planted, server):
    things = (routes.VOLUME, routes.SESSION, routes.JOB, routes.RESULTS)
    before = [content(planted.ask("GET", thing)) for thing in things]
    foreign = {routes.AUTHORIZATION: f"Bearer {server.tokens[1]}"}
    answers = {
        (method, template): planted.ask(method, template, foreign)
        for template in templates()
        if "{" in template
        for method in METHODS
        if (method, template) != ("PUT", routes.VOLUME)
    }
    answers["PUT", routes.CHUNK] = planted.ask("PUT", routes.CHUNK, foreign)
    accepted = [
        request
        for request, answer in answers.items()
        if answer.status not in {404, 405}
        and (request not in WITHOUT_TRACE or answer.status != 204)
    ]
    assert accepted == []
    assert [content(planted.ask("GET", thing)) for thing in things] == before
    ledger.none("P2", "requests on another tenant's ids accepted", len(accepted), len(answers))


def content(answer: Answer) -> tuple[int, bytes]:
    """What an answer says, but for the identifier of its own request in a stream's head."""
    return answer.status, re.sub(rb"^.{12}\{[^}]*\}", b"", answer.body, flags=re.DOTALL)


def test_a_tenant_cannot_find_out_whether_another_has_a_volume(http, planted, server):
    foreign = {routes.AUTHORIZATION: f"Bearer {server.tokens[1]}"}
    state = planted.ask("PUT", routes.VOLUME, foreign).json()
    assert state == {"complete": False, "missing": [0]}
    assert planted.ask("DELETE", routes.VOLUME, foreign).status == 204
    assert planted.ask("GET", routes.VOLUME).json()["complete"] is True


def test_a_token_is_told_nowhere(ledger, planted, server):
    planted.ask("GET", routes.INFO, {routes.AUTHORIZATION: f"Bearer {server.tokens[0]}x"})
    planted.ask("GET", routes.SESSION, query=f"?token={server.tokens[0]}")
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    settings = Settings(tuple(tenant_of(token) for token in server.tokens[:1]))
    told = {
        "a command line": " ".join(part for process in family for part in process.cmdline()),
        "the log": server.logs(),
        "a repr": repr(settings) + repr(settings.tenants),
        "an answer": planted.ask("GET", routes.METRICS).body.decode(),
    }
    with contextlib.closing(RemoteBackend(server.url, server.tokens[0])) as backend:
        told["a client's repr"] = f"{backend!r} {vars(backend)!r}"
    with pytest.raises(UnauthorizedError) as refused:
        RemoteBackend(server.url, server.tokens[0] + "x", patience_s=1)
    chain: list[Any] = [refused.value, refused.value.__cause__, refused.value.__context__]
    told["an error"] = " ".join(f"{error!r} {error}" for error in chain)
    places = [where for where, text in told.items() if server.tokens[0] in text]
    assert "request" in told["the log"]
    assert places == []
    ledger.none("P2", "places that tell a token", len(places), len(told))


def test_a_token_has_256_bits_and_a_file_for_its_owner_alone(ledger, folder):
    _, line, _ = outcome(started(folder))
    told = re.search(r"\(token in (.+)\)$", line)
    assert told
    file = Path(told[1])
    assert file.is_relative_to(folder)
    assert len(file.read_text().strip()) >= len(secrets.token_urlsafe(32))
    others = stat.S_IMODE(file.stat().st_mode) & ~0o600
    ledger.none("P2", "rights of others on the token's file", others)


# P3


def test_forged_hosts_and_origins_are_refused(ledger, http, planted, server):
    forged: dict[str, tuple[int, Mapping[str, str]]] = {
        "another host": (400, {"Host": "segmentation.example"}),
        "a host that begins like ours": (400, {"Host": "127.0.0.1.example"}),
        "a host with a user": (400, {"Host": "127.0.0.1@elsewhere.example"}),
        "no host": (400, {"Host": ""}),
        "a foreign page": (403, {"Origin": "https://elsewhere.example"}),
        "a page without an origin": (403, {"Origin": "null"}),
        "a page on another port of ours": (403, {"Origin": f"http://127.0.0.1:{server.port + 1}"}),
        "a page of our own address": (403, {"Origin": server.url}),
    }
    accepted = []
    for what, (status, headers) in forged.items():
        for method, template in [*planted.bodies(), ("GET", routes.INFO), ("DELETE", routes.JOB)]:
            answer = planted.ask(method, template, headers)
            if answer.status != status or any("access-control" in name for name in answer.headers):
                accepted.append((what, method, template, answer.status))
    assert accepted == []
    ledger.none("P3", "forged hosts and origins accepted", len(accepted), 7 * len(forged))
    preflight = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PUT"}
    assert http.request("OPTIONS", routes.INFO, preflight).status == 403


def test_bodies_of_a_type_that_web_pages_can_send_are_refused(ledger, planted):
    simple = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "")
    answers = [
        planted.ask(method, template, {"Content-Type": kind}).status
        for method, template in planted.bodies()
        for kind in simple
    ]
    wrong = [status for status in answers if status != 415]
    ledger.none("P3", "bodies of a simple type accepted", len(wrong), len(answers))


def test_no_get_changes_anything(ledger, planted):
    state = planted.ask("GET", routes.SESSION).body
    for template in templates():
        planted.ask("GET", template)
        planted.ask("GET", template, {"X-HTTP-Method-Override": "DELETE"}, query="?_method=DELETE")
    changed = planted.ask("GET", routes.SESSION).body != state
    ledger.none("P3", "changes made by GET", int(changed))


def test_the_documentation_is_off_unless_asked_for(ledger, http, planted):
    places = ("/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect")
    shown = [p for p in places if http.request("GET", p, planted.headers()).status != 404]
    ledger.none("P3", "pages of documentation shown", len(shown), len(places))


def test_identifiers_are_as_long_as_the_protocol_says(planted):
    assert names.is_id(planted.run)
    assert names.is_id(planted.session)
