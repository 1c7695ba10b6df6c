"""Tokens: who a client is. Only their digests are kept in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from medsam2.core.errors import InputError

_TOKEN = re.compile(r"[A-Za-z0-9_\-]{32,256}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_MAKE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclasses.dataclass(frozen=True)
class Tenant:
    """Somebody whose sessions nobody else can see.

    Args:
        name: for the operator; appears in logs as a salted digest only.
        token_sha256: of the token, in hexadecimal digits.
    """

    name: str
    token_sha256: str = dataclasses.field(repr=False)


class TokenTable:
    """Finds the tenant whose token a request carries.

    Args:
        tenants: all of them.
    """

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._tenants = tuple(tenants)

    def find(self, authorization: str | None) -> Tenant | None:
        """Returns the tenant of an ``Authorization`` header, or None.

        Every tenant is compared in constant time, so the time tells nothing about any token.
        """
        scheme, _, token = (authorization or "").partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for tenant in self._tenants:
            if hmac.compare_digest(given, tenant.token_sha256):
                found = tenant
        return found if scheme.lower() == "bearer" else None


def new_token() -> str:
    """Returns a token of 256 random bits."""
    return secrets.token_urlsafe(32)


def tenant_of(token: str, name: str = "default") -> Tenant:
    """Makes a tenant from its token.

    Raises:
        InputError: the token is too short or has other characters than letters, digits, - and _.
    """
    if _TOKEN.fullmatch(token) is None:
        msg = f"The token of {name} needs at least 32 letters, digits, - or _; {_MAKE}"
        raise InputError(msg)
    return Tenant(name, hashlib.sha256(token.encode("ascii")).hexdigest())


def read_tenants(path: Path) -> tuple[Tenant, ...]:
    """Reads a token file: one ``TOKEN``, ``NAME TOKEN`` or ``NAME sha256:HEX`` a line, # for remarks.

    Raises:
        InputError: the file is missing, malformed, or readable by other users.
    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        msg = f"The token file {path} can't be read; check its name and permissions."
        raise InputError(msg) from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        msg = f"Other users can read the token file {path}; run: chmod 600 {path}"
        raise InputError(msg)
    tenants: list[Tenant] = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if words:
            tenants.append(_tenant(words, f"line {number} of {path}"))
    names, digests = {t.name for t in tenants}, {t.token_sha256 for t in tenants}
    if not tenants or len(names) < len(tenants) or len(digests) < len(tenants):
        msg = f"The token file {path} needs at least one line, and each name and token once only."
        raise InputError(msg)
    return tuple(tenants)


def _tenant(words: list[str], place: str) -> Tenant:
    name, secret = ("default", words[0]) if len(words) == 1 else (words[0], words[-1])
    if len(words) > 2 or _NAME.fullmatch(name) is None:
        msg = f"In {place}: give TOKEN, NAME TOKEN or NAME sha256:HEX."
        raise InputError(msg)
    digest = _DIGEST.fullmatch(secret)
    return Tenant(name, digest.group(1)) if digest else tenant_of(secret, name)


def write_token_file(path: Path, token: str) -> None:
    """Writes a token where only this user can read it; whole or not at all.

    Raises:
        InputError: the folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{token}\n")
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError:
        msg = f"The token file {path} can't be written; give one with --token-file FILE."
        raise InputError(msg) from None


def default_token_file() -> Path:
    """Where a server on this machine leaves its token for this user's clients."""
    import platformdirs

    return platformdirs.user_state_path("medsam2") / "server-token"
