"""Identifiers: random ones that a client chooses, and digests that say what something is."""

from __future__ import annotations

import re
import secrets
from typing import Annotated

from .strict import Pattern

Id = Annotated[str, Pattern("[0-9a-f]{32}")]
"""A random identifier: of a session, a job, a request, a server's run."""

Sha256 = Annotated[str, Pattern("[0-9a-f]{64}")]
"""A SHA-256 in lower-case hexadecimal digits."""

_ID, _SHA256 = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{64}")


def new_id() -> str:
    """Returns 128 random bits; nobody can guess another's."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Whether a text has an identifier's form."""
    return _ID.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether a text has a digest's form."""
    return _SHA256.fullmatch(text) is not None
