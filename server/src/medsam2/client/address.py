"""Where a server is, checked before anything is sent there."""

from __future__ import annotations

import dataclasses
import ipaddress
from urllib.parse import SplitResult, urlsplit

from medsam2.core.errors import InputError


@dataclasses.dataclass(frozen=True)
class Address:
    """A server's base URL.

    Args:
        url: without a slash at its end.
        secure: whether it is https.
        loopback: whether it can only be this machine.
    """

    url: str
    secure: bool
    loopback: bool

    @classmethod
    def parse(cls, url: str, *, allow_http: bool = False) -> Address:
        """Reads and checks a URL.

        Args:
            url: ``http://`` or ``https://``, a host, perhaps a port and a path.
            allow_http: whether another machine may be reached without encryption.

        Raises:
            InputError: it is anything else, or would send voxels and token in the clear.
        """
        parts = _split(url)
        if parts.username is not None or parts.password is not None:
            msg = "The server's address must not hold a user or password; give the token apart."
            raise InputError(msg)
        if parts.query or parts.fragment:
            msg = f"The server's address {parts.scheme}://{parts.hostname} must end with its path."
            raise InputError(msg)
        loopback, secure = is_loopback(parts.hostname or ""), parts.scheme == "https"
        if not (secure or loopback or allow_http):
            msg = (
                f"http://{parts.hostname} would send the images unencrypted to another machine; "
                "use https, or allow plain http if something else encrypts."
            )
            raise InputError(msg)
        plain = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(plain, secure, loopback)


def is_loopback(host: str) -> bool:
    """Whether a host's name or number can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(url: str) -> SplitResult:
    """Splits a URL that has a host and a usable port; messages don't repeat it, it may hold secrets."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in url):
        msg = "The server's address must be like https://host:1527 or http://127.0.0.1:1527."
        raise InputError(msg)
    return parts
