"""Certificates for every occasion, and a listener that writes down what it is told over TLS."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import socket
import ssl
import threading
import warnings
from pathlib import Path
from typing import Self

import trustme

HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate's chain and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, and writes them into a folder.

    Args:
        folder: an existing one.
        name: of its files.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def pair(self, name: str, host: str = HOST, *, expired: bool = False) -> Pair:
        """A certificate for a host."""
        now = datetime.datetime.now(datetime.UTC)
        until = now - datetime.timedelta(days=1) if expired else None
        since = now - datetime.timedelta(days=9) if expired else None
        leaf = self._ca.issue_cert(host, not_before=since, not_after=until)
        made = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(made.key)
        return made

    def self_signed(self) -> Pair:
        """A certificate that nobody else vouches for."""
        made = Pair(self._folder / "own.pem", self._folder / "own.key")
        self._ca.cert_pem.write_to_path(made.certificate)
        self._ca.private_key_pem.write_to_path(made.key)
        return made


class TlsListener:
    """Accepts connections while a ``with`` block runs, and keeps what is said on them.

    Args:
        pair: shown to clients.
        oldest: the oldest version of TLS that it speaks.
    """

    def __init__(
        self, pair: Pair, oldest: ssl.TLSVersion = ssl.TLSVersion.MINIMUM_SUPPORTED
    ) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair.certificate, pair.key)
        if oldest is not ssl.TLSVersion.MINIMUM_SUPPORTED:
            with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
                self._context.minimum_version = oldest
            self._context.set_ciphers("ALL:@SECLEVEL=0")
        self.heard = b""
        self.connections = 0
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                self.connections += 1
                with plain, contextlib.suppress(OSError):
                    plain.settimeout(5)
                    with self._context.wrap_socket(plain, server_side=True) as secure:
                        self.heard += secure.recv(65536)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def old_client(newest: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks nothing newer, and believes every certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.maximum_version = newest
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


def speaks(port: int, client: ssl.SSLContext) -> str:
    """The version of TLS that a client and a server agree on; empty for none."""
    with (
        socket.create_connection((HOST, port), 5) as plain,
        contextlib.suppress(OSError),
        client.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        return secure.version() or ""
    return ""
