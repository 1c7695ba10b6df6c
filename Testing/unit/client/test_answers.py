"""A server that answers something else than was asked is not believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from medsam2.client.backend import RemoteBackend
from medsam2.core.errors import (
    ProtocolMismatchError,
    ServerAnswerError,
    ServerError,
    UnauthorizedError,
)
from medsam2.wire import names, records, routes, strict
from medsam2.wire.messages import ObjectState, ServerInfo, SessionState, WireModel
from medsam2.wire.records import End, Head, Slice
from medsam2.wire.volumes import UploadState

from .losses import BOX, ROI
from .scripted import TOKEN, Reply, Script, message, refusal

Change = Callable[[records.Record, bytes], bytes]
OTHER_ID, OTHER_HASH = "ab" * 16, "cd" * 32


def changed(kind: type, nth: int = 1, **fields: object) -> Change:
    """Changes fields of the nth record of a kind."""
    seen = []

    def change(header: records.Record, body: bytes) -> bytes:
        if isinstance(header, kind):
            seen.append(header)
            if len(seen) == nth:
                header = dataclasses.replace(header, **fields)
        return records.pack(header, body)

    return change


def around(kind: type, before: bytes = b"", after: bytes = b"", *, keep: bool = True) -> Change:
    """Puts bytes around the first record of a kind, or in its place."""
    seen = []

    def change(header: records.Record, body: bytes) -> bytes:
        packed = records.pack(header, body)
        if not isinstance(header, kind) or seen:
            return packed
        seen.append(header)
        return before + packed * keep + after

    return change


def flipped(header: records.Record, body: bytes) -> bytes:
    packed = bytearray(records.pack(header, body))
    if isinstance(header, Slice):
        packed[-1] ^= 1
    return bytes(packed)


EMPTY = Slice(1, 1, 4, 0.5, "tracked", (64, 64), None)
SECOND_HEAD = records.pack(Head("0" * 32, "0" * 32, "0" * 64, "0" * 64, 1, 0))
LIES: dict[str, tuple[Change, str]] = {
    "another request's": (changed(Head, request=OTHER_ID), "something else"),
    "another job's": (changed(Head, job=OTHER_ID), "something else"),
    "another session's": (changed(Head, session=OTHER_HASH), "something else"),
    "of other prompts": (changed(Head, prompts=OTHER_HASH), "something else"),
    "from elsewhere": (changed(Head, after=1), "something else"),
    "without head": (around(Head, keep=False), "out of order"),
    "with two heads": (around(Slice, before=SECOND_HEAD), "out of order"),
    "a slice left out": (around(Slice, keep=False), "missing or repeated"),
    "a slice repeated": (changed(Slice, nth=2, number=1), "missing or repeated"),
    "a slice from nowhere": (changed(Slice, number=7), "missing or repeated"),
    "another object's": (changed(Slice, object_id=2), "not asked for"),
    "beyond the volume": (changed(Slice, index=12), "not asked for"),
    "of another shape": (changed(Slice, shape_rc=(32, 64)), "volume's shape"),
    "a box outside": (changed(Slice, box_rc=(0, 0, 64, 3)), "lie in its slice"),
    "the bits of another box": (changed(Slice, box_rc=(0, 0, 63, 63)), "compressed bytes"),
    "the same slice twice": (changed(Slice, nth=2, index=5), "twice"),
    "damaged": (flipped, "checksum"),
    "no records": (around(Head, before=b"<html>" * 100), "larger"),
    "huge": (around(Slice, before=b"\xff" * 12), "larger"),
    "something after the end": (around(End, after=b"more"), "follow"),
    "a slice after the end": (around(End, after=records.pack(EMPTY)), "follows"),
    "an end too early": (changed(End, last=8), "its end does not fit"),
    "an end too late": (changed(End, last=10), "its end does not fit"),
}


def tampering(change: Change) -> Callable[[bytes], bytes]:
    def tamper(record: bytes) -> bytes:
        return b"".join(change(*made) for made in records.RecordReader().feed(record))

    return tamper


@pytest.mark.parametrize("lie", LIES)
def test_results_that_are_not_ours_are_refused(backend, script, volume, lie):
    with backend.open(volume) as session:
        session.put(1, ROI)
        session.put(2, BOX)
        change, reason = LIES[lie]
        script.tamper = tampering(change)
        with pytest.raises(ServerAnswerError, match=f"(?i){reason}"):
            list(session.propagate([1]))
        assert session.results(2) == {}
        script.tamper = lambda record: record
        assert len(list(session.propagate([1]))) == 9


@pytest.mark.parametrize("index", [3, 5])
def test_a_prediction_of_another_slice_is_refused(backend, script, volume, index):
    with backend.open(volume) as session:
        session.put(1, ROI)
        script.tamper = tampering(changed(Slice, index=index))
        with pytest.raises(ServerAnswerError):
            session.predict(1, 4)


def test_a_prediction_without_a_mask_is_refused(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        end = records.pack(End("done", 0))
        script.tamper = tampering(
            lambda header, body: (
                b"" if isinstance(header, Slice)
                else end if isinstance(header, End) else records.pack(header, body)
            )
        )  # fmt: skip
        with pytest.raises(ServerAnswerError, match="no mask"):
            session.predict(1, 4)


def info(script: Script, **fields: object) -> Reply:
    """What the server says of itself, but for some fields."""
    model = WireModel.of(script.model)
    made = ServerInfo("1.0", "0", script.run, model, ("raw",), 1 << 30)
    return message(dataclasses.replace(made, **fields))


ANSWERS: dict[str, Callable[[Reply], Reply]] = {
    "is malformed: message lacks": lambda good: dataclasses.replace(good, body=b"{}"),
    "is malformed: The message is not JSON": lambda good: dataclasses.replace(good, body=b"no"),
    "is malformed: The message is n": lambda good: dataclasses.replace(good, body=b"[" * 10**5),
    "is too long": lambda good: dataclasses.replace(good, body=good.body + b" " * (1 << 20)),
    "is of type 'text/html'": lambda good: dataclasses.replace(good, kind="text/html"),
    "sends elsewhere": lambda good: dataclasses.replace(
        good, status=302, headers={"Location": "http://127.0.0.1:1/"}
    ),
    "is of type ''": lambda good: Reply(204),
    "unknown field": lambda good: message(UploadState(complete=True, missing=())),
}


@pytest.mark.parametrize("reason", ANSWERS)
def test_what_is_no_answer_is_refused(script, connect, reason):
    script.fail_always("info", ANSWERS[reason](info(script)))
    with pytest.raises(ServerAnswerError, match=reason):
        connect()
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (routes.REQUEST, OTHER_ID),
        (routes.REQUEST, None),
        ("Content-Encoding", "gzip"),
    ],
)
def test_answers_to_something_else_are_refused(script, connect, header, value):
    script.extra_headers[header] = value
    with pytest.raises(ServerAnswerError):
        connect()


def test_another_major_version_of_the_protocol_is_refused_whoever_notices(script, connect):
    script.extra_headers[routes.PROTOCOL_VERSION] = "2.0"
    with pytest.raises(ProtocolMismatchError, match="update"):
        connect()
    script.extra_headers.clear()
    script.fail("info", refusal("protocol"), info(script, protocol="2.3"))
    for _ in range(2):
        with pytest.raises(ProtocolMismatchError):
            connect()
    script.fail("info", info(script, protocol="1.9"))
    connect()


def test_a_token_that_the_server_does_not_know_is_an_error_at_once(script):
    with pytest.raises(UnauthorizedError, match="token") as caught:
        RemoteBackend(script.url, "another-token")
    assert "another-token" not in str(caught.value)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("where", "state"),
    [
        ("volumes/[^/]*$", UploadState(complete=True, missing=(0,))),
        ("volumes/[^/]*$", UploadState(complete=False, missing=(1,))),
        ("chunks", UploadState(complete=False, missing=(7,))),
        ("sessions/[^/]*$", SessionState(OTHER_HASH, {}, OTHER_ID)),
    ],
)
def test_states_that_cannot_be_are_refused(backend, script, volume, where, state):
    if isinstance(state, SessionState):
        state = dataclasses.replace(state, run=script.run)
    script.fail(f"PUT .*{where}", message(state))
    with pytest.raises(ServerAnswerError):
        backend.open(volume)


def test_prompts_that_the_server_understood_differently_are_refused(backend, script, volume):
    with backend.open(volume) as session:
        script.fail("objects", message(ObjectState(OTHER_HASH)))
        with pytest.raises(ServerAnswerError):
            session.put(1, ROI)
        assert session.objects() == {}


def test_refusals_are_read_with_care(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        for body in (b"{" * 99, b"\xff", b'{"code":"stale"}', b" " * (1 << 20)):
            script.fail("POST", Reply(409, body))
            with pytest.raises(ServerAnswerError, match="409"):
                session.predict(1, 4)
        script.fail("POST", Reply(418, strict.to_json(UploadState(complete=True, missing=()))))
        with pytest.raises(ServerError, match="418"):
            session.predict(1, 4)


def test_every_request_carries_what_the_protocol_asks_for(backend, script, volume):
    with backend.open(volume) as session:
        session.put(1, ROI)
        list(session.propagate())
    asked = list(zip(script.asked, script.headers, strict=True))
    assert len({headers[routes.REQUEST] for headers in script.headers}) == len(asked)
    for (_, path), headers in asked:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers[routes.PROTOCOL_VERSION] == routes.PROTOCOL
        assert headers["Accept-Encoding"] == "identity"
        assert TOKEN not in path
        if "sessions" in path:
            assert names.is_id(headers[routes.SESSION_ID])
            assert headers[routes.RUN] == script.run
