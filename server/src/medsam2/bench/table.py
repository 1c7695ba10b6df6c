"""Rows of figures with their aims, as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured figure.

    Args:
        name: what was measured.
        value: the figure.
        unit: of the figure; ``x`` for a ratio of two times of this run.
        aim: what was wanted, or None where the figure is only told.
        at_most: whether the aim is an upper bound.
        detail: the times behind a ratio, or a remark.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    at_most: bool = False
    detail: str = ""

    @classmethod
    def ratio(cls, name: str, ours: float, theirs: float, aim: float | None = None) -> Self:
        """How many times faster ours is."""
        return cls(name, theirs / ours, "x", aim, detail=f"{ours:.3g} s against {theirs:.3g} s")

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None without one."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.at_most else self.value >= self.aim

    def as_json(self) -> dict[str, object]:
        """All fields and whether the aim is reached."""
        return {**dataclasses.asdict(self), "reached": self.reached}

    def cells(self) -> list[str]:
        """The row of a Markdown table."""
        aim = (
            "" if self.aim is None else f"{'<=' if self.at_most else '>='} {self.aim:g} {self.unit}"
        )
        verdict = {None: "", True: "yes", False: "no"}[self.reached]
        return [self.name, f"{self.value:.3g} {self.unit}", aim, verdict, self.detail]

    def __str__(self) -> str:
        return " | ".join(self.cells())


def render(title: str, command: str, machine: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Returns a Markdown page: what, when, on which machine, and the table."""
    facts = ", ".join(f"{key} {value}" for key, value in machine.items())
    head = [f"# {title}", "", f"`{command}`; {facts}.", ""]
    columns = ["measured", "figure", "aim", "reached", "detail"]
    lines = [columns, ["---"] * len(columns), *(row.cells() for row in rows)]
    return "\n".join([*head, *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def measure(parts: Sequence[Callable[[], Sequence[Row]]], title: str, path: Path) -> None:
    """Runs all parts, prints each row when it is there, and writes a page and its JSON beside it."""
    from .machine import describe_machine

    rows: list[Row] = []
    for part in parts:
        made = part()
        rows += made
        print("\n".join(str(row) for row in made), flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    path.write_text(render(title, "make bench", machine, rows), encoding="utf-8")
    content = {"machine": machine, "rows": [row.as_json() for row in rows]}
    text = json.dumps(content, indent=1) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    print(f"\nWrote {path}")
