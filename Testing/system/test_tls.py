"""P19: what crosses the wire between machines is encrypted, and goes to the right server alone."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import HOST, Authority, TlsListener, old_client, speaks
from server_process import ServerProcess

from medsam2.client.backend import RemoteBackend
from medsam2.core.errors import CertificateError, InputError, MedSAM2Error

TOKEN = "t" * 43
OLD = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]
GOOD = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(authority) -> Iterator[ServerProcess]:
    pair = authority.pair("server")
    with ServerProcess(certificate=pair.certificate, key=pair.key) as running:
        yield running


def test_versions_of_tls_before_1_2_are_refused(ledger, server, authority):
    with TlsListener(authority.pair("old"), oldest=ssl.TLSVersion.TLSv1) as lax:
        assert [speaks(lax.port, old_client(v)) for v in OLD] == ["TLSv1", "TLSv1.1"]
    accepted = [v for v in OLD if speaks(server.port, old_client(v))]
    ledger.none("P19", "versions of TLS before 1.2 accepted", len(accepted), len(OLD))
    assert [speaks(server.port, old_client(v)) for v in GOOD] == ["TLSv1.2", "TLSv1.3"]


def test_a_server_with_a_certificate_answers_nothing_in_the_clear(server):
    with socket.create_connection((HOST, server.port), 5) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200" not in plain.recv(4096)


def test_the_client_works_with_an_authority_of_its_own(server, authority):
    backend = RemoteBackend(server.url, server.token, ca_file=authority.file)
    assert server.url.startswith("https://")
    assert backend.model.name
    backend.close()


def test_the_client_sends_nothing_to_a_server_it_cannot_verify(ledger, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    pairs = {
        "an unknown authority": stranger.pair("unknown"),
        "another host": authority.pair("other", "elsewhere.example"),
        "expired": authority.pair("expired", expired=True),
        "self-signed": stranger.self_signed(),
    }
    trusting = []
    for what, pair in pairs.items():
        with TlsListener(pair) as listener:
            error = refusal(f"https://{HOST}:{listener.port}", authority.file)
        assert listener.connections == 1, f"{what}: tried {listener.connections} times"
        if not isinstance(error, CertificateError) or listener.heard:
            trusting.append(what)
        assert TOKEN not in f"{error!r} {error}"
    ledger.none("P19", "bad certificates that the client accepts", len(trusting), len(pairs))


def test_the_systems_authorities_do_not_vouch_for_our_own(server):
    assert isinstance(refusal(server.url, None), CertificateError)


def test_a_file_without_certificates_is_refused_before_anything_is_sent(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    assert isinstance(refusal(f"https://{HOST}:9", empty), InputError)


def test_http_to_another_machine_is_refused_before_anything_is_sent():
    assert isinstance(refusal("http://segmentation.example:1527", None), InputError)


def test_proxies_and_netrc_are_ignored_for_this_machine(ledger, server, authority, monkeypatch,
                                                        tmp_path):  # fmt: skip
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with socket.create_server((HOST, 0)) as proxy:
        proxy.setblocking(False)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://{HOST}:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        backend = RemoteBackend(server.url, server.token, ca_file=authority.file)
        assert backend.model.name
        backend.close()
        with pytest.raises(BlockingIOError):
            proxy.accept()
    ledger.none("P19", "connections to a proxy of the environment", 0)


def refusal(url: str, ca_file: Path | None) -> MedSAM2Error | None:
    """What a client says that is to talk to a server."""
    try:
        RemoteBackend(url, TOKEN, ca_file=ca_file, patience_s=3).close()
    except MedSAM2Error as error:
        return error
    return None
