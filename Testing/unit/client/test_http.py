"""Where requests go, what they carry, and whom they trust."""

from __future__ import annotations

import datetime
import os
import re
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import trustme
from fake_backend import FakeBackend
from requests.adapters import HTTPAdapter
from urllib3.util import connection

from medsam2.client.address import Address, is_loopback
from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import CancelToken
from medsam2.core.errors import CancelledError, CertificateError, InputError, ServerUnreachableError

from .losses import BOX, ROI, masks, run
from .scripted import TOKEN, Script, serving


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://127.0.0.1:1527", "http://127.0.0.1:1527"),
        ("http://localhost:1527/", "http://localhost:1527"),
        ("http://[::1]:1527", "http://[::1]:1527"),
        ("https://server.example/medsam2/", "https://server.example/medsam2"),
    ],
)
def test_an_address_is_a_scheme_a_host_and_perhaps_a_port_and_a_path(url, kept):
    assert Address.parse(url).url == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1527",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://user:secret@127.0.0.1",
        "http://secret@127.0.0.1",
        "https://server.example/?token=secret",
        "https://server.example/#secret",
        "https://server.example/\r\nX: secret",
        "http://server.example:1527",
        "http://127.0.0.1.example",
        "http://0.0.0.0:1527",
    ],
)
def test_other_addresses_are_refused_without_repeating_what_may_be_secret(url):
    with pytest.raises(InputError) as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)


def test_plain_http_to_another_machine_must_be_allowed():
    with pytest.raises(InputError, match="unencrypted"):
        RemoteBackend("http://192.0.2.1:1527", TOKEN)
    assert not Address.parse("http://192.0.2.1:1527", allow_http=True).loopback


def test_only_this_machine_is_loopback():
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(h) for h in ("10.0.0.1", "localhost.example", "0.0.0.0", ""))


@pytest.mark.parametrize("token", ["", " ", "two words", "line\r\nX-Evil: 1", "schlüssel"])
def test_a_token_that_fits_no_header_is_refused_and_not_shown(script, token):
    with pytest.raises(InputError) as caught:
        RemoteBackend(script.url, token)
    assert not token.strip() or token not in str(caught.value)


def test_the_token_is_not_shown(backend, script, volume):
    session = backend.open(volume)
    assert TOKEN not in f"{backend!r} {session!r} {vars(backend)!r} {vars(session)!r}"
    session.close()


def test_nobody_listening_is_an_error_that_names_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServerUnreachableError, match=re.escape(url)) as caught:
            RemoteBackend(url, TOKEN, patience_s=0.1)
    assert TOKEN not in str(caught.value)


def test_proxies_and_netrc_are_ignored_for_this_machine(script, connect, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    connect()
    assert script.headers[0]["Authorization"] == f"Bearer {TOKEN}"


def test_other_machines_are_reached_through_the_proxy_of_the_environment(script, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, script.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    script.answer = lambda *args: type(script).answer(script, "GET", "/v1/info", *args[2:])
    backend = RemoteBackend("http://server.example", TOKEN, allow_http=True)
    backend.close()
    assert script.asked == [("GET", "http://server.example/v1/info")]


def test_redirects_are_not_followed_and_cookies_not_kept(script, backend, volume):
    script.extra_headers["Set-Cookie"] = "who=me; Path=/"
    run(backend, volume)
    assert not any("Cookie" in headers for headers in script.headers)


def test_connections_are_kept(script, connect, volume, monkeypatch):
    opened: list[object] = []
    create = connection.create_connection

    def counted(*args, **kwargs):
        opened.append(args)
        return create(*args, **kwargs)

    monkeypatch.setattr(connection, "create_connection", counted)
    with connect().open(volume) as session:
        session.put(1, ROI)
        for _ in range(5):
            session.predict(1, 4)
            list(session.propagate())
        session.put(1, BOX)
    assert 1 <= len(opened) <= 2


class Elsewhere(HTTPAdapter):
    """Takes requests for another host to the scripted server, and counts them."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.busy = threading.Lock()
        self.sent = 0

    def send(self, request, **kwargs):
        assert self.busy.acquire(blocking=False), "two requests at once"
        try:
            self.sent += 1
            time.sleep(0.005)
            request.url = request.url.replace("http://server.example", self.url)
            return super().send(request, **kwargs)
        finally:
            self.busy.release()


def test_the_requests_go_through_a_session_that_is_given(script, volume, expected):
    with requests.Session() as session:
        adapter = Elsewhere(script.url)
        session.mount("http://server.example", adapter)
        backend = RemoteBackend("http://server.example", TOKEN, http=session, allow_http=True)
        assert run(backend, volume) == expected
        with backend.open(volume) as opened:
            opened.put(1, ROI)
            with ThreadPoolExecutor(4) as pool:
                assert len(list(pool.map(lambda n: opened.predict(1, n), range(8)))) == 8
        backend.close()
        assert adapter.sent == len(script.asked) > 5


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority, tmp_path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_tls_with_a_given_authority_works_whatever_the_environment_says(
    authority, ca_file, tmp_path, monkeypatch, volume, expected
):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    with serving(Script(), context_of(authority.issue_cert("127.0.0.1"))) as script:
        backend = RemoteBackend(script.url, TOKEN, ca_file=ca_file)
        assert run(backend, volume) == expected
        backend.close()


def test_a_propagation_over_tls_can_be_cancelled_while_it_waits(authority, ca_file, volume):
    go_on = threading.Event()
    with serving(Script(), context_of(authority.issue_cert("127.0.0.1"))) as script:
        script.backend = FakeBackend(on_slice=lambda index: go_on.wait(5) if index == 7 else None)
        backend = RemoteBackend(script.url, TOKEN, ca_file=ca_file)
        with backend.open(volume) as session:
            session.put(1, ROI)
            token = CancelToken()
            threading.Timer(0.1, token.cancel).start()
            begun = time.monotonic()
            with pytest.raises(CancelledError):
                list(session.propagate(cancel=token))
            assert time.monotonic() - begun < 1
            go_on.set()
        backend.close()


def issue(authority: trustme.CA, how: str) -> trustme.LeafCert:
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    match how:
        case "expired":
            return authority.issue_cert("127.0.0.1", not_before=now - 2 * day, not_after=now - day)
        case "of another host":
            return authority.issue_cert("server.example")
        case "of another authority":
            return trustme.CA().issue_cert("127.0.0.1")
    return authority.issue_cert("127.0.0.1")


@pytest.mark.parametrize(
    "how", ["expired", "of another host", "of another authority", "unknown authority"]
)
def test_certificates_that_cannot_be_verified_are_refused_at_once(authority, ca_file, how):
    with serving(Script(), context_of(issue(authority, how))) as script:
        begun = time.monotonic()
        given = None if how == "unknown authority" else ca_file
        with pytest.raises(CertificateError, match=r"authority's PEM file"):
            RemoteBackend(script.url, TOKEN, ca_file=given)
        assert time.monotonic() - begun < 2
        assert script.asked == []


def test_a_server_without_tls_is_told_apart_from_one_that_is_gone(script):
    with pytest.raises(CertificateError, match="secure connection"):
        RemoteBackend(script.url.replace("http:", "https:"), TOKEN)


def test_a_handshake_that_is_cut_is_a_lost_connection():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def hang_up() -> None:
            listening.settimeout(0.05)
            while not stop.is_set():
                try:
                    listening.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            with pytest.raises(ServerUnreachableError):
                url = f"https://127.0.0.1:{listening.getsockname()[1]}"
                RemoteBackend(url, TOKEN, patience_s=0.3)
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_is_an_error(tmp_path, script, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match="PEM"):
        RemoteBackend(script.url, TOKEN, ca_file=path)


def test_an_environment_that_names_a_missing_bundle_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.fspath(tmp_path / "none.pem"))
    with pytest.raises(InputError, match="REQUESTS_CA_BUNDLE"):
        RemoteBackend("https://server.example", TOKEN)


def test_masks_over_a_path_behind_a_balancer(script, volume, expected):
    answer = script.answer
    script.answer = lambda method, path, *rest: answer(method, path.removeprefix("/deep"), *rest)
    backend = RemoteBackend(f"{script.url}/deep/", TOKEN)
    with backend.open(volume) as session:
        session.put(1, ROI)
        session.put(2, BOX)
        assert masks(session.propagate()) == expected
    backend.close()
