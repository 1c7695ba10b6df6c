from __future__ import annotations

import random

import pytest
import wire_fuzz
from wire_samples import samples

from medsam2.wire import strict

MIB = 1 << 20


def test_damaged_messages_are_refused_and_nothing_else():
    report = wire_fuzz.fuzz(1500)
    assert report.other_exceptions == {}
    assert report.refused + report.accepted == report.messages == 1500
    assert report.refused > 1000
    assert report.seconds_per_refusal_p99 < 0.1
    assert report.rss_growth_bytes < 32 * MIB


@pytest.mark.parametrize("change", wire_fuzz.CHANGES, ids=lambda change: change.__name__)
def test_every_kind_of_damage_is_noticed(change):
    rng = random.Random(1)
    refused = 0
    for sample in samples(rng):
        sample.read(sample.data)
        try:
            sample.read(change(sample, rng))
        except sample.refusals:
            refused += 1
    assert refused > 0


def test_the_same_seed_damages_alike():
    def made(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        found = samples(rng)
        return [change(sample, rng) for sample in found for change in wire_fuzz.CHANGES]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_an_error_that_is_no_refusal_is_reported(monkeypatch):
    parse = strict.parse

    def careless(data: bytes) -> object:
        return {}[data] if b"\\ud800" in bytes(data) else parse(data)

    monkeypatch.setattr(strict, "parse", careless)
    report = wire_fuzz.fuzz(600)
    assert report.other_exceptions
    assert all("KeyError" in what for what in report.other_exceptions)
    assert report.refused + report.accepted + sum(report.other_exceptions.values()) == 600
