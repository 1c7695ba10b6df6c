"""Requests and their answers over one pool of connections; each is sent once.

``requests`` is imported with the first request. Its adapters are used without its sessions: nothing
but what is written here goes into a request, no cookies, no ``.netrc``, and no redirect is followed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from medsam2.core.errors import CertificateError, InputError, MedSAM2Error, ServerError
from medsam2.wire import names, routes

from .address import Address
from .answer import Answer, Lost

if TYPE_CHECKING:
    import requests
    import requests.adapters

CONNECT_S = 5.0
READ_S = routes.LONGEST_WAIT_S + 10.0
SOON = (2.0, 2.0)
"""Seconds to connect and to read, for requests that nobody waits for."""

_CONNECTIONS = 8


@dataclasses.dataclass(frozen=True)
class Call:
    """A request.

    Args:
        method: of HTTP.
        path: after the server's address, with its query.
        body: None for none.
        kind: the body's media type.
        expects: the answer's media type; empty for no body.
        headers: beside those that every request has.
        timeout_s: to connect, and between two bytes of the answer.
    """

    method: str
    path: str
    body: bytes | None = None
    kind: str = routes.JSON
    expects: str = routes.JSON
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    timeout_s: tuple[float, float] = (CONNECT_S, READ_S)


class Transport:
    """Sends requests; may be used from several threads at once.

    Args:
        address: the server's.
        token: goes into a header, and nowhere else.
        ca_file: PEM file of the authorities to trust, in place of the usual ones.
        session: whose adapters send the requests, one at a time; None takes a pool of its own.

    Raises:
        InputError: the token or the file can't be used.
    """

    def __init__(
        self,
        address: Address,
        token: str,
        *,
        ca_file: Path | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self.address = address
        self._token = _checked_token(token)
        self._verify = _authorities(address, ca_file)
        self._session = session
        self._turn = contextlib.nullcontext() if session is None else threading.RLock()
        self._pool: requests.adapters.HTTPAdapter | None = None
        self._lock = threading.Lock()

    def send(self, call: Call) -> Answer:
        """Sends a request once and returns the answer, checked but for its body.

        Raises:
            Lost: there was none, or it was cut.
            Refusal: the server said no.
            CertificateError: the server's certificate can't be verified; nothing was sent.
            ServerAnswerError, ProtocolMismatchError: see :meth:`Answer.check`.
        """
        request_id = names.new_id()
        with self._turn:
            answer = Answer(self._exchange(call, request_id), request_id)
        try:
            answer.check(call.expects)
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Closes idle connections of its own; a later request opens them again."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()

    def _exchange(self, call: Call, request_id: str) -> requests.Response:
        import requests

        request = requests.Request(
            call.method,
            f"{self.address.url}{call.path}",
            headers=self._headers(call, request_id),
            data=call.body,
        ).prepare()
        try:
            return self._adapter(request.url or "").send(
                request,
                stream=True,
                timeout=call.timeout_s,
                verify=self._verify,
                proxies=self._proxies(request),
            )
        except requests.exceptions.SSLError as error:
            problem = _tls_problem(error, self.address)
        except requests.Timeout:
            problem = Lost("no answer in time")
        except requests.ConnectionError:
            problem = Lost("no connection")
        except requests.RequestException as error:
            problem = ServerError(f"The request can't be sent ({type(error).__name__}).")
        except OSError:
            problem = Lost("no connection")
        # Raised here: the exceptions of requests hold the request, and with it the token.
        raise problem

    def _headers(self, call: Call, request_id: str) -> dict[str, str]:
        headers = {
            routes.AUTHORIZATION: f"Bearer {self._token}",
            routes.PROTOCOL_VERSION: routes.PROTOCOL,
            routes.REQUEST: request_id,
            "Accept-Encoding": "identity",
            "User-Agent": "medsam2",
            **call.headers,
        }
        if call.expects:
            headers["Accept"] = f"{call.expects}, {routes.JSON}"
        if call.body is not None:
            headers["Content-Type"] = call.kind
        return headers

    def _adapter(self, url: str) -> requests.adapters.BaseAdapter:
        if self._session is not None:
            return self._session.get_adapter(url)
        with self._lock:
            if self._pool is None:
                from requests.adapters import HTTPAdapter

                self._pool = HTTPAdapter(pool_connections=2, pool_maxsize=_CONNECTIONS)
            return self._pool

    def _proxies(self, request: requests.PreparedRequest) -> dict[str, str]:
        """The environment's proxies; this machine is reached without any."""
        if self.address.loopback:
            return {}
        from requests.utils import resolve_proxies

        return dict(resolve_proxies(request, {}, trust_env=True))


def _checked_token(token: str) -> str:
    plain = token.strip()
    if not plain or not all("!" <= character <= "~" for character in plain):
        msg = "The server's token must be one word of ASCII characters; copy it again."
        raise InputError(msg)
    return plain


def _authorities(address: Address, ca_file: Path | None) -> str | bool:
    """What ``requests`` takes as ``verify``: never False, and a given file before the environment."""
    if ca_file is not None:
        try:
            ssl.create_default_context(cafile=str(ca_file))
        except (OSError, ssl.SSLError):
            msg = f"{ca_file} holds no certificates; give a PEM file of the server's authority."
            raise InputError(msg) from None
        return str(ca_file)
    names_of_file = () if address.loopback else ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    for name in names_of_file:
        path = os.environ.get(name)
        if path:
            if not Path(path).exists():
                msg = f"{name} names {path}, which does not exist; mend or unset it."
                raise InputError(msg)
            return path
    return True


def _tls_problem(error: BaseException, address: Address) -> Lost | MedSAM2Error:
    """A certificate that can't be verified is no passing trouble; a cut handshake is."""
    found = _ssl_error(error, 8)
    if isinstance(found, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return Lost("the connection was cut")
    if isinstance(found, ssl.SSLCertVerificationError):
        return CertificateError(
            f"The certificate of {address.url} can't be verified ({found.verify_message}); nothing "
            "was sent. If the server is your own, give its authority's PEM file (--ca-file)."
        )
    reason = getattr(found, "reason", None) or "no TLS"
    return CertificateError(
        f"No secure connection to {address.url} ({reason}); nothing was sent. Check that the server "
        "was started with a certificate, and that the address is right."
    )


def _ssl_error(error: object, depth: int) -> ssl.SSLError | None:
    """The error of the ssl module within those that wrap it."""
    if isinstance(error, ssl.SSLError):
        return error
    if depth == 0 or not isinstance(error, BaseException):
        return None
    inner = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
    return next((found for e in inner if (found := _ssl_error(e, depth - 1))), None)
