"""The table of promises."""

from __future__ import annotations

from ledger import Ledger


def run(path, *figures, skipped=()):
    ledger = Ledger()
    for promise, what, count in figures:
        try:
            ledger.none(promise, what, count)
        except AssertionError:
            assert count
    ledger.skipped.extend(skipped)
    ledger.write(path, full=True)
    return path.read_text("utf-8")


def test_a_part_that_is_measured_again_replaces_its_own_lines_alone(tmp_path):
    path = tmp_path / "soak.md"
    first = run(path, ("P1", "one", 0), ("P2", "two", 3), skipped=[("P9", "no fuel")])
    assert "**fail**" in first
    again = run(path, ("P2", "two", 0))
    assert "**fail**" not in again
    assert again.count("| pass |") == 2
    assert "P9 | not measured: no fuel" in again
