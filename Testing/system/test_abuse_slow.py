"""Clients that never finish a request must not keep out those that do."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import pytest
from ledger import Ledger
from load import UnexpectedError, Visitor, scan_of, script_of
from probes import quantile
from server_process import ServerProcess, running
from slow_clients import SlowClients, half_open

from medsam2.server.settings import Limits

SHORT = Limits(header_s=1.0, body_s=2.0)


@pytest.fixture(scope="module")
def server(full: bool) -> Iterator[ServerProcess]:
    factory = "factories:tiny" if full else "factories:fake"
    with running(tenants=2, factory=factory, limits=Limits() if full else SHORT) as server:
        yield server


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_slow_clients_starve_nobody(
    server: ServerProcess, ledger: Ledger, full: bool, source: str
) -> None:
    heads, bodies, seconds = (500, 100, 60.0) if full else (60, 10, 3.0)
    with SlowClients(server.port, heads, bodies, server.tokens[1], source) as slow:
        taken, failed = honest(server, seconds)
    assert slow.most_open >= bodies
    where = "the same address" if source == "127.0.0.1" else "another address"
    what = (
        f"{heads} half-open heads and {bodies} bodies of a byte a second from {where} for "
        f"{seconds:g} s ({slow.connected} connections): "
    )
    share = 1 - failed / (len(taken) + failed)
    ledger.check(
        "P6", f"{what}honest requests that are served", ">= 99 %",
        f"{100 * share:.4g} % of {len(taken) + failed}", passed=share >= 0.99,
    )  # fmt: skip
    slack = 1 if full else 3
    ledger.at_most(
        "P6", f"{what}honest requests, 99th percentile", slack, quantile(taken, 0.99), "s"
    )


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_eighty_half_open_connections_keep_nobody_out(
    server: ServerProcess, ledger: Ledger, source: str
) -> None:
    with half_open(server.port, 80, source):
        taken, failed = honest(server, 0.8)
    ledger.none(
        "P6", f"80 half-open connections from {source}: honest requests that fail", failed,
        len(taken) + failed,
    )  # fmt: skip


def honest(server: ServerProcess, seconds: float) -> tuple[list[float], int]:
    """Clicks in a session, and asks on a connection of its own each time what the server is.

    Returns:
        The seconds that each request took that was served, and how many were not.
    """
    taken: list[float] = []
    failed, number = 0, 0
    with Visitor(server.port, server.tokens[0], 10.0) as visitor:
        visit = visitor.open(scan_of(0))
        clicks = list(script_of(0, 20))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            index, given = clicks[number % len(clicks)]
            number += 1
            steps = (
                functools.partial(ask_anew, server),
                functools.partial(visit.put, given),
                functools.partial(visit.predict, index),
            )
            for step in steps:
                begun = time.perf_counter()
                try:
                    step()
                except (OSError, UnexpectedError):
                    failed += 1
                else:
                    taken.append(time.perf_counter() - begun)
            time.sleep(0.05)
        visit.close()
    return taken, failed


def ask_anew(server: ServerProcess) -> None:
    """One request on a fresh connection."""
    with Visitor(server.port, server.tokens[0], 10.0) as visitor:
        visitor.get("GET", "/v1/info")
