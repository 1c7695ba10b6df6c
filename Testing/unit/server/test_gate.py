from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, StreamingResponse

from medsam2.server.gate import Gate
from medsam2.server.logs import Log
from medsam2.server.metrics import Metrics
from medsam2.server.refusals import Refused, install
from medsam2.server.settings import Settings
from medsam2.server.tokens import new_token, tenant_of
from medsam2.wire import names

from .asking import Answered, ask

ALICE, BOB = new_token(), new_token()
RUN = names.new_id()
PAGE = "https://viewer.hospital"


class House:
    """A gate, an application behind it, and what they tell."""

    def __init__(self, **given: Any) -> None:
        self.stream = io.StringIO()
        self.metrics = Metrics()
        self.passed: list[str] = []
        tenants = (tenant_of(ALICE, "alice"), tenant_of(BOB, "bob"))
        log = Log(self.stream)
        self.gate = Gate(
            self.application(log), Settings(tenants, **given), RUN, self.metrics, log
        )  # fmt: skip

    def application(self, log: Log) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.api_route("/health", methods=["GET", "HEAD", "POST"])
        async def health():
            self.passed.append("health")
            return "ok"

        @app.get("/v1/sessions/{session}")
        async def session(request: Request, session: str):
            self.passed.append(session)
            return PlainTextResponse(request.state.tenant.name, headers={"Cache-Control": "public"})

        @app.get("/defect")
        async def defect():
            raise ValueError("Doe^Jane")

        @app.get("/refused")
        async def refused():
            raise Refused("evicted")

        @app.get("/cut")
        async def cut():
            async def parts():
                yield b"one"
                raise ValueError("Doe^Jane")

            return StreamingResponse(parts())

        install(app, log)
        return app

    def ask(self, path: str = "/v1/sessions/1", method: str = "GET", **headers: str) -> Answered:
        """Asks with headers named with ``_`` for ``-``; an empty one is left out."""
        given = {"host": "127.0.0.1:1527", "authorization": f"Bearer {ALICE}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.gate, path, method, headers={k: v for k, v in given.items() if v})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def house() -> House:
    return House()


def refusal(answered: Answered) -> tuple[int, str]:
    return answered.status, answered.code


def test_each_token_is_its_own_tenant(house):
    assert house.ask().body == b"alice"
    assert house.ask(authorization=f"bearer {BOB}").body == b"bob"


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {new_token()}", f"Basic {ALICE}", ALICE])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/v1/sessions/1", "/absent", "/", "/health/", "/metrics"])
def test_without_a_token_every_path_answers_alike(house, given, method, path):
    answered = house.ask(path, method, authorization=given)
    assert refusal(answered) == (401, "unauthorized")
    assert answered.headers["www-authenticate"] == "Bearer"
    assert "x-server-run" not in answered.headers
    assert house.passed == []


def test_health_alone_needs_no_token_and_only_to_be_read(house):
    assert house.ask("/health", authorization="").status == 200
    for method in ("HEAD", "POST", "OPTIONS"):
        assert house.ask("/health", method, authorization="").status == 401
    assert house.ask("/health", host="evil.example", authorization="").status == 400
    assert house.passed == ["health"]
    assert "x-server-run" not in house.ask("/health").headers


LOCAL = ["127.0.0.1", "127.0.0.1:80", "localhost:99", "LOCALHOST", "[::1]:1527", "[0:0::1]"]


@pytest.mark.parametrize("host", LOCAL)
def test_loopback_names_are_always_ours(host):
    for ours in ("127.0.0.1", "0.0.0.0", "::", "server.hospital"):
        assert House(host=ours, insecure_http=True).ask(host=host).status == 200


FOREIGN = ["evil.example", "", "0.0.0.0", "[::]", "::1", "127.0.0.1.evil.example", "127.0.0.1:x"]
FOREIGN += ["localhost@evil.example", "evil.example/localhost", "localhost:80:80", "localhost evil"]
FOREIGN += ["[localhost]", "127.0.0.1:", "[::1", ":80"]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("ours", ["127.0.0.1", "0.0.0.0", "::"])
def test_foreign_hosts_are_refused_before_anything_else(host, ours):
    house = House(host=ours, insecure_http=True)
    for token in ("", f"Bearer {ALICE}"):
        answered = house.ask(host=host, authorization=token, origin="https://evil.example")
        assert refusal(answered) == (400, "host")
    assert house.passed == []


def test_the_servers_own_names_are_known():
    house = House(host="10.0.0.7", insecure_http=True, allowed_hosts=("Server.Hospital", "fd00::7"))
    for host in ("10.0.0.7:1527", "server.hospital", "SERVER.hospital:443", "[fd00:0::7]:1"):
        assert house.ask(host=host).status == 200
    assert house.ask(host="10.0.0.8").status == 400


def test_two_hosts_are_none(house):
    pairs = [("host", "localhost"), ("host", "localhost"), ("authorization", f"Bearer {ALICE}")]
    assert refusal(ask(house.gate, headers=pairs)) == (400, "host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1527", PAGE])
def test_pages_of_other_origins_are_refused_even_with_a_token(house, origin):
    for method in ("GET", "OPTIONS"):
        answered = house.ask(method=method, origin=origin, access_control_request_method="PUT")
        assert refusal(answered) == (403, "origin")
        assert not any(name.startswith("access-control") for name in answered.headers)
    assert house.passed == []


def test_a_page_that_was_allowed_may_ask_and_read():
    house = House(allowed_origins=(PAGE,))
    answered = house.ask(origin=PAGE)
    assert answered.body == b"alice"
    assert answered.headers["access-control-allow-origin"] == PAGE
    assert answered.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answered.headers
    assert house.ask(origin=PAGE, authorization="").headers["access-control-allow-origin"] == PAGE
    assert house.ask(origin=PAGE + ".evil.example").status == 403
    pairs = [("host", "localhost"), ("origin", PAGE), ("origin", "https://evil.example")]
    assert refusal(ask(house.gate, headers=pairs)) == (403, "origin")


def test_a_preflight_of_an_allowed_page_needs_no_token():
    house = House(allowed_origins=(PAGE,))
    asked = {"access_control_request_method": "PUT", "authorization": ""}
    answered = house.ask("/v1/sessions/1", "OPTIONS", origin=PAGE, **asked)
    assert (answered.status, answered.body) == (204, b"")
    assert "PUT" in answered.headers["access-control-allow-methods"]
    allowed = answered.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "x-session-id", "idempotency-key"} <= set(allowed)
    assert house.ask("/v1/sessions/1", "OPTIONS", **asked).status == 401
    assert house.passed == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.0", (200, "")), ("1.7", (200, "")), ("", (200, "")), ("2.0", (426, "protocol")),
        ("0.9", (426, "protocol")), ("1", (400, "malformed")), ("one.two", (400, "malformed")),
        ("1.0.0", (400, "malformed")), ("1" * 5000 + ".0", (400, "malformed")),
    ],
)  # fmt: skip
def test_another_major_version_is_refused(house, version, expected):
    answered = house.ask(x_protocol=version)
    assert (answered.status, answered.code if answered.status != 200 else "") == expected


def test_a_request_to_another_run_is_refused_and_told_the_present_one(house):
    assert house.ask(x_server_run=RUN).status == 200
    answered = house.ask(x_server_run=names.new_id())
    assert refusal(answered) == (410, "restarted")
    assert answered.headers["x-server-run"] == RUN


def test_a_stranger_learns_neither_protocol_errors_nor_the_run(house):
    answered = house.ask(authorization="", x_protocol="9.9", x_server_run="0" * 32)
    assert answered.status == 401


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/sessions/1", {}, 200), ("/absent", {}, 404), ("/refused", {}, 410),
        ("/health", {}, 200), ("/defect", {}, 500), ("/", {"authorization": ""}, 401),
        ("/", {"host": "evil.example"}, 400), ("/", {"origin": "null"}, 403),
        ("/", {"x_protocol": "9.0"}, 426), ("/", {"x_server_run": "1"}, 410),
    ],
)  # fmt: skip
def test_every_answer_carries_what_it_should(house, path, headers, status):
    request = names.new_id()
    answered = house.ask(path, x_request_id=request, **headers)
    assert answered.status == status
    assert answered.headers["x-request-id"] == request
    assert answered.headers["x-protocol"] == "1.0"
    assert answered.headers["cache-control"] == "no-store"
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in answered.headers)


def test_a_body_that_ends_in_two_ways_ends_the_connection(house):
    answered = house.ask(transfer_encoding="chunked", content_length="3")
    assert refusal(answered) == (400, "malformed")
    assert answered.headers["connection"] == "close"
    assert house.passed == []


def test_request_ids_of_another_form_are_not_echoed(house):
    for odd in ("Doe^Jane", "0" * 31, "0" * 33, "G" * 32):
        assert "x-request-id" not in house.ask(x_request_id=odd).headers


def test_each_request_is_one_line_without_anything_of_its_own(house):
    session = names.new_id()
    house.ask(f"/v1/sessions/{session}?name=Doe^Jane", x_session_id=session)
    house.ask("/Doe^Jane", "DOEJANE")
    house.ask("/absent", authorization=f"Bearer {new_token()}")
    first, second, third = house.lines()
    assert (first["method"], first["route"], first["status"]) == (
        "GET", "/v1/sessions/{session}", 200,
    )  # fmt: skip
    assert first["milliseconds"] >= 0
    assert len(first["session"]) == len(first["tenant"]) == 8
    assert (second["method"], second["route"], second["status"]) == ("other", "-", 404)
    assert second["tenant"] == first["tenant"]
    assert (third["status"], "tenant" in third) == (401, False)
    text = house.stream.getvalue()
    assert not any(word in text for word in (session, "Doe", "DOE", "alice", ALICE, "absent"))


def test_each_answer_is_counted(house):
    for path in ("/v1/sessions/1", "/v1/sessions/2", "/absent", "/defect"):
        house.ask(path)
    text = house.metrics.render().decode()
    for line in ('{status="200"} 2.0', '{status="404"} 1.0', '{status="500"} 1.0'):
        assert f"medsam2_answers_total{line}" in text
    assert "medsam2_answer_seconds_count 4.0" in text


def test_a_defect_is_answered_once_and_logged_once_without_its_text(house):
    assert refusal(house.ask("/defect")) == (500, "internal")
    assert [line["event"] for line in house.lines()] == ["defect", "request"]
    assert "Doe" not in house.stream.getvalue()


def test_a_bare_applications_defect_is_answered_too():
    async def broken(scope, receive, send):
        raise ValueError("Doe^Jane")

    stream = io.StringIO()
    gate = Gate(broken, Settings((tenant_of(ALICE),)), RUN, Metrics(), Log(stream))
    answered = ask(gate, headers={"host": "localhost", "authorization": f"Bearer {ALICE}"})
    assert refusal(answered) == (500, "internal")
    assert "Doe" not in stream.getvalue() + answered.body.decode()


def test_a_stream_that_breaks_is_cut_and_not_ended(house):
    with pytest.raises(ValueError, match="Doe"):  # the server then closes the connection
        house.ask("/cut")
    assert house.lines()[-1]["status"] == 200


def test_websockets_are_closed_and_the_lifespan_passes():
    seen: list[Any] = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    async def send(message):
        seen.append(message["type"])

    gate = Gate(app, Settings((tenant_of(ALICE),)), RUN, Metrics(), Log(io.StringIO()))
    for kind in ("websocket", "lifespan"):
        asyncio.run(gate({"type": kind}, None, send))  # type: ignore[arg-type]
    assert seen == ["websocket.close", "lifespan"]
