"""What was promised, what was measured, and whether it holds."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
from pathlib import Path


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        promise: its number, like ``P12``, or ``load``.
        what: was measured, in a few words.
        asked: the figure that was promised.
        measured: the figure of this run.
        passed: whether the promise holds.
        date: of the measurement.
    """

    promise: str
    what: str
    asked: str
    measured: str
    passed: bool
    date: str = dataclasses.field(default_factory=_today)


class Ledger:
    """Collects figures over a run of the suite."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.skipped: list[tuple[str, str]] = []

    def check(self, promise: str, what: str, asked: str, measured: str, *, passed: bool) -> None:
        """Writes a figure down, and fails the test if the promise does not hold."""
        self.figures.append(Figure(promise, what, asked, measured, passed))
        assert passed, f"{promise}, {what}: {asked} was promised, {measured} measured"

    def at_most(
        self, promise: str, what: str, limit: float, measured: float, unit: str = ""
    ) -> None:
        """Checks an upper bound."""
        texts = (f"{text:.4g} {unit}".strip() for text in (limit, measured))
        asked, found = texts
        self.check(promise, what, f"<= {asked}", found, passed=measured <= limit)

    def none(self, promise: str, what: str, count: int, of: int | str = "") -> None:
        """Checks that something never happened."""
        found = f"{count} of {of}" if of != "" else str(count)
        self.check(promise, what, "0", found, passed=count == 0)

    def table(self, *, full: bool) -> str:
        """The figures as a Markdown page."""
        machine = (
            f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
            f"Python {platform.python_version()}"
        )
        command = "make soak" if full else "make test"
        lines = [
            "# The server's promises",
            "",
            f"`{command}`; {machine}; tiny random model unless a line says otherwise.",
            "",
            "| promise | what | asked | measured | | date |",
            "|---|---|---|---|---|---|",
        ]
        order = sorted(self.figures, key=lambda figure: (_number(figure.promise), figure.what))
        for figure in order:
            verdict = "pass" if figure.passed else "**fail**"
            cells = (
                figure.promise,
                figure.what,
                figure.asked,
                figure.measured,
                verdict,
                figure.date,
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += [
            f"| {promise} | not measured: {reason} | | | | |" for promise, reason in self.skipped
        ]
        return "\n".join([*lines, ""])

    def write(self, path: Path, *, full: bool) -> None:
        """Writes the table to a file, and the figures as JSON beside it.

        Promises that this run did not measure keep the figures that the file has: a part of the suite
        that was measured again replaces its own lines alone. Each line has its date.
        """
        record = path.with_suffix(".json")
        measured = {figure.promise for figure in self.figures}
        if record.exists():
            held = json.loads(record.read_text("utf-8"))
            earlier = [Figure(**figure) for figure in held["figures"]]
            self.figures += [figure for figure in earlier if figure.promise not in measured]
            known = [promise for promise, _ in self.skipped]
            self.skipped += [(p, why) for p, why in held["skipped"] if p not in known]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.table(full=full), encoding="utf-8")
        figures = [dataclasses.asdict(figure) for figure in self.figures]
        text = json.dumps({"figures": figures, "skipped": self.skipped}, indent=0)
        record.write_text(f"{text}\n", encoding="utf-8")


def _number(promise: str) -> tuple[int, str]:
    digits = "".join(c for c in promise if c.isdigit())
    return (int(digits) if digits else 99, promise)
