"""Every refusal: its code, its HTTP status and what it means.

The codes of :mod:`medsam2.core.errors` cross the wire as they are. The table below adds those that
only a server knows, and gives each its status; the protocol's document is checked against it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from medsam2.core import errors
from medsam2.core.errors import MedSAM2Error, ServerError


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A code of the protocol.

    Args:
        status: of HTTP.
        meaning: when it is answered.
        message: what the user is told; errors raised with a text of their own override it.
        error: what the client raises, after what it could do itself.
    """

    status: int
    meaning: str
    message: str
    error: type[MedSAM2Error] = ServerError


_UNKNOWN = "unknown, or another tenant's"

REFUSALS: dict[str, Refusal] = {
    "malformed": Refusal(
        400, "the message breaks the protocol", "The request is malformed.", errors.WireError
    ),
    "host": Refusal(
        400, "the Host header names none of the server's names", "Unknown host; see --allow-host."
    ),
    "unauthorized": Refusal(
        401, "no token, or an unknown one", "A valid token is needed.", errors.UnauthorizedError
    ),
    "origin": Refusal(403, "a web page of another origin asks", "Foreign origin."),
    "not_found": Refusal(404, "no such path", "There is nothing at this address."),
    "unknown_volume": Refusal(404, f"the volume is {_UNKNOWN}", "Upload the volume first."),
    "unknown_session": Refusal(404, f"the session is {_UNKNOWN}", "Open the session first."),
    "unknown_object": Refusal(404, "the object has no prompts", "Put the object's prompts first."),
    "unknown_job": Refusal(404, f"the job is {_UNKNOWN}, or over", "Start the job again."),
    "method": Refusal(405, "the path does not take this method", "Method not allowed."),
    "timeout": Refusal(
        408, "the body came too slowly", "The request took too long; send it again."
    ),
    "session_conflict": Refusal(
        409, "the session is open with other options", "Open another session for other options."
    ),
    "job_conflict": Refusal(
        409, "the idempotency key was used for another job", "Use a new key for a new job."
    ),
    "stale": Refusal(
        409,
        "the session or the prompts are not those that the client means",
        "Put the prompts again, then start the job.",
    ),
    "incomplete_volume": Refusal(
        409, "chunks of the volume are missing", "Upload the missing chunks first."
    ),
    "evicted": Refusal(410, "idle, and its memory was needed", "Open the session again."),
    "expired": Refusal(410, "idle for too long", "Open the session again."),
    "restarted": Refusal(410, "the server started anew", "Open the session again."),
    "too_large": Refusal(
        413, "body or content beyond a limit", "Too large.", errors.MessageTooLargeError
    ),
    "media_type": Refusal(415, "the body is of another type", "Wrong content type."),
    "volume_hash": Refusal(
        422, "the voxels are not those that were named", "The volume was damaged; upload it again."
    ),
    "protocol": Refusal(
        426,
        "another major version of the protocol",
        "Update client or server.",
        errors.ProtocolMismatchError,
    ),
    "quota": Refusal(
        429,
        "the tenant's sessions, jobs or volumes are used up",
        "Too much at once; close a session or wait.",
        errors.ServerBusyError,
    ),
    "queue_full": Refusal(
        503, "too many jobs wait", "The server is busy; try again soon.", errors.ServerBusyError
    ),
    "not_ready": Refusal(
        503, "the model is loading", "The server is not ready yet.", errors.ServerBusyError
    ),
    "shutdown": Refusal(
        503, "the server is going down", "The server is going down.", errors.ServerBusyError
    ),
    "no_memory": Refusal(
        507,
        "no memory is left for a volume",
        "The server's memory is full; try again later.",
        errors.ServerBusyError,
    ),
    "worker_lost": Refusal(
        500,
        "the computing process was lost twice at this job (only within a stream)",
        "The server's computing process was lost at this job; try again.",
        errors.WorkerLostError,
    ),
    "internal": Refusal(500, "a defect of the server", "The server failed; see its log."),
}


def _tree(kind: type[MedSAM2Error]) -> Iterator[type[MedSAM2Error]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def engine_errors() -> dict[str, type[MedSAM2Error]]:
    """The errors of the tree that may cross the wire as themselves, by code."""
    own = set(_tree(ServerError))
    return {kind.code: kind for kind in _tree(MedSAM2Error) if kind not in own}


def status_of(error: MedSAM2Error) -> int:
    """The HTTP status for an error of the tree: 422 for what the user can mend, else 500."""
    refusal = REFUSALS.get(error.code)
    if refusal is not None:
        return refusal.status
    return 422 if isinstance(error, errors.InputError) else 500


def error_of(code: str, message: str) -> MedSAM2Error:
    """Returns the error that a code stands for, with the server's message."""
    refusal = REFUSALS.get(code)
    kind = refusal.error if refusal is not None else engine_errors().get(code, ServerError)
    return kind(message or (refusal.message if refusal else f"The server answered {code}."))
