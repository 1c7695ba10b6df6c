"""How the server says no: a code, a status, one line."""

from __future__ import annotations

from medsam2.wire.problems import REFUSALS


class Refused(Exception):
    """A request that is answered with a refusal.

    Args:
        code: of :data:`medsam2.wire.problems.REFUSALS`.
        message: one line for the user, where the table's isn't enough; never what a client sent.
        retry_after_s: when to try again.
    """

    def __init__(self, code: str, message: str = "", *, retry_after_s: float | None = None) -> None:
        refusal = REFUSALS[code]
        super().__init__(message or refusal.message)
        self.code = code
        self.status = refusal.status
        self.retry_after_s = retry_after_s
