"""Messages are frozen dataclasses; here they become JSON and are read back, strictly.

Reading takes nothing on trust: unknown or missing fields, numbers in strings, booleans as numbers, NaN,
and anything beyond the bounds in a field's annotation are refused with the field's path. The same
annotations give the messages' JSON Schema, :mod:`medsam2.wire.schema`, so the two can't drift apart.

Understood: ``bool``, ``int``, ``float``, ``str``, ``Literal``, dataclasses, ``X | None``,
``tuple[X, ...]``, ``tuple[X, Y]``, ``dict[str, X]``, each possibly ``Annotated`` with the bounds below.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from medsam2.core.errors import WireError

Message = TypeVar("Message")

DEEPEST = 12
"""Levels of nesting that a message may have."""

LARGEST_WHOLE = 2**53
"""Up to here whole numbers are exact as floats."""

MOST_MARKS = 1 << 17
"""Commas and opening brackets in a message's text: parsing makes that many values at most, which
are far larger than their text. An object with all the prompts it may have stays below half of it."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Inclusive bounds of a number."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A regular expression that a whole text must match."""

    expression: str


@dataclasses.dataclass(frozen=True)
class Most:
    """The largest number of items or characters."""

    count: int


def to_json(message: object) -> bytes:
    """Returns a message as compact JSON in ASCII."""
    text = json.dumps(message, default=vars, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def from_json(kind: type[Message], data: bytes | bytearray | memoryview) -> Message:
    """Reads a message of a kind.

    Raises:
        WireError: the bytes are no JSON, or not this message.
    """
    return build(kind, parse(data))


def parse(data: bytes | bytearray | memoryview) -> object:
    """Reads JSON in UTF-8 that holds no NaN, no infinity and no repeated field.

    Raises:
        WireError: the bytes are anything else.
    """
    try:
        text = str(data, "utf-8")
        if sum(text.count(mark) for mark in ",[{") > MOST_MARKS:
            _refuse("message", f"of at most {MOST_MARKS} values")
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_repetition)
    except RecursionError:
        msg = "The message is nested too deeply."
    except ValueError:
        msg = "The message is not JSON."
    raise WireError(msg)


def build(kind: type[Message], value: object) -> Message:
    """Makes a message of a kind from parsed JSON.

    Raises:
        WireError: a field is missing, unknown, of another type or out of bounds.
    """
    return cast("Message", _read(kind, value, "message", DEEPEST))


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        msg = "a field is repeated"
        raise ValueError(msg)
    return made


@functools.cache
def hints(kind: type) -> dict[str, Any]:
    """The types of a message's fields, with their bounds."""
    return typing.get_type_hints(kind, include_extras=True)


def _refuse(path: str, wanted: str) -> typing.NoReturn:
    msg = f"{path} must be {wanted}."
    raise WireError(msg)


def _read(kind: Any, value: object, path: str, depth: int) -> object:
    if depth == 0:
        _refuse(path, f"nested at most {DEEPEST} levels deep")
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *bounds = get_args(kind)
        _check_count(value, bounds, path)
        read = _read(inner, value, path, depth)
        for bound in bounds:
            _check_bound(read, bound, path)
        return read
    if origin is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            _refuse(path, f"one of {', '.join(get_args(kind))}")
        return value
    if origin in {types.UnionType, typing.Union}:
        inner = next(arm for arm in get_args(kind) if arm is not type(None))
        return None if value is None else _read(inner, value, path, depth)
    if origin is tuple:
        return _read_tuple(get_args(kind), value, path, depth)
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(path, "an object")
        key, inner = get_args(kind)
        return {
            cast("str", _read(key, k, f"a name in {path}", depth)): _read(
                inner, v, f"{path}.{str(k)[:40]}", depth - 1
            )
            for k, v in value.items()
        }
    return (
        _read_fields(kind, value, path, depth)
        if dataclasses.is_dataclass(kind)
        else _read_plain(kind, value, path)
    )


def _read_plain(kind: Any, value: object, path: str) -> object:
    if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        if kind is str:
            _check_text(cast("str", value), path)
        if kind is not float or math.isfinite(cast("float", value)):
            return value
    elif kind is float and type(value) is int and abs(value) <= LARGEST_WHOLE:
        return float(value)
    names = {float: "a finite number", int: "a whole number", str: "a text", bool: "true or false"}
    _refuse(path, names[kind])


def _check_text(value: str, path: str) -> None:
    """Refuses half a character (a lone surrogate), which nobody could write down again."""
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(path, "a text of whole characters")


def _read_tuple(arms: tuple[Any, ...], value: object, path: str, depth: int) -> object:
    if not isinstance(value, list):
        _refuse(path, "a list")
    if len(arms) == 2 and arms[1] is Ellipsis:
        arms = (arms[0],) * len(value)
    if len(value) != len(arms):
        _refuse(path, f"a list of {len(arms)}")
    return tuple(
        _read(arm, item, f"{path}[{n}]", depth - 1)
        for n, (arm, item) in enumerate(zip(arms, value, strict=True))
    )


def _read_fields(kind: Any, value: object, path: str, depth: int) -> object:
    if not isinstance(value, dict):
        _refuse(path, "an object")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        msg = f"{path} has the unknown field {unknown[0][:40]!r}."
        raise WireError(msg)
    given = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _read(hints(kind)[name], value[name], f"{path}.{name}", depth - 1)
        elif is_needed(field):
            msg = f"{path} lacks the field {name!r}."
            raise WireError(msg)
    return kind(**given)


def is_needed(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _check_count(value: object, bounds: list[Any], path: str) -> None:
    """Refuses too many items before any of them is read."""
    for bound in bounds:
        match bound, value:
            case Most(count), list() | dict() | str() if len(value) > count:
                _refuse(path, f"at most {count} long")


def _check_bound(value: object, bound: object, path: str) -> None:
    match bound, value:
        case Range(low, high), int() | float() if not low <= value <= high:
            _refuse(path, f"from {low} to {high}")
        case Pattern(expression), str() if re.fullmatch(expression, value, re.ASCII) is None:
            _refuse(path, f"a text like {expression}")
