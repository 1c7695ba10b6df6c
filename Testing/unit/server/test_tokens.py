from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

import pytest

from medsam2.core.errors import InputError, UnwritableOutputError
from medsam2.server import tokens
from medsam2.server.tokens import (
    TokenTable,
    default_token_file,
    new_token,
    read_tenants,
    tenant_of,
    write_token_file,
)

ALICE, BOB = "a" * 32, "B_-9" * 10


def secret_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tenants"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(mode)
    return path


def test_new_tokens_hold_256_bits_and_are_accepted():
    made = {new_token() for _ in range(50)}
    assert len(made) == 50
    assert all(len(token) == 43 and tenant_of(token) for token in made)


@pytest.mark.parametrize("token", ["", "a" * 31, "a" * 40 + " ", "ä" * 40, "a" * 40 + "\n"])
def test_weak_or_odd_tokens_are_refused_without_being_shown(token):
    with pytest.raises(InputError, match="token_urlsafe") as caught:
        tenant_of(token)
    assert not token or token not in str(caught.value)


def test_no_representation_shows_a_token_or_its_digest():
    tenant = tenant_of(ALICE, "alice")
    for shown in (repr(tenant), str(tenant), repr(TokenTable([tenant])), repr([tenant])):
        assert ALICE not in shown
        assert tenant.token_sha256 not in shown


def test_a_bearer_token_finds_its_own_tenant_only():
    table = TokenTable([tenant_of(ALICE, "alice"), tenant_of(BOB, "bob")])
    assert table.find(f"Bearer {ALICE}").name == "alice"
    assert table.find(f"bearer {BOB}").name == "bob"
    wrong = [None, "", ALICE, f"Basic {ALICE}", "Bearer", "Bearer ", f"Bearer {ALICE}{BOB}"]
    wrong += [f"Bearer {ALICE[:-1]}", f"Bearer {hashlib.sha256(ALICE.encode()).hexdigest()}"]
    wrong += ["Bearer \xff\xfe", f"Bearer {ALICE}, Bearer {BOB}"]
    assert [table.find(header) for header in wrong] == [None] * len(wrong)


def test_a_token_is_compared_with_every_tenant_in_constant_time(monkeypatch):
    compared = []

    def counted(given, kept):
        compared.append(kept)
        return hmac.compare_digest(given, kept)

    monkeypatch.setattr(tokens, "hmac", type("hmac", (), {"compare_digest": counted}))
    everybody = [tenant_of(ALICE, "alice"), tenant_of(BOB, "bob"), tenant_of("c" * 40, "carol")]
    TokenTable(everybody).find(f"Bearer {ALICE}")
    assert compared == [tenant.token_sha256 for tenant in everybody]


def test_a_file_of_tenants_takes_names_digests_and_comments(tmp_path):
    digest = hashlib.sha256(BOB.encode()).hexdigest()
    path = secret_file(tmp_path, f"# staff\n\nalice {ALICE}  # radiology\nbob sha256:{digest}\n")
    assert read_tenants(path) == (tenant_of(ALICE, "alice"), tenant_of(BOB, "bob"))
    assert read_tenants(secret_file(tmp_path, ALICE)) == (tenant_of(ALICE),)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_may_touch_is_refused(tmp_path, mode):
    with pytest.raises(InputError, match="chmod 600"):
        read_tenants(secret_file(tmp_path, ALICE, mode))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# nobody\n", "holds no token"),
        (f"alice {ALICE} more", "Line 1 .* must be"),
        (f"al/ice {ALICE}", "Line 1 .* must be"),
        (f"\n{ALICE} alice", "Line 2 .*at least 32"),
        ("short", "at least 32"),
        (f"bob sha256:{'G' * 64}", "64 lower-case"),
        (f"alice {ALICE}\nalice {BOB}", "Line 2 .* repeats"),
        (f"alice {ALICE}\nbob {ALICE}", "Line 2 .* repeats"),
        (f"{ALICE}\n{BOB}", "Line 2 .* repeats"),
        (f"\xff {ALICE}", "UTF-8"),
    ],
)
def test_a_malformed_file_is_refused_without_showing_a_token(tmp_path, text, wanted):
    with pytest.raises(InputError, match=wanted) as caught:
        read_tenants(secret_file(tmp_path, text))
    assert not any(word in str(caught.value) for word in (ALICE, BOB, "short", "G" * 64))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent can't be read: No such file"):
        read_tenants(tmp_path / "absent")


def test_a_written_token_is_for_this_user_only_and_can_be_read_again(tmp_path):
    path = tmp_path / "state" / "token"
    write_token_file(path, BOB)
    write_token_file(path, ALICE)
    assert read_tenants(path) == (tenant_of(ALICE),)
    assert [child.name for child in path.parent.iterdir()] == ["token"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_written_token_never_goes_through_a_link_that_someone_laid(tmp_path):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "token"
    elsewhere.write_text("untouched")
    path.symlink_to(elsewhere)
    write_token_file(path, ALICE)
    assert elsewhere.read_text() == "untouched"
    assert not path.is_symlink()


def test_a_token_that_cannot_be_written_leaves_nothing(tmp_path):
    folder = tmp_path / "token"
    (folder / "full").mkdir(parents=True)
    with pytest.raises(UnwritableOutputError, match="token"):
        write_token_file(folder, ALICE)
    (tmp_path / "a file").touch()
    with pytest.raises(UnwritableOutputError):
        write_token_file(tmp_path / "a file" / "token", ALICE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "token"]


def test_the_default_place_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_token_file().parts[-2:] == ("medsam2", "server-token")
    assert default_token_file().is_relative_to(tmp_path) or os.name != "posix"
