"""The whole server dies in the middle of a propagation: the user sees a pause, and the same masks."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from faults import alive, shared_blocks, until_ready, wait_until
from scenes import Scene, Work, clients, trapped_server
from traps import Traps, untrapped

RECONNECT_S = 3.0
GONE_S = 2.0


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    traps = Traps(tmp_path)
    traps.arm("pace", 0.05)
    return traps


def test_a_killed_server_that_is_started_again_costs_a_pause_and_no_mask(ledger, full, traps):
    times, model = (10, "tiny-random") if full else (2, "fake")
    scene = Scene()
    with contextlib.closing(untrapped(model)) as backend:
        expected = scene.masks(backend)
    other, reconnects, left = 0, [], []
    with (
        trapped_server(traps, model) as server,
        clients(server.url, server.tokens[:1]) as (client,),
    ):
        for number in range(times):
            work = Work(scene, client)
            work.wait(2 + number % 8)
            workers, blocks = server.worker_pids(), shared_blocks(server.pid)
            server.kill()
            had = work.slices
            left.append(
                wait_until(
                    lambda gone=(workers, blocks): (
                        not any(map(alive, gone[0])) and not any(b.exists() for b in gone[1])
                    ),
                    20.0,
                )
            )
            server.restart()
            until_ready(server)
            reconnects.append(wait_until(lambda: work.slices > had, 60.0))  # noqa: B023
            other += work.masks() != expected
            other += work.slices != scene.count
    what = f"server killed and started again {times} times in mid-propagation"
    ledger.none("P14", f"{what}: runs with other masks, or a slice twice", other, times)
    ledger.at_most(
        "P14",
        f"{what}: from ready to the next new slice, longest",
        RECONNECT_S if full else 10.0,
        max(reconnects),
        "s",
    )
    ledger.at_most(
        "P15",
        f"{what}: until its worker and its shared memory are gone, longest",
        GONE_S if full else 10.0,
        max(left),
        "s",
    )
