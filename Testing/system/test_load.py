"""Many people at once, and large volumes: quick answers, and the masks that one process gives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from ledger import Ledger
from load import NEVER_STOPS, Click, Visitor, crowd, propagating, scan_of, script_of
from probes import MIB, bystanders, peak_rss_bytes, quantile, watching
from server_process import ServerProcess, running
from tiny_engine import backend_for

from medsam2.core.volume import Volume
from medsam2.wire.arrays import Codec

TENANTS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(tenants=TENANTS, factory="factories:tiny") as server:
        yield server


def test_a_crowd_that_clicks_is_served_in_time_and_rightly(
    server: ServerProcess, ledger: Ledger, full: bool
) -> None:
    people, clicks, think_s = (100, 20, (1.0, 3.0)) if full else (10, 3, (0.05, 0.2))
    processes = [psutil.Process(pid) for pid in (server.pid, *server.worker_pids())]
    with watching(server.port) as watch, bystanders(processes) as others:
        outcome = crowd(server.port, server.tokens, people, clicks, think_s)
    rate = len(outcome.clicks) / outcome.seconds
    what = (
        f"{people} sessions of 64 x 64 x 64, {clicks} clicks each after {think_s[0]:g} to "
        f"{think_s[1]:g} s of thought, {rate:.2g} clicks/s, other programs took "
        f"{100 * others[0]:.0f} % of the machine: "
    )
    assert outcome.faults[:3] == []
    assert len(outcome.clicks) == people * clicks
    ledger.none("load", f"{what}unexpected statuses", len(outcome.faults), 2 * people * clicks)
    wrong = unlike_the_engines(outcome.clicks)
    ledger.none("load", f"{what}masks unlike the engine's own", wrong, people * clicks)
    slack = 1 if full else 10
    p95 = 1000 * quantile([click.seconds for click in outcome.clicks], 0.95)
    ledger.at_most("load", f"{what}a click, 95th percentile", 400 * slack, p95, "ms")
    p99 = 1000 * quantile(watch.seconds, 0.99)
    ledger.at_most("load", f"{what}/health, 99th percentile", 100 * slack, p99, "ms")
    peak = peak_rss_bytes(server.pid) / MIB
    ledger.at_most("load", f"{what}the API process's peak memory", 400, peak, "MiB")


def unlike_the_engines(clicks: list[Click]) -> int:
    """How many masks differ from those that the engine makes in this process."""
    wrong, made = 0, {(click.person, click.number): click.mask_rc.bits for click in clicks}
    with contextlib.closing(backend_for()) as backend:
        for person in {click.person for click in clicks}:
            count = sum(click.person == person for click in clicks)
            with backend.open(scan_of(person), NEVER_STOPS) as session:
                for number, (index, given) in enumerate(script_of(person, count)):
                    session.put(1, given)
                    expected = session.predict(1, index).mask_rc.bits
                    wrong += not np.array_equal(made[person, number], expected)
    return wrong


@pytest.mark.parametrize("codec", ["raw", "zlib"])
def test_nothing_holds_up_the_event_loop(
    server: ServerProcess, ledger: Ledger, full: bool, codec: Codec
) -> None:
    volume = noise((512, 512, 512) if full else (64, 512, 512))
    with (
        Visitor(server.port, server.tokens[0]) as uploader,
        propagating(server.port, server.tokens[1]) as jobs,
        watching(server.port, 0.01) as watch,
    ):
        name = uploader.upload(volume, codec)
    assert all(jobs)
    with Visitor(server.port, server.tokens[0]) as uploader:
        uploader.get("DELETE", f"/v1/volumes/{name}")
    size = volume.voxels_kji.nbytes >> 20
    what = f"/health while {size} MiB come in as {codec} and a propagation runs"
    slack = 1 if full else 10
    p99, most = (1000 * quantile(watch.seconds, share) for share in (0.99, 1))
    ledger.at_most("P7", f"{what}, 99th percentile", 100 * slack, p99, "ms")
    ledger.at_most("P7", f"{what}, maximum", 300 * slack, most, "ms")


def noise(shape_kji: tuple[int, int, int]) -> Volume:
    """A volume of int16 that compresses like a CT: 10 HU of noise."""
    plane = np.random.default_rng(0).normal(40, 10, (2, *shape_kji[1:])).astype(np.int16)
    voxels = np.resize(plane, shape_kji)
    voxels[:, 0, 0] = np.arange(shape_kji[0])
    return Volume(voxels, np.diag([0.7, 0.7, 1.0, 1.0]))
