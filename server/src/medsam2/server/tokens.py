"""Tokens: who a client is. Only their digests are kept in memory."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tenant:
    """Somebody whose sessions nobody else can see.

    Args:
        name: for the operator; appears in logs and metrics as a salted digest only.
        token_sha256: of the token, in hexadecimal digits.
    """

    name: str
    token_sha256: str = dataclasses.field(repr=False)
