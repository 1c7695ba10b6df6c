"""What is known of a server: its run and its model."""

from __future__ import annotations

import threading

from medsam2.core.errors import ServerError
from medsam2.wire import arrays, routes
from medsam2.wire.arrays import Codec
from medsam2.wire.messages import ServerInfo

from .http import Call
from .link import Forgotten, Link

_INFO = Call("GET", routes.INFO)


class Host:
    """A server, as it was when it was last asked; may be used from several threads at once.

    Args:
        link: to it.
        loopback: whether it is on this machine, where compressing takes longer than sending.

    Raises:
        ServerError: it can't be reached, or refuses.
        ProtocolMismatchError: it speaks another major version.
    """

    def __init__(self, link: Link, *, loopback: bool) -> None:
        self.link = link
        self._loopback = loopback
        self._lock = threading.Lock()
        self._info = self._ask(None)

    @property
    def info(self) -> ServerInfo:
        """What the server said of itself."""
        with self._lock:
            return self._info

    @property
    def codec(self) -> Codec:
        """How to send arrays."""
        theirs = self.info.codecs
        if self._loopback and "raw" in theirs:
            return "raw"
        return next((codec for codec in arrays.codecs() if codec in theirs), "zlib")

    def refresh(self, stop: threading.Event | None = None) -> ServerInfo:
        """Asks again, after the server may have started anew.

        Raises:
            ServerError: as for the constructor.
        """
        info = self._ask(stop)
        with self._lock:
            self._info = info
        return info

    def _ask(self, stop: threading.Event | None) -> ServerInfo:
        try:
            info = self.link.ask(ServerInfo, _INFO, stop)
        except Forgotten as forgotten:
            msg = f"The server answered {forgotten.code} when asked what it is; restart it."
            raise ServerError(msg) from None
        routes.check_protocol(info.protocol)
        return info
