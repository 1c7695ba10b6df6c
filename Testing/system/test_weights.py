"""Weights that are not what they should be are refused, and never run code."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faults import ask, count, until_ready, wait_until
from safetensors.torch import save_file
from server_process import ServerProcess

from medsam2.core.errors import WeightsHashError
from medsam2.models.cache import embedded_weights
from medsam2.models.load import load_model
from medsam2.models.registry import Family, ModelCard, cards
from medsam2.models.sam2_builder import TINY_RANDOM, random_weights

RESTARTS = "medsam2_worker_restarts_total"
WRITERS = {".pt": torch.save, ".safetensors": save_file}


@pytest.fixture(params=WRITERS)
def published(request, tmp_path, monkeypatch) -> tuple[ModelCard, Path]:
    """A model of the registry's kind whose small file of weights is on this machine."""
    monkeypatch.setenv("MEDSAM2_MODELS", str(tmp_path))
    path = tmp_path / f"small{request.param}"
    WRITERS[request.param](random_weights(TINY_RANDOM, 3).state_dict(), path)
    card = dataclasses.replace(
        cards()["tiny-random"],
        family=Family.SAM2,
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    load_model(card)
    return card, path


def test_one_flipped_bit_is_found_and_both_hashes_are_named(published, full, ledger):
    card, path = published
    content, chance = path.read_bytes(), random.Random(0)
    told = 0
    count = 50 if full else 5
    for _ in range(count):
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(WeightsHashError) as caught:
            load_model(card)
        hashes = hashlib.sha256(damaged).hexdigest(), card.sha256
        told += all(str(h) in str(caught.value) for h in hashes)
    what = f"a flipped bit in {path.suffix} told with both hashes"
    ledger.check("P17", what, f"{count} of {count}", f"{told} of {count}", passed=told == count)
    path.write_bytes(content)
    load_model(card)


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def bomb(path: Path) -> None:
    torch.save(
        {
            "model": random_weights(TINY_RANDOM, 3).state_dict(),
            "args": Canary(path.parent / "canary"),
        },
        path,
    )


def half(path: Path) -> None:
    content = embedded_weights().read_bytes()
    path.write_bytes(content[: len(content) // 2])


def foreign(path: Path) -> None:
    torch.save(random_weights(TINY_RANDOM, 3).state_dict(), path)


def reason(server: ServerProcess) -> str:
    """Why a server is not ready, once its worker has tried."""
    wait_until(lambda: count(server, RESTARTS) >= 1, 60, step_s=0.1)
    status, body = ask(server, "/ready")
    assert status == 503
    return str(json.loads(body)["message"])


@pytest.mark.parametrize(
    ("write", "told"),
    [(bomb, "could run code"), (half, "cut short"), (foreign, "another architecture")],
)
def test_a_server_with_bad_weights_stays_up_and_says_why_until_they_are_replaced(
    write: Callable[[Path], None], told, tmp_path, full, ledger
):
    if not full and write is not bomb:
        pytest.skip("only in the full suite: every start loads torch")
    path = tmp_path / "own.pt"
    write(path)
    choice = {"model": "litemedsam", "checkpoint": path, "device": "cpu"}
    with ServerProcess(factory="medsam2.server.worker:local_backend", model=choice) as server:
        message = reason(server)
        what = f"server with a file of weights that is {write.__name__}"
        found = f"503: {told if told in message else message}"
        ledger.check("P17", f"{what}: /ready", f"503: {told}", found, passed=told in message)
        if full:
            wait_until(lambda: count(server, RESTARTS) >= 3, 60, step_s=0.1)
        up = ask(server, "/health")[0]
        ledger.check("P17", f"{what}: /health", "200", str(up), passed=up == 200)
        canaries = (tmp_path / "canary").exists()
        ledger.none("P17", f"{what}: code that it ran", int(canaries))
        if full:
            shutil.copy(embedded_weights(), path)
            until_ready(server)


def test_a_server_whose_downloaded_weights_were_changed_names_both_hashes(tmp_path, ledger):
    card = cards()["sam2.1-tiny"]
    path = tmp_path / card.file
    path.write_bytes(b"something else")
    with ServerProcess(
        factory="medsam2.server.worker:local_backend",
        model={"model": card.name, "device": "cpu"},
        env={**os.environ, "MEDSAM2_MODELS": str(tmp_path)},
    ) as server:
        message = reason(server)
        hashes = hashlib.sha256(path.read_bytes()).hexdigest(), card.sha256
        told = sum(h in message for h in hashes)
        ledger.check(
            "P17", "server with changed weights: hashes in /ready", "2", str(told), passed=told == 2
        )
        assert ask(server, "/health")[0] == 200
