"""Everything an operator decides, checked before the server opens its port."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

from medsam2.core.errors import InputError

from .tokens import Tenant

MIB = 1 << 20


class SettingsError(InputError):
    """The server can't start safely with these settings."""

    code = "settings"


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on what clients may use; every one of them ends in a refusal with a code.

    Args:
        memory_bytes: voxels, prompts and results of all tenants; idle sessions make way for new ones.
        tenant_bytes: voxels, prompts and results of one tenant.
        volume_bytes: one volume.
        sessions: open sessions of all tenants.
        tenant_sessions: of one tenant.
        queue: jobs that wait or run, of all tenants.
        tenant_jobs: of one tenant.
        active_jobs: propagations of one tenant that run at once; the others wait.
        idle_s: a session that nobody used for so long is closed.
        upload_idle_s: an upload that nobody continued for so long is dropped.
        job_kept_s: results of a job that is over stay so long.
        header_s: for a request's head to arrive.
        body_s: for a request's body to arrive, plus one second for each ``body_rate`` bytes.
        body_rate: bytes a second that an honest client achieves.
        write_s: for a client to take what it was sent.
        half_open: unfinished request heads of one address; the oldest ones are closed first.
        resting: connections of one address that wait between two requests, likewise.
        drain_s: for running jobs when the server is told to stop.
        slice_s: for one slice; a worker that takes longer is replaced.
    """

    memory_bytes: int = 4096 * MIB
    tenant_bytes: int = 4096 * MIB
    volume_bytes: int = 2048 * MIB
    sessions: int = 1024
    tenant_sessions: int = 256
    queue: int = 512
    tenant_jobs: int = 256
    active_jobs: int = 2
    idle_s: float = 3600.0
    upload_idle_s: float = 300.0
    job_kept_s: float = 120.0
    header_s: float = 10.0
    body_s: float = 30.0
    body_rate: int = 64 << 10
    write_s: float = 60.0
    half_open: int = 128
    resting: int = 256
    drain_s: float = 8.0
    slice_s: float = 300.0


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """Which model the worker loads, and where it runs; see ``medsam2 segment --help``."""

    model: str = "litemedsam"
    checkpoint: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    image_size: int | None = None
    feature_megabytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a server runs.

    Args:
        tenants: who may use it, by token; at least one.
        host: the address to listen on.
        port: 0 takes a free one.
        certificate: PEM file of the server's certificate chain.
        key: PEM file of its private key.
        insecure_http: whether another address than loopback may do without TLS.
        allowed_hosts: names under which clients reach it, beside the loopback ones and ``host``.
        allowed_origins: web pages that may call it.
        dev: shows the OpenAPI document and its page.
        limits: on clients.
        model: for the worker.
        factory: ``module:function`` that makes the worker's backend from a :class:`ModelChoice`.
        follow_stdin: whether the end of standard input ends the server: it dies with the program that
            started it, whatever happened to that.
    """

    tenants: tuple[Tenant, ...]
    host: str = "127.0.0.1"
    port: int = 1527
    certificate: Path | None = None
    key: Path | None = None
    insecure_http: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    dev: bool = False
    limits: Limits = Limits()
    model: ModelChoice = ModelChoice()
    factory: str = "medsam2.server.worker:local_backend"
    follow_stdin: bool = False

    def __post_init__(self) -> None:
        if not self.tenants:
            msg = "The server needs a token; without one anybody could use it."
            raise SettingsError(msg)
        if (self.certificate is None) != (self.key is None):
            msg = "TLS needs both --tls-cert and --tls-key."
            raise SettingsError(msg)
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                msg = f"There is no file {path}; give the certificate's and the key's PEM files."
                raise SettingsError(msg)
        if not (is_loopback(self.host) or self.uses_tls or self.insecure_http):
            msg = (
                f"{self.host} can be reached from other machines, so TLS is needed: give --tls-cert "
                "and --tls-key, or --insecure-http if something else in front of it encrypts."
            )
            raise SettingsError(msg)

    @property
    def uses_tls(self) -> bool:
        """Whether clients connect with https."""
        return self.certificate is not None


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
