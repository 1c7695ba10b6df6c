"""Paths, headers and versions of the protocol; ``server/docs/protocol.md`` describes them."""

from __future__ import annotations

from medsam2.core.errors import ProtocolMismatchError

PROTOCOL = "1.0"
"""``major.minor``: a minor version adds, a major one breaks. A server serves every older minor."""

HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
INFO = "/v1/info"
VOLUME = "/v1/volumes/{volume}"
CHUNK = "/v1/volumes/{volume}/chunks/{number}"
SESSION = "/v1/sessions/{session}"
OBJECT = "/v1/sessions/{session}/objects/{object_id}"
JOBS = "/v1/sessions/{session}/jobs"
JOB = "/v1/sessions/{session}/jobs/{job}"
RESULTS = "/v1/sessions/{session}/jobs/{job}/results"

AUTHORIZATION = "Authorization"
REQUEST = "X-Request-Id"
"""The client's own identifier of a request; every answer echoes it."""
SESSION_ID = "X-Session-Id"
"""The session's identifier again, for balancers that keep a session on one server."""
PROTOCOL_VERSION = "X-Protocol"
RUN = "X-Server-Run"
"""The server's run that the client talked to before; another one answers 410 ``restarted``."""
IDEMPOTENCY_KEY = "Idempotency-Key"
"""The job's identifier, chosen by the client: sent twice, it is one job."""

JSON = "application/json"
FRAME = "application/vnd.medsam2.array"
RECORDS = "application/vnd.medsam2.records"

LONGEST_WAIT_S = 30
"""How long a stream of results stays open at most before the client asks again."""


def check_protocol(theirs: str) -> None:
    """Refuses another major version.

    Raises:
        ProtocolMismatchError: the two can't understand each other.
    """
    if theirs.split(".", maxsplit=1)[0] != PROTOCOL.split(".", maxsplit=1)[0]:
        msg = f"The other side speaks protocol {theirs}, this one {PROTOCOL}; update the older one."
        raise ProtocolMismatchError(msg)
