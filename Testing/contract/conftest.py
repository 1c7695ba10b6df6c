"""Everything that segments, side by side: each test runs against every host of the seam."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgi_adapter import asgi_session
from certificates import Authority
from fake_backend import FakeBackend
from server_process import running
from tiny_engine import backend_for

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import Backend
from medsam2.server.app import build_app
from medsam2.server.logs import Log
from medsam2.server.settings import Settings
from medsam2.server.tokens import new_token, tenant_of

HOSTS = ("fake", "local", "asgi-fake", "asgi-tiny", "server", "server-tls")
MODEL_OF = {"fake": "fake", "asgi-fake": "fake"}


@functools.cache
def reference(model: str) -> Backend:
    return FakeBackend() if model == "fake" else backend_for(model)


@contextlib.contextmanager
def over_asgi(factory: str) -> Iterator[Backend]:
    token = new_token()
    settings = Settings((tenant_of(token),), factory=factory)
    with (
        asgi_session(build_app(settings, Log(io.StringIO()))) as session,
        contextlib.closing(RemoteBackend("http://127.0.0.1", token, http=session)) as backend,
    ):
        yield backend


@contextlib.contextmanager
def over_http() -> Iterator[Backend]:
    with (
        running(factory="factories:tiny") as server,
        contextlib.closing(RemoteBackend(server.url, server.token)) as backend,
    ):
        yield backend


@contextlib.contextmanager
def over_tls(folder: Path) -> Iterator[Backend]:
    authority = Authority(folder)
    pair = authority.pair("server")
    with running(factory="factories:tiny", certificate=pair.certificate, key=pair.key) as server:
        remote = RemoteBackend(server.url, server.token, ca_file=authority.file)
        with contextlib.closing(remote) as backend:
            yield backend


@pytest.fixture(scope="session", params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    """Which host the test runs against."""
    return str(request.param)


@pytest.fixture(scope="session")
def a_backend(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend on that host, shared by all tests."""
    match host:
        case "fake":
            yield FakeBackend()
        case "local":
            yield backend_for("tiny-random")
        case "asgi-fake" | "asgi-tiny":
            with over_asgi(f"factories:{host.removeprefix('asgi-')}") as backend:
                yield backend
        case "server":
            with over_http() as backend:
                yield backend
        case "server-tls":
            with over_tls(tmp_path_factory.mktemp("tls")) as backend:
                yield backend


@pytest.fixture(scope="session")
def in_process(host: str) -> Backend:
    """The backend in this process whose masks the host must give."""
    return reference(MODEL_OF.get(host, "tiny-random"))


@pytest.fixture(scope="session", params=["local", "asgi"])
def a_box_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend whose model takes no points."""
    if request.param == "local":
        yield backend_for("tiny-random-chain")
    else:
        with over_asgi("factories:tiny_chain") as backend:
            yield backend
