"""What stands behind an option, parsed: ``NAME=`` in front, then numbers or a file.

Nothing here knows the volume; :mod:`medsam2.cli.gather` puts the values onto it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import click

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class BoxValue:
    """Two opposite corners: six numbers, or four for the footprint on one slice."""

    name: str | None
    numbers: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class PointValue:
    """A click, inside the object when ``positive``."""

    name: str | None
    at: tuple[float, float, float]
    positive: bool


@dataclasses.dataclass(frozen=True)
class LineValue:
    """The two ends of a diameter."""

    name: str | None
    ends: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclasses.dataclass(frozen=True)
class RangeValue:
    """An inclusive range of slices; ``name`` None means every object."""

    name: str | None
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class SliceValue:
    """A slice; ``name`` None means every box that is given by numbers."""

    name: str | None
    index: int


@dataclasses.dataclass(frozen=True)
class FileValue:
    """A file of prompts, and the object they are for."""

    name: str | None
    path: Path


class Value(click.ParamType, Generic[T]):  # type: ignore[type-arg]
    """An option's type made of a function that parses text or raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Parses text; what is parsed already is returned as it is."""
        if not isinstance(value, str):
            parsed: T = value
            return parsed
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def box_ijk(text: str) -> BoxValue:
    """Parses ``[NAME=]I0,J0,K0,I1,J1,K1``, or four numbers for a flat box."""
    name, rest = _split_name(text)
    form = "I0,J0,K0,I1,J1,K1 (or four numbers with --slice)"
    numbers = _numbers(text, rest, (4, 6), form)
    if any(n != int(n) for n in numbers):
        msg = f"{text!r} must be whole voxel indices; use --box-mm for millimetres."
        raise ValueError(msg)
    return BoxValue(name, tuple(int(n) for n in numbers))


def box_mm(text: str) -> BoxValue:
    """Parses ``[NAME=]R0,A0,S0,R1,A1,S1``."""
    name, rest = _split_name(text)
    return BoxValue(name, _numbers(text, rest, (6,), "R0,A0,S0,R1,A1,S1"))


def point(text: str) -> PointValue:
    """Parses ``[NAME=]X,Y,Z[,+|-]``."""
    name, rest = _split_name(text)
    numbers, sign = rest, "+"
    tail = re.fullmatch(r"(.*),\s*([+-])\s*", rest)
    if tail is not None:
        numbers, sign = tail.group(1), tail.group(2)
    x, y, z = _numbers(text, numbers, (3,), "three numbers and, if you like, ,+ or ,-")
    return PointValue(name, (x, y, z), sign == "+")


def line(text: str) -> LineValue:
    """Parses ``[NAME=]X0,Y0,Z0,X1,Y1,Z1``."""
    name, rest = _split_name(text)
    x0, y0, z0, x1, y1, z1 = _numbers(text, rest, (6,), "the line's two ends, six numbers")
    if (x0, y0, z0) == (x1, y1, z1):
        msg = f"{text!r} has the same point at both ends; give two points."
        raise ValueError(msg)
    return LineValue(name, ((x0, y0, z0), (x1, y1, z1)))


def slice_range(text: str) -> RangeValue:
    """Parses ``[NAME=]FIRST:LAST``."""
    name, rest = _split_name(text)
    found = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", rest)
    if found is None:
        msg = f"{text!r} is not FIRST:LAST, two slice numbers (for instance 12:40)."
        raise ValueError(msg)
    return RangeValue(name, int(found.group(1)), int(found.group(2)))


def slice_number(text: str) -> SliceValue:
    """Parses ``[NAME=]N``."""
    name, rest = _split_name(text)
    if not re.fullmatch(r"\s*\d+\s*", rest):
        msg = f"{text!r} is not a slice number (0, 1, 2 ...)."
        raise ValueError(msg)
    return SliceValue(name, int(rest))


def slice_list(text: str) -> tuple[int, ...] | None:
    """Parses ``10,20-22`` into its slices, ascending; ``all`` is None."""
    if text.strip().lower() == "all":
        return None
    found: set[int] = set()
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if ends is None:
            msg = f"{text!r} is not a list of slices like 10,20-22, nor the word all."
            raise ValueError(msg)
        first, last = int(ends.group(1)), int(ends.group(2) or ends.group(1))
        if first > last or last - first > 100_000:
            msg = f"{part.strip()!r} is an empty range of slices; put its first slice first."
            raise ValueError(msg)
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def prompt_file(text: str) -> FileValue:
    """Parses ``[NAME=]FILE``; a file that has an equals sign in its name is taken as it is."""
    if "=" not in text or Path(text).exists():
        return FileValue(None, Path(text))
    name, rest = text.split("=", 1)
    if not name.strip() or not rest:
        msg = f"{text!r} has nothing on one side of its equals sign; give NAME=FILE."
        raise ValueError(msg)
    return FileValue(name.strip(), Path(rest))


def _split_name(text: str) -> tuple[str | None, str]:
    name, equals, rest = text.rpartition("=")
    if not equals:
        return None, text
    if not name.strip():
        msg = f"{text!r} has no name before its equals sign."
        raise ValueError(msg)
    return name.strip(), rest


def _numbers(text: str, rest: str, counts: tuple[int, ...], form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in rest.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(math.isfinite(n) for n in numbers):
        msg = f"{text!r} is not made of numbers with commas between them; give {form}."
        raise ValueError(msg)
    if len(numbers) not in counts:
        msg = f"{text!r} has {len(numbers)} numbers; give {form}."
        raise ValueError(msg)
    return numbers
