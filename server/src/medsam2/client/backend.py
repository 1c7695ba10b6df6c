"""The seam's backend over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from medsam2.core.backend import Backend, ModelInfo, SessionOptions
from medsam2.core.errors import SessionClosedError
from medsam2.core.intensity import resolve_window
from medsam2.core.volume import Volume
from medsam2.wire.messages import ServerInfo

from .address import Address
from .host import Host
from .http import Transport
from .link import Link
from .opened import Opened
from .session import RemoteSession

if TYPE_CHECKING:
    import requests


class RemoteBackend(Backend):
    """A model that runs in a server on this machine or another.

    Voxels, a volume's geometry and prompts are sent, nothing else: no names, no metadata. The server
    is asked what it is at once. Requests that fail for a passing reason are sent again for as long as
    ``patience_s`` goes by without any progress.

    Threading: a backend and its sessions may be called from any thread, one call at a time for each
    session; different sessions of a backend may be used at the same time.

    Args:
        url: of the server; ``http`` for this machine alone.
        token: the server's.
        ca_file: PEM file of the authorities to trust, in place of the usual ones.
        patience_s: how long to go on without progress.
        is_alive: False once the server is known to have ended, so that nobody waits for it; for those
            who started it. Called from any thread.
        http: whose adapters send the requests, one at a time; None takes connections of its own.
        allow_http: whether another machine may be reached without encryption.

    Raises:
        InputError: the address, the token or the file can't be used.
        ServerError: the server can't be reached, or refuses.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca_file: Path | None = None,
        patience_s: float = 60.0,
        is_alive: Callable[[], bool] = lambda: True,
        http: requests.Session | None = None,
        allow_http: bool = False,
    ) -> None:
        address = Address.parse(url, allow_http=allow_http)
        self._transport = Transport(address, token, ca_file=ca_file, session=http)
        link = Link(self._transport, patience_s, is_alive)
        self._host = Host(link, loopback=address.loopback)
        self._closed = False

    def __repr__(self) -> str:
        return f"RemoteBackend({self._transport.address.url!r})"

    @property
    def model(self) -> ModelInfo:
        """Which model it is and what it takes, as the server last said."""
        return self._host.info.model.info()

    @property
    def server(self) -> ServerInfo:
        """What the server last said of itself."""
        return self._host.info

    def open(self, volume: Volume, options: SessionOptions | None = None) -> RemoteSession:
        """Opens a session, sending the volume unless the server has it.

        Raises:
            InputError: the window can't be used, or the volume is too large for the server.
            ServerError: the server can't be reached, or refuses.
        """
        if self._closed:
            msg = "The backend is closed; make a new one."
            raise SessionClosedError(msg)
        options = options or SessionOptions()
        window = resolve_window(volume, options.window)
        opened = Opened(self._host, volume, options, window)
        return RemoteSession(volume, options, window, opened)

    def close(self) -> None:
        """Closes idle connections; sessions that are open stay so."""
        self._closed = True
        self._transport.close()
