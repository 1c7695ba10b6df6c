"""The door to a server: a model on another machine, or in another process."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from medsam2.core.backend import Backend
from medsam2.core.errors import InputError, UnauthorizedError, UnknownModelError

TOKEN_VARIABLE = "MEDSAM2_TOKEN"  # noqa: S105 (a name, not a token)


@dataclasses.dataclass(frozen=True)
class Remote:
    """Where a server is, and how to be let in.

    Args:
        url: its address.
        token_file: holds the token; the environment's MEDSAM2_TOKEN or the file that a server on
            this machine wrote, if not given.
        ca_file: the certificate that signed the server's, if the system doesn't know it.
        insecure_http: whether http to another machine is allowed.
        model: that the server must run, or None for any.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    insecure_http: bool = False
    model: str | None = None


def connect(remote: Remote) -> Backend:
    """Connects to a server.

    Raises:
        ServerError: it can't be reached or trusted, or doesn't know the token.
        UnknownModelError: it runs another model than the one wanted.
    """
    from medsam2.client.backend import RemoteBackend

    backend = RemoteBackend(
        remote.url, read_token(remote), ca_file=remote.ca_file, allow_http=remote.insecure_http
    )
    if remote.model is not None and backend.model.name != remote.model:
        msg = (
            f"The server at {remote.url} runs {backend.model.name}, not {remote.model}; leave "
            "--model out, or start the server with it."
        )
        raise UnknownModelError(msg)
    return backend


def read_token(remote: Remote) -> str:
    """Finds the token: in the file given, in MEDSAM2_TOKEN, or where a server here left it.

    Raises:
        InputError: the file can't be read.
        UnauthorizedError: there is none.
    """
    from medsam2.server.tokens import default_token_file

    path = remote.token_file
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if token:
            return token
        path = default_token_file()
        if not path.is_file():
            msg = (
                f"The server at {remote.url} needs a token; give it with --token-file FILE or in "
                f"the environment as {TOKEN_VARIABLE}."
            )
            raise UnauthorizedError(msg)
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        msg = f"The token file {path} can't be read; check its name and permissions."
        raise InputError(msg) from None
