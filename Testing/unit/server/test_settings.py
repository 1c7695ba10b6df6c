from __future__ import annotations

import dataclasses
import itertools

import pytest

from medsam2.server.settings import Settings, SettingsError, is_loopback
from medsam2.server.tokens import new_token, tenant_of

TENANTS = (tenant_of(new_token()),)
HOSTS = ["127.0.0.1", "127.8.8.8", "localhost", "::1", "0.0.0.0", "::", "", "10.0.0.7", "fe80::1"]
HOSTS += ["server.hospital", "localhost.hospital", "::ffff:10.0.0.7"]


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "server.pem"
    path.touch()
    return path


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("insecure_http", [False, True])
def test_no_configuration_starts_openly_by_mistake(host, tls, insecure_http, pem):
    given = {"host": host, "insecure_http": insecure_http}
    given |= {"certificate": pem, "key": pem} if tls else {}
    reachable = host not in {"127.0.0.1", "127.8.8.8", "localhost", "::1"}
    with pytest.raises(SettingsError, match="token"):
        Settings((), **given)
    if reachable and not tls and not insecure_http:
        with pytest.raises(SettingsError, match="--tls-cert"):
            Settings(TENANTS, **given)
    else:
        settings = Settings(TENANTS, **given)
        assert settings.uses_tls == tls
        assert is_loopback(settings.host) != reachable


def test_a_server_listens_to_this_machine_alone_unless_told_otherwise():
    settings = Settings(TENANTS)
    assert is_loopback(settings.host)
    assert not settings.dev
    assert not settings.insecure_http
    assert settings.allowed_hosts == settings.allowed_origins == ()


def test_half_of_a_certificate_is_refused(pem):
    for given in ({"certificate": pem}, {"key": pem}):
        with pytest.raises(SettingsError, match="both"):
            Settings(TENANTS, host="0.0.0.0", insecure_http=True, **given)


def test_a_missing_certificate_is_named(pem, tmp_path):
    for given in itertools.permutations([pem, tmp_path / "absent.pem"]):
        with pytest.raises(SettingsError, match=r"absent\.pem"):
            Settings(TENANTS, certificate=given[0], key=given[1])


def test_settings_show_no_token():
    token = new_token()
    shown = repr(Settings((tenant_of(token),)))
    assert token not in shown
    assert tenant_of(token).token_sha256 not in shown


def test_every_limit_is_a_bound():
    limits = dataclasses.asdict(Settings(TENANTS).limits)
    assert all(value > 0 for value in limits.values())
