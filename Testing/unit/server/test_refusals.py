from __future__ import annotations

import io
import json

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse

from medsam2.core import errors
from medsam2.server.logs import Log
from medsam2.server.refusals import LimitedBody, Refused, answer, install, refused_of
from medsam2.wire import strict
from medsam2.wire.messages import Problem
from medsam2.wire.problems import REFUSALS, engine_errors

from .asking import ask

SECRET = "Doe^Jane"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def app(stream) -> FastAPI:
    """Raises what its paths say."""
    made = FastAPI(openapi_url=None)

    @made.get("/refused")
    async def refused():
        raise Refused("queue_full", retry_after_s=0.2)

    @made.get("/tree")
    async def tree():
        raise errors.OutsideVolumeError("The box ends at slice 99; the volume has 20.")

    @made.get("/defect")
    async def defect():
        raise Refused(SECRET)

    @made.get("/number")
    async def number(wait: int):
        return wait

    @made.post("/read")
    async def read(request: Request):
        return len(await request.body())

    install(made, Log(stream))
    return made


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_every_code_of_the_protocol_has_its_status_and_message(code):
    refused = Refused(code)
    assert (refused.status, str(refused)) == (REFUSALS[code].status, REFUSALS[code].message)
    response = answer(refused)
    assert response.status_code == refused.status
    assert strict.from_json(Problem, response.body) == Problem(code, str(refused))
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)


@pytest.mark.parametrize("code", sorted(engine_errors().keys() - REFUSALS.keys()))
def test_codes_of_the_tree_are_422_for_what_the_user_can_mend(code):
    mendable = issubclass(engine_errors()[code], errors.InputError)
    assert Refused(code, "So.").status == (422 if mendable else 500)


def test_unknown_codes_are_a_defect_of_the_caller():
    with pytest.raises(KeyError):
        Refused("teapot")


@pytest.mark.parametrize(
    ("seconds", "header"), [(None, None), (0, "1"), (0.2, "1"), (2, "2"), (2.1, "3")]
)
def test_retry_after_is_whole_seconds_and_at_least_one(seconds, header):
    response = answer(Refused("quota", retry_after_s=seconds))
    assert response.headers.get("Retry-After") == header


def test_long_texts_fit_the_message():
    body = answer(Refused("prompt", "ä\n" * 5000)).body
    assert len(strict.from_json(Problem, body).message) == 1000


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("evicted"), "evicted"),
        (errors.WireError("x"), "malformed"),
        (errors.OutsideVolumeError("x"), "outside_volume"),
        (errors.WorkerLostError("x"), "worker_lost"),
        (errors.OutOfMemoryError("x"), "out_of_memory"),
        (errors.ServerBusyError("x"), "internal"),
        (HTTPException(404), "not_found"),
        (HTTPException(405), "method"),
        (HTTPException(413), "too_large"),
        (HTTPException(400), "malformed"),
        (HTTPException(418, SECRET), "malformed"),
        (HTTPException(502), "internal"),
        (ClientDisconnect(), "timeout"),
        (ValueError(SECRET), "internal"),
        (KeyboardInterrupt(), "internal"),
    ],
)
def test_every_error_has_a_refusal(error, code):
    refused = refused_of(error)
    assert refused.code == code
    assert SECRET not in str(refused)


def test_an_application_answers_every_error_with_a_problem(app):
    assert (ask(app, "/refused").status, ask(app, "/refused").headers["retry-after"]) == (503, "1")
    assert (ask(app, "/tree").status, ask(app, "/tree").code) == (422, "outside_volume")
    assert "slice 99" in json.loads(ask(app, "/tree").body)["message"]
    assert (ask(app, "/absent").status, ask(app, "/absent").code) == (404, "not_found")
    wrong = ask(app, "/refused", "DELETE")
    assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "method", "GET")
    assert (ask(app, "/read", "POST", gone=True).status) == 408


def test_a_parameter_that_cannot_be_read_is_named_without_its_value(app):
    answered = ask(app, f"/number?wait={SECRET}")
    assert (answered.status, answered.code) == (400, "malformed")
    assert "query parameter wait" in json.loads(answered.body)["message"]
    assert SECRET not in answered.body.decode()


def test_a_defect_is_logged_by_type_and_place_alone(app, stream):
    with pytest.raises(KeyError):  # starlette raises it once more after the answer
        ask(app, "/defect")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["error"]) == ("defect", "KeyError")
    assert line["place"].startswith("medsam2.server.refusals:")
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("reads", [True, False])
def test_a_body_beyond_the_limit_is_answered_with_a_problem(declared, reads):
    taken = 0

    async def app(scope, receive, send):
        nonlocal taken
        more = reads
        while more:
            message = await receive()
            taken += len(message["body"])
            more = message["more_body"]
        await PlainTextResponse("done")(scope, receive, send)

    headers = {"Content-Length": "9000"} if declared else {}
    answered = ask(LimitedBody(app, 3000), method="POST", headers=headers, body=b"x" * 9000)
    if declared or reads:
        assert (answered.status, answered.code) == (413, "too_large")
        assert answered.headers["content-type"] == "application/json"
    else:
        assert answered.body == b"done"
    assert taken <= 3000


def test_a_body_within_the_limit_passes_and_so_do_the_applications_own_refusals(app):
    assert ask(LimitedBody(app, 3000), "/read", "POST", body=b"x" * 3000).body == b"3000"
    assert ask(LimitedBody(app, 3000), "/read", "POST", body=b"x" * 3001).code == "too_large"
    own = JSONResponse({"code": "mine"}, 413)
    assert ask(LimitedBody(own, 3000)).code == "mine"


def test_an_error_within_a_stream_cuts_it(app):
    @app.get("/stream")
    async def stream():
        async def parts():
            yield b"one"
            raise Refused("evicted")

        return StreamingResponse(parts())

    with pytest.raises(Exception):  # noqa: B017, PT011 (any; the server closes the connection)
        ask(app, "/stream")
