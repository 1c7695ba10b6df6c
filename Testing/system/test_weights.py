"""Weights that are not what they should be are refused, and never run code."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medsam2.core.errors import WeightsHashError
from medsam2.models.load import load_model
from medsam2.models.registry import Family, ModelCard, cards
from medsam2.models.sam2_builder import TINY_RANDOM, random_weights

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
