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
import tempfile
from collections.abc import Iterable
from pathlib import Path

from medsam2.core.errors import InputError, UnwritableOutputError
from medsam2.wire.names import is_sha256

_TOKEN = re.compile("[A-Za-z0-9_-]{32,}")
_NAME = re.compile("[A-Za-z0-9_.@-]{1,64}")
_DIGEST = "sha256:"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclasses.dataclass(frozen=True)
class Tenant:
    """Somebody whose sessions nobody else can see.

    Args:
        name: for the operator; appears in logs as a salted digest only.
        token_sha256: of the token, in hexadecimal digits.
    """

    name: str
    token_sha256: str = dataclasses.field(repr=False)


def new_token() -> str:
    """Returns 256 random bits as letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)


def tenant_of(token: str, name: str = "default") -> Tenant:
    """Returns the tenant that a token stands for; the token itself is not kept.

    Raises:
        InputError: the token is too short to be safe, or holds other characters.
    """
    if _TOKEN.fullmatch(token) is None:
        msg = (
            "A token needs at least 32 letters, digits, - or _; make one with: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
        raise InputError(msg)
    return Tenant(name, _sha256(token))


class TokenTable:
    """Finds the tenant of a request, in a time that tells nothing about any token.

    Args:
        tenants: everybody who may come in.
    """

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._tenants = tuple(tenants)

    def find(self, authorization_header: str | None) -> Tenant | None:
        """Returns whose token ``Bearer TOKEN`` carries; None for any other text, or none."""
        scheme, _, token = (authorization_header or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        given, found = _sha256(token.strip()), None
        for tenant in self._tenants:  # all of them: an early end would tell where one stands
            if hmac.compare_digest(given, tenant.token_sha256):
                found = tenant
        return found


def read_tenants(path: Path) -> tuple[Tenant, ...]:
    """Reads a file of tenants, one a line: ``TOKEN``, ``NAME TOKEN`` or ``NAME sha256:HEX``.

    What follows a ``#`` is a comment. A single token needs no name.

    Raises:
        InputError: the file can't be read, others may touch it, a line is malformed, or a name or
            a token is there twice. No message shows a token.
    """
    tenants: list[Tenant] = []
    for number, line in enumerate(_private_text(path).splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        tenant = _tenant(words, f"Line {number} of {path}")
        if any(_same(tenant, other) for other in tenants):
            msg = f"Line {number} of {path} repeats a name or a token; give each tenant its own."
            raise InputError(msg)
        tenants.append(tenant)
    if not tenants:
        msg = f"{path} holds no token; write one tenant a line: NAME TOKEN."
        raise InputError(msg)
    return tuple(tenants)


def write_token_file(path: Path, token: str) -> None:
    """Writes a token where only this user can read it; the file appears whole or not at all.

    Raises:
        UnwritableOutputError: the folder or the file can't be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:  # mkstemp made it 0600
                file.write(f"{token}\n")
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        msg = f"The token can't be written to {path}: {error.strerror}."
        raise UnwritableOutputError(msg) from error


def default_token_file() -> Path:
    """Returns where a server leaves its token for clients of the same user."""
    import platformdirs

    return platformdirs.user_state_path("medsam2", appauthor=False) / "server-token"


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _same(one: Tenant, other: Tenant) -> bool:
    return one.name == other.name or one.token_sha256 == other.token_sha256


def _private_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                msg = f"Others may touch the tokens in {path}; run: chmod 600 {path}"
                raise InputError(msg)
            return file.read()
    except UnicodeDecodeError:
        reason = "it is not a text in UTF-8"
    except OSError as error:
        reason = error.strerror or "the system refuses"
    msg = f"The tokens in {path} can't be read: {reason}."
    raise InputError(msg)


def _tenant(words: list[str], where: str) -> Tenant:
    name, secret = ("default", words[0]) if len(words) == 1 else (words[0], words[-1])
    if len(words) > 2 or _NAME.fullmatch(name) is None:
        msg = f"{where} must be NAME TOKEN or NAME sha256:HEX; a name has letters, digits and _.@-"
        raise InputError(msg)
    if secret.startswith(_DIGEST):
        digest = secret.removeprefix(_DIGEST)
        if not is_sha256(digest):
            msg = f"{where} needs 64 lower-case hexadecimal digits after {_DIGEST}"
            raise InputError(msg)
        return Tenant(name, digest)
    try:
        return tenant_of(secret, name)
    except InputError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from None
