"""Running the server: the port, TLS, signals, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

import medsam2

from .app import build_app
from .deadlines import limit_handshakes, protocol_with
from .logs import Log, quiet_uvicorn
from .service import Service
from .settings import Settings
from .worker import no_core_dumps

MOST_CONNECTIONS = 1024
GRACE_S = 2
_M_MMAP_THRESHOLD = -3
"""Of glibc's ``malloc.h``."""


class Server(uvicorn.Server):
    """uvicorn's server; says when it listens, and drains before it ends.

    Args:
        config: of uvicorn.
        service: told to drain.
        announce: called with the address once the port is open.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, announce: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._announce = announce
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._abandoned = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the port and says so."""
        self._loop = asyncio.get_running_loop()
        if self._abandoned:
            self.should_exit = True
            return
        if self.config.is_ssl:
            limit_handshakes(self._loop, self._service.limits)
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            self._announce(f"{'https' if self.config.is_ssl else 'http'}://{host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Drains at the first signal, and ends at once at the second."""
        if self._draining is not None:
            self.force_exit = self.should_exit = True
            return
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.end)

    def abandon(self) -> None:
        """Stops without waiting for jobs, whose results nobody will fetch; any thread, any time."""
        self._abandoned = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._stop)

    def end(self) -> None:
        """Lets running jobs end, then stops; must be called on the server's loop."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await self._service.drain()
        self.should_exit = True

    def _stop(self) -> None:
        self._service.draining = True
        self._service.close_streams()
        self.should_exit = True


def serve(settings: Settings, announce: Callable[[str], None] | None = None) -> int:
    """Serves until told to stop; returns the exit code.

    Args:
        settings: everything an operator decides.
        announce: called with the address once the server listens; prints one line if not given.
    """
    no_core_dumps()
    _return_memory()
    log = Log(sys.stderr)
    app = build_app(settings, log)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=protocol_with(settings.limits),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=65,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    config.load()
    quiet_uvicorn(log)
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    announce = announce or _print_address

    def started(address: str) -> None:
        log.event("started", version=medsam2.__version__, tls=settings.uses_tls)
        announce(address)

    server = Server(config, app.state.service, started)
    if settings.follow_stdin:
        threading.Thread(target=_follow_stdin, args=(server,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    log.event("stopped")
    return 0 if server.started else 1


def _return_memory() -> None:
    """Makes the C library give large blocks back to the system once they are free.

    By itself glibc keeps more and more of them for later: after a few large messages the process
    would hold several times their size.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def _print_address(address: str) -> None:
    sys.stdout.write(f"MedSAM2 server ready at {address}\n")
    sys.stdout.flush()


def _follow_stdin(server: Server) -> None:
    """Ends the server when the program at the other end of standard input is gone."""
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.buffer.read(4096):
            pass
    server.abandon()
