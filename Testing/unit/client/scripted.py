"""A small server of the protocol over a fake model, on a real socket, that misbehaves on purpose."""

from __future__ import annotations

import collections
import dataclasses
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any

import numpy as np
from fake_backend import ALL_KINDS, FakeBackend, FakeSession

from medsam2.core.backend import CancelToken, Direction, ModelInfo, SliceResult
from medsam2.core.errors import MedSAM2Error
from medsam2.core.volume import Volume
from medsam2.wire import arrays, names, prompts, records, routes, strict
from medsam2.wire.messages import (
    JobRequest,
    ObjectState,
    Problem,
    ServerInfo,
    SessionRequest,
    SessionState,
    WireModel,
    fingerprint,
    prompts_digest,
)
from medsam2.wire.problems import REFUSALS, status_of
from medsam2.wire.records import End, Head
from medsam2.wire.volumes import UploadState, VolumeHeader

TOKEN = "a-token-of-the-tests"
_ID, _HASH = "[0-9a-f]{32}", "[0-9a-f]{64}"


@dataclasses.dataclass(frozen=True)
class Reply:
    """What is answered: by default JSON of a message, or nothing."""

    status: int = 200
    body: bytes = b""
    kind: str = routes.JSON
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    cut: bool = False
    """Closes the connection: without an answer, or after ``body`` if there is one."""


def refusal(code: str, message: str = "", **headers: str) -> Reply:
    known = REFUSALS.get(code)
    problem = Problem(code, message or (known.message if known else code))
    status = known.status if known else 500
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, strict.to_json(problem), headers=given)


CUT = Reply(cut=True)


@dataclasses.dataclass
class Job:
    request: JobRequest
    results: Iterator[SliceResult]
    token: CancelToken
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    packed: list[bytes] = dataclasses.field(default_factory=list)
    end: End | None = None

    def reach(self, number: int) -> bool:
        """Makes slices up to a number; returns whether there are so many."""
        with self.lock:
            while self.end is None and len(self.packed) < number:
                made = len(self.packed)
                try:
                    self.packed.append(records.pack_slice(made + 1, next(self.results)))
                except StopIteration:
                    self.end = End("done", made)
                except MedSAM2Error as error:
                    state = "cancelled" if error.code == "cancelled" else "failed"
                    self.end = End(state, made, error.code, str(error))
        return len(self.packed) >= number


@dataclasses.dataclass
class Opened:
    request: SessionRequest
    session: FakeSession
    fingerprint: str
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    jobs: dict[str, Job] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Upload:
    header: VolumeHeader
    voxels: np.ndarray
    missing: set[int]

    def state(self) -> UploadState:
        return UploadState(not self.missing, tuple(sorted(self.missing)))


class Script:
    """The server's state, and what goes wrong; tests change it at any time."""

    def __init__(self) -> None:
        self.url = ""
        self.backend = FakeBackend()
        self.weights = "0" * 64
        self.codecs: tuple[str, ...] = arrays.codecs()
        self.most_bytes = 1 << 30
        self.asked: list[tuple[str, str]] = []
        """Method and path of every request, in order."""
        self.headers: list[dict[str, str]] = []
        self.bodies: collections.Counter[str] = collections.Counter()
        self.cancelled = threading.Event()
        """A job was cancelled."""
        self.faults: list[tuple[re.Pattern[str], Reply]] = []
        """Each is used once, by the first request whose method and path match."""
        self.always: list[tuple[re.Pattern[str], Reply]] = []
        self.slices_per_stream = 10**6
        """After so many a stream ends as running."""
        self.cut_streams: list[int] = []
        """Bytes after which the next streams are cut."""
        self.tamper: Callable[[bytes], bytes] = lambda record: record
        """Changes each record before it is sent."""
        self.tail = b""
        """Follows the end record."""
        self.errors: list[str] = []
        """What the server itself could not do: a defect of the tests, or of a request."""
        self.extra_headers: dict[str, str | None] = {}
        """Of every answer; None leaves a header out."""
        self.restart()

    def restart(self) -> None:
        """Forgets everything."""
        self.run = names.new_id()
        self.forget()

    def forget(self) -> None:
        """Forgets everything but its run."""
        self.volumes: dict[str, Upload] = {}
        self.sessions: dict[str, Opened] = {}

    def fail(self, pattern: str, *replies: Reply) -> None:
        self.faults += [(re.compile(pattern), reply) for reply in replies]

    def fail_always(self, pattern: str, reply: Reply) -> None:
        self.always.append((re.compile(pattern), reply))

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, f"{m} {p}")) for m, p in self.asked)

    @property
    def model(self) -> ModelInfo:
        return dataclasses.replace(self.backend.model, weights_sha256=self.weights)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Reply | Job:
        """Does what is asked."""
        for known, action in ACTIONS:
            found = re.fullmatch(known, f"{method} {path}")
            if found:
                try:
                    return action(self, found.groupdict(), headers, body)
                except MedSAM2Error as error:
                    problem = Problem(error.code, str(error))
                    return Reply(status_of(error), strict.to_json(problem))
        return refusal("not_found")

    def session(self, parts: dict[str, str], headers: Any) -> Opened | Reply:
        assert headers[routes.SESSION_ID] == parts["session"]
        if headers[routes.RUN] != self.run:
            return refusal("restarted")
        return self.sessions.get(parts["session"]) or refusal("unknown_session")


def message(value: object, status: int = 200) -> Reply:
    return Reply(status, strict.to_json(value))


def get_info(script: Script, _parts: Any, _headers: Any, _body: bytes) -> Reply:
    model = WireModel.of(script.model)
    return message(
        ServerInfo(routes.PROTOCOL, "0", script.run, model, script.codecs, script.most_bytes)
    )


def put_volume(script: Script, parts: Any, headers: Any, body: bytes) -> Reply:
    assert headers["Content-Type"] == routes.JSON
    header = strict.from_json(VolumeHeader, body)
    if parts["volume"] not in script.volumes:
        voxels = np.empty(header.shape, header.dtype)
        script.volumes[parts["volume"]] = Upload(header, voxels, set(range(header.chunk_count)))
    return message(script.volumes[parts["volume"]].state())


def put_chunk(script: Script, parts: Any, headers: Any, body: bytes) -> Reply:
    assert headers["Content-Type"] == routes.FRAME
    upload = script.volumes.get(parts["volume"])
    if upload is None:
        return refusal("unknown_volume")
    number = int(parts["number"])
    arrays.decode_into(body, upload.voxels[upload.header.chunk(number)])
    upload.missing.discard(number)
    whole = Volume(upload.voxels, np.eye(4)) if not upload.missing else None
    if whole is not None and whole.content_hash != parts["volume"]:
        del script.volumes[parts["volume"]]
        return refusal("volume_hash")
    return message(upload.state())


def put_session(script: Script, parts: Any, headers: Any, body: bytes) -> Reply:
    found = script.session(parts, headers)
    request = strict.from_json(SessionRequest, body)
    if isinstance(found, Reply):
        if found.status != 404:
            return found
        upload = script.volumes.get(request.volume)
        if upload is None:
            return refusal("unknown_volume")
        if upload.missing:
            return refusal("incomplete_volume")
        session = script.backend.open(Volume(upload.voxels, request.affine()), request.options())
        found = Opened(request, session, fingerprint(request, script.model))
        script.sessions[parts["session"]] = found
    assert found.request == request
    return message(SessionState(found.fingerprint, found.digests, script.run))


def put_object(script: Script, parts: Any, headers: Any, body: bytes) -> Reply:
    found = script.session(parts, headers)
    if isinstance(found, Reply):
        return found
    given = prompts.decode(body)
    found.session.put(int(parts["object"]), given)
    found.digests[parts["object"]] = prompts.digest(given)
    return message(ObjectState(prompts.digest(given)))


def post_job(script: Script, parts: Any, headers: Any, body: bytes) -> Reply | Job:
    found = script.session(parts, headers)
    if isinstance(found, Reply):
        return found
    request = strict.from_json(JobRequest, body)
    key = headers[routes.IDEMPOTENCY_KEY]
    if request.session != found.fingerprint or not (
        request.objects.items() <= found.digests.items()
    ):
        return refusal("stale")
    if key not in found.jobs:
        token = CancelToken()
        direction = Direction(request.direction)
        results = (
            found.session.propagate(request.ids(), direction, token)
            if request.index is None
            else iter([found.session.predict(request.ids()[0], request.index)])
        )
        found.jobs[key] = Job(request, results, token)
    return found.jobs[key]


def get_results(script: Script, parts: Any, headers: Any, _body: bytes) -> Reply | Job:
    found = script.session(parts, headers)
    if isinstance(found, Reply):
        return found
    return found.jobs.get(parts["job"]) or refusal("unknown_job")


def delete(script: Script, parts: Any, headers: Any, _body: bytes) -> Reply:
    found = script.session(parts, headers)
    if isinstance(found, Opened):
        if "job" in parts and parts["job"] in found.jobs:
            found.jobs[parts["job"]].token.cancel()
            script.cancelled.set()
        elif "object" in parts:
            found.digests.pop(parts["object"], None)
        elif "job" not in parts:
            del script.sessions[parts["session"]]
    return Reply(204)


_SESSION = rf"/v1/sessions/(?P<session>{_ID})"
_JOB = rf"{_SESSION}/jobs/(?P<job>{_ID})"
ACTIONS: list[tuple[str, Callable[..., Reply | Job]]] = [
    (r"GET /v1/info", get_info),
    (rf"PUT /v1/volumes/(?P<volume>{_HASH})", put_volume),
    (rf"PUT /v1/volumes/(?P<volume>{_HASH})/chunks/(?P<number>\d+)", put_chunk),
    (rf"PUT {_SESSION}", put_session),
    (rf"PUT {_SESSION}/objects/(?P<object>\d+)", put_object),
    (rf"POST {_SESSION}/jobs", post_job),
    (rf"GET {_JOB}/results", get_results),
    (rf"DELETE {_JOB}", delete),
    (rf"DELETE {_SESSION}/objects/(?P<object>\d+)", delete),
    (rf"DELETE {_SESSION}", delete),
]


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP; what to say comes from the script."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10
    script: Script

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError, OSError):
            super().handle()

    def answer(self) -> None:
        script = self.script
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = f"{self.command} {self.path}"
        script.asked.append((self.command, self.path))
        script.headers.append(dict(self.headers))
        script.bodies[asked] += len(body)
        self.reply(self.choose(asked, body))

    def choose(self, asked: str, body: bytes) -> Reply | Job:
        script = self.script
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return refusal("unauthorized")
        assert self.headers[routes.PROTOCOL_VERSION] == routes.PROTOCOL
        assert names.is_id(self.headers[routes.REQUEST])
        for fault in [*script.faults, *script.always]:
            if fault[0].search(asked):
                if fault in script.faults:
                    script.faults.remove(fault)
                return fault[1]
        path = self.path.partition("?")[0]
        return script.answer(self.command, path, self.headers, body)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def head(self, reply: Reply, framing: dict[str, str]) -> None:
        echoed = {routes.REQUEST: self.headers.get(routes.REQUEST, "")}
        always = {routes.RUN: self.script.run, routes.PROTOCOL_VERSION: routes.PROTOCOL, **echoed}
        kind = {"Content-Type": reply.kind} if reply.status != 204 else {}
        named = {**always, **kind, **framing, **reply.headers, **self.script.extra_headers}
        self.send_response(reply.status)
        for name, value in named.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def reply(self, reply: Reply | Job) -> None:
        if isinstance(reply, Job):
            self.stream(reply)
            return
        self.close_connection = reply.cut
        if reply.cut and not reply.body:
            return
        size = {"Content-Length": str(len(reply.body) + 10 * reply.cut)}
        self.head(reply, {} if reply.status == 204 else size)
        self.wfile.write(reply.body)

    def stream(self, job: Job) -> None:
        script = self.script
        found = re.search(r"after=(\d+)", self.path)
        after = int(found[1]) if found else 0
        left = script.cut_streams.pop(0) if script.cut_streams else None
        self.head(Reply(kind=routes.RECORDS), {"Transfer-Encoding": "chunked"})
        for record in self.records(job, after):
            changed = script.tamper(record)
            if left is not None:
                changed, left = changed[:left], left - len(changed)
            if changed:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(changed), changed))
            if left is not None and left <= 0:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def records(self, job: Job, after: int) -> Iterator[bytes]:
        _, session, key = re.search(r"(sessions)/(\w+)/jobs/?(\w*)", self.path).groups()  # type: ignore[union-attr]
        key = key or self.headers[routes.IDEMPOTENCY_KEY]
        opened = self.script.sessions[session]
        request_id, digest = self.headers[routes.REQUEST], prompts_digest(job.request)
        yield records.pack(Head(request_id, key, opened.fingerprint, digest, 99, after))
        most = after + self.script.slices_per_stream
        for number in range(after + 1, most + 1):
            if not job.reach(number):
                break
            yield job.packed[number - 1]
        yield records.pack(job.end or End("running", len(job.packed))) + self.script.tail

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(script: Script, context: SSLContext | None = None, port: int = 0) -> Iterator[Script]:
    """Serves while the block runs; ``script.url`` is the address."""
    handler = type("ScriptHandler", (Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: script.errors.append(traceback.format_exc())  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    script.url = f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


__all__ = ["ALL_KINDS", "CUT", "TOKEN", "Reply", "Script", "refusal", "serving", "wait_until"]
