from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from asgi_adapter import asgi_session

URL = "http://127.0.0.1"
Handler = Callable[[Any, Any, Any], Any]


class App:
    """An application that answers by a test's own function, and notes what happens."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.answer: Handler = echo
        self.go_on = asyncio.Event()
        self.left = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.answer(scope, receive, send)
            return
        self.loop = asyncio.get_running_loop()
        for what in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{what}"
            self.happened.append(what)
            await send({"type": f"lifespan.{what}.complete"})

    def proceed(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.go_on.set)


async def head(send: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    said = dict(scope["headers"]).get(b"x-said", b"")
    await head(send, 201, ((b"X-Heard", said),))
    parts = [scope["method"].encode(), scope["path"].encode(), scope["query_string"], body]
    await send({"type": "http.response.body", "body": b" ".join(parts)})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def session(app: App) -> Iterator[requests.Session]:
    with asgi_session(app) as made:
        yield made


def test_a_request_arrives_whole_and_its_answer_too(session):
    answer = session.put(f"{URL}/a%20b?after=3", data=b"mask", headers={"X-Said": "hello"})
    assert (answer.status_code, answer.headers["x-heard"]) == (201, "hello")
    assert answer.content == b"PUT /a b after=3 mask"


def test_the_lifespan_begins_before_the_first_request_and_ends_after_the_last(app):
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        app.happened.append("request")
        await echo(scope, receive, send)

    app.answer = answer
    with asgi_session(app) as session:
        assert session.get(URL).status_code == 201
        assert app.happened == ["startup", "request"]
    assert app.happened == ["startup", "request", "shutdown"]


def test_pieces_come_as_they_are_sent(app, session):
    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await head(send)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await app.go_on.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    app.answer = answer
    with session.get(URL, stream=True) as response:
        pieces = response.iter_content(65536)
        assert next(pieces) == b"one"
        app.proceed()
        assert list(pieces) == [b"two"]


def test_an_answer_that_is_closed_early_tells_the_application(app, session):
    async def answer(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await head(send)
        assert (await receive())["type"] == "http.disconnect"
        app.left.set()

    app.answer = answer
    response = session.get(URL, stream=True)
    assert not app.left.is_set()
    response.close()
    assert app.left.wait(5)


def test_requests_of_several_threads_are_answered_at_the_same_time(app, session):
    waiting = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        waiting.append(scope["path"])
        if len(waiting) == 2:
            app.go_on.set()
        await app.go_on.wait()
        await echo(scope, receive, send)

    app.answer = answer
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda path=path: answers.append(session.get(URL + path).content))
        for path in ("/one", "/two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == [b"GET /one  ", b"GET /two  "]


def test_an_application_that_fails_before_its_answer_is_a_lost_connection(app, session):
    async def answer(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ZeroDivisionError

    app.answer = answer
    with pytest.raises(requests.ConnectionError, match="ZeroDivisionError"):
        session.get(URL)
