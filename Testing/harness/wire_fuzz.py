"""Damages right messages in every way that comes to mind, and counts what their readers do.

Run on its own for a long run: ``python Testing/harness/wire_fuzz.py 15000 [SEED]``.
"""

from __future__ import annotations

import dataclasses
import json
import random
import resource
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from wire_samples import Sample, samples

from medsam2.wire.arrays import codecs

SEED = 20_260_101
RENEW = 200
"""Messages made from one set of samples."""

RAW = (
    "null", "true", "false", "0", "-1", "1", "1.0", "-0.0", "0.5", "4096", "4097", "8193",
    "2147483647", "2147483648", "4294967296", "9007199254740993", "1e12", "1e13", "1e308", "1e999",
    "-1e999", "NaN", "Infinity", "-Infinity", "1" * 400, "1" * 5000, "0x10", "01", "+1", "1_000",
    '""', '"1"', '"NaN"', '"box"', '"int64"', '"object"', '"zstd"', '"\\ud800"', '"\\u0000"',
    '"' + "a" * 5000 + '"', '"' + "f" * 32 + '"', '"' + "f" * 64 + '"', '"AAAA"', '"é"', "'a'",
    "[]", "{}", "[[]]", "[0]", "[1,2,3]", "[1,2,3,4]", "[4096,4096,4096]", "[4096,4096,4096,4]",
    '{"a":1}', '{"a":1,"a":2}', '{"":null}', "[" * 50 + "]" * 50, "[" * 5000 + "]" * 5000,
    "[" * 200_000, '{"a":' * 3000 + "1" + "}" * 3000, "[" + "0," * 5000 + "0]",
    "[" + "[]," * 150_000 + "[]]",
)  # fmt: skip
"""Hostile values, as JSON or nearly so."""


@dataclasses.dataclass(frozen=True)
class FuzzReport:
    """What became of damaged messages.

    Args:
        messages: how many there were.
        refused: with an error that the reader may raise.
        accepted: the damage made another right message, or none at all.
        other_exceptions: every other error and every warning, with how often it came.
        seconds_per_refusal_p99: of processor time that a reader took to refuse.
        rss_growth_bytes: of the process's peak; run in a process of its own to know it.
    """

    messages: int
    refused: int
    accepted: int
    other_exceptions: dict[str, int]
    seconds_per_refusal_p99: float
    rss_growth_bytes: int


def fuzz(count: int, seed: int = SEED) -> FuzzReport:
    """Reads ``count`` damaged messages; the same seed makes the same ones on any machine."""
    rng = random.Random(seed)
    others: Counter[str] = Counter()
    refusals: list[float] = []
    found: list[Sample] = []
    before = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(count):
            if number % RENEW == 0:
                found = samples(rng)
                for sample in found:
                    sample.read(sample.data)
            before = before or _peak_bytes()
            sample = rng.choice(found)
            change = rng.choice(CHANGES)
            data = change(sample, rng)
            begun = time.thread_time()
            try:
                sample.read(data)
            except sample.refusals:
                refusals.append(time.thread_time() - begun)
            except Exception as error:  # noqa: BLE001 (counting them is the point)
                others[f"{sample.name}, {change.__name__}: {error!r:.200}"] += 1
    p99 = float(np.percentile(refusals, 99)) if refusals else 0.0
    accepted = count - len(refusals) - others.total()
    grown = _peak_bytes() - before
    return FuzzReport(count, len(refusals), accepted, dict(others), p99, grown)


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def flip(sample: Sample, rng: random.Random) -> bytes:
    """Flips one to eight bits anywhere."""
    return _flipped(sample.data, rng)


def cut(sample: Sample, rng: random.Random) -> bytes:
    """Cuts the message off, or its beginning."""
    data = sample.data
    place = rng.randrange(len(data))
    return data[:place] if rng.random() < 0.7 else data[place:]


def repeat(sample: Sample, rng: random.Random) -> bytes:
    """Repeats a part, up to all of it."""
    data = sample.data
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:last] * rng.randint(1, 3) + data[last:]


def insert(sample: Sample, rng: random.Random) -> bytes:
    """Puts bytes in between, or over what was there."""
    data = sample.data
    place = rng.randrange(len(data) + 1)
    size = rng.choice((1, 2, 4, 64, 4096))
    new = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size, b" " * size, b'"' * size))
    return data[:place] + new + data[place + (size if rng.random() < 0.5 else 0) :]


def length(sample: Sample, rng: random.Random) -> bytes:
    """Writes another number over one of the first lengths or checksums."""
    data = bytearray(sample.data)
    place = rng.choice((0, 4, 8))
    number = rng.choice((0, 1, 13, 1024, 1025, 4096, 4097, 2**21, 2**31, 2**32 - 1))
    data[place : place + 4] = number.to_bytes(4, "big")
    return bytes(data)


def body(sample: Sample, rng: random.Random) -> bytes:
    """Damages what follows the JSON, under a right checksum; or puts a bomb there."""
    choice = rng.randrange(5)
    if choice == 0 or not sample.body:
        new = rng.choice(_BOMBS)
    elif choice == 1:
        new = sample.body[: rng.randrange(len(sample.body))]
    elif choice == 2:
        new = sample.body + rng.randbytes(rng.randint(1, 9))
    else:
        new = _flipped(sample.body, rng)
    return sample.seal(sample.text, new)


def value(sample: Sample, rng: random.Random) -> bytes:
    """Puts a hostile value in the place of any value."""
    return _edited(sample, rng, lambda holder, key: holder.__setitem__(key, _MARK))


def remove(sample: Sample, rng: random.Random) -> bytes:
    """Takes a field or an item out."""
    return _edited(sample, rng, lambda holder, key: holder.__delitem__(key))


def add(sample: Sample, rng: random.Random) -> bytes:
    """Adds a field or an item."""

    def change(holder: Any, key: Any) -> None:
        if isinstance(holder, dict):
            holder[rng.choice(("a", "", "\ud800", "__class__", "1", "01", "index"))] = _MARK
        else:
            holder.insert(key, _MARK)

    return _edited(sample, rng, change)


def multiply(sample: Sample, rng: random.Random) -> bytes:
    """Makes a list or a text many times as long."""

    def change(holder: Any, key: Any) -> None:
        if isinstance(holder[key], list | str):
            holder[key] = holder[key] * rng.choice((0, 2, 50, 5000))

    return _edited(sample, rng, change)


def twice(sample: Sample, rng: random.Random) -> bytes:
    """Repeats a field's name."""
    text = sample.text.decode()
    names = [part.rsplit('"', 1)[-1] for part in text.split('":')[:-1]]
    name = rng.choice(names)
    return sample.seal(text.replace("{", f'{{"{name}":{rng.choice(RAW)},', 1).encode(), sample.body)


Change = Callable[[Sample, random.Random], bytes]
CHANGES: tuple[Change, ...] = (
    flip, cut, repeat, insert, length, body, value, value, value, remove, add, multiply, twice,
)  # fmt: skip
_MARK = "\x01hostile\x01"


def _flipped(data: bytes, rng: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _edited(sample: Sample, rng: random.Random, change: Callable[[Any, Any], None]) -> bytes:
    """Changes a random place of a message's JSON and seals it again."""
    message = [json.loads(sample.text)]
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [message]
    while waiting:
        holder = waiting.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, item in items:
            places.append((holder, key))
            if isinstance(item, dict | list) and item:
                waiting.append(item)
    change(*rng.choice(places))
    text = json.dumps(message)[1:-1].replace(json.dumps(_MARK), rng.choice(RAW))
    return sample.seal(text.encode(), sample.body)


def _bombs() -> tuple[bytes, ...]:
    plain = bytes(8 << 20)
    found = [zlib.compress(plain, 9)]
    if "zstd" in codecs():
        import zstandard

        found.append(zstandard.ZstdCompressor().compress(plain))
        found.append(zstandard.ZstdCompressor(write_content_size=False).compress(plain))
    return tuple(found)


_BOMBS = _bombs()


def main() -> int:
    """Runs as many messages as the command line says, and fails on any other exception."""
    given = [int(text) for text in sys.argv[1:3]]
    report = fuzz(*(given or [15_000]))
    print(json.dumps(dataclasses.asdict(report), indent=2))
    return 1 if report.other_exceptions else 0


if __name__ == "__main__":
    sys.exit(main())
