"""Right and wrong JSON for every message of the wire, made from the messages' own annotations."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from medsam2.wire import messages, prompts, records, strict, volumes
from medsam2.wire.arrays import ArrayHeader

MESSAGES: tuple[type, ...] = (
    ArrayHeader,
    volumes.VolumeHeader,
    volumes.UploadState,
    messages.WireModel,
    messages.ServerInfo,
    messages.SessionRequest,
    messages.SessionState,
    messages.ObjectState,
    messages.JobRequest,
    messages.JobState,
    messages.Problem,
    prompts.WireObject,
    records.Head,
    records.Slice,
    records.End,
)
"""Everything that is ever read from the other side."""

ITEMS = 4
"""Most items of a list or an object here; what the wire allows would take too long."""


def plain(kind: Any) -> st.SearchStrategy[Any]:
    """Parsed JSON that a message's reader takes."""
    if kind in _SPECIAL:
        return _SPECIAL[kind]()
    if get_origin(kind) is Annotated:
        inner, *bounds = get_args(kind)
        return _bounded(inner, bounds)
    origin, arms = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arms)
    if origin is tuple and arms[-1] is Ellipsis:
        return st.lists(plain(arms[0]), max_size=ITEMS)
    if origin is tuple:
        return st.tuples(*map(plain, arms)).map(list)
    if origin is dict:
        return st.dictionaries(plain(arms[0]), plain(arms[1]), max_size=ITEMS)
    if origin is not None:
        inner = next(arm for arm in arms if arm is not type(None))
        return st.none() | plain(inner)
    if dataclasses.is_dataclass(kind):
        return _fields(kind)
    texts = st.text(st.characters(codec="utf-8"), max_size=ITEMS)
    return {bool: st.booleans(), str: texts}[kind]


def violations(kind: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """Copies of a right value, each of them wrong in one place, with what is wrong."""
    if get_origin(kind) is Annotated:
        inner, *bounds = get_args(kind)
        for bound in bounds:
            yield from _beyond(bound, value)
        yield from violations(inner, value)
        return
    origin, arms = get_origin(kind), get_args(kind)
    if origin is Literal:
        yield from (("no such choice", wrong) for wrong in ("", "none of them", 0, None, True))
    elif origin is tuple:
        yield from (("no list", wrong) for wrong in ({}, "[]", 1, None))
        yield from _in_list(arms, value)
    elif origin is dict:
        yield from (("no object", wrong) for wrong in ([], "{}", 1, None))
        for name, item in value.items():
            for label, wrong in violations(arms[1], item):
                yield f".{name}: {label}", {**value, name: wrong}
            yield f"a name beside {name}", {**value, "no number": item}
    elif origin is not None:
        inner = next(arm for arm in arms if arm is not type(None))
        if value is not None:
            found = violations(inner, value)
            yield from ((label, wrong) for label, wrong in found if wrong is not None)
    elif dataclasses.is_dataclass(kind):
        yield from _in_fields(kind, value)
    else:
        yield from (("another type", wrong) for wrong in _OTHER_TYPES[kind])


_OTHER_TYPES: dict[Any, list[Any]] = {
    bool: [0, 1, "true", None, [], {}],
    int: [True, "1", 1.5, None, [], {}, float("nan")],
    float: [True, "1", None, [], {}, float("nan"), float("inf"), -float("inf"), 2**53 + 1],
    str: [0, True, None, [], {}, "\ud800"],
}


def _bounded(kind: Any, bounds: list[Any]) -> st.SearchStrategy[Any]:
    for bound in bounds:
        match bound:
            case strict.Range(low, high) if kind is int:
                return st.integers(int(low), int(high)) | st.sampled_from([int(low), int(high)])
            case strict.Range(low, high):
                exact = strict.LARGEST_WHOLE
                whole = st.integers(max(int(low), -exact), min(int(high), exact))
                return st.floats(low, high) | whole
            case strict.Pattern(expression):
                letters = st.characters(codec="ascii")
                return st.from_regex(expression, fullmatch=True, alphabet=letters)
            case strict.Most(count) if kind is str:
                return st.text(st.characters(codec="utf-8"), max_size=min(ITEMS, count))
            case strict.Most(count):
                return plain(kind).filter(lambda value, count=count: len(value) <= count)
    raise AssertionError(kind)


def _fields(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    needed, optional = {}, {}
    for field in dataclasses.fields(kind):
        group = needed if strict.is_needed(field) else optional
        group[field.name] = plain(strict.hints(kind)[field.name])
    return st.fixed_dictionaries(needed, optional=optional)


def _beyond(bound: Any, value: Any) -> Iterator[tuple[str, Any]]:
    match bound, value:
        case strict.Range(low, high), _:
            yield "too small", low - max(1, abs(low) * 1e-9)
            yield "too large", high + max(1, abs(high) * 1e-9)
            yield "huge", 10**400
        case strict.Pattern(), str():
            yield "after the pattern", value + "\n"
            yield "before the pattern", " " + value
            yield "another text", "\u0663"
            yield "a long text", value + "0" * 1000
        case strict.Most(count), str():
            yield "too long", "a" * (count + 1)
        case strict.Most(count), list() if value:
            yield "too many", value[:1] * (count + 1)


def _in_list(arms: tuple[Any, ...], value: list[Any]) -> Iterator[tuple[str, Any]]:
    if arms[-1] is Ellipsis:
        arms = (arms[0],) * len(value)
    else:
        yield "too short", value[:-1]
        yield "too long", [*value, value[-1]]
    for place, (arm, item) in enumerate(zip(arms, value, strict=True)):
        for label, wrong in violations(arm, item):
            yield f"[{place}]: {label}", [*value[:place], wrong, *value[place + 1 :]]


def _in_fields(kind: Any, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from (("no object", wrong) for wrong in ([], "{}", 1, None, True))
    yield "an unknown field", {**value, "unknown": 1}
    for field in dataclasses.fields(kind):
        name = field.name
        if strict.is_needed(field):
            yield f"no {name}", {key: item for key, item in value.items() if key != name}
        if name in value:
            for label, wrong in violations(strict.hints(kind)[name], value[name]):
                yield f".{name}: {label}", {**copy.deepcopy(value), name: wrong}


def _one_prompt() -> st.SearchStrategy[dict[str, Any]]:
    kinds = {"box": prompts.WireBox, "point": prompts.WirePoint, "line": prompts.WireLine}
    bits = st.just("eAFjYAAAAAIAAQ==")
    shape = st.tuples(st.integers(1, 4096), st.integers(1, 4096)).map(list)
    fields = {"index": plain(prompts.Index), "shape_rc": shape, "bits": bits}
    mask = st.fixed_dictionaries({"mask": st.fixed_dictionaries(fields)})
    given = [st.fixed_dictionaries({name: _fields(kind)}) for name, kind in kinds.items()]
    return st.one_of(*given, mask)


def _volume() -> st.SearchStrategy[dict[str, Any]]:
    grey = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["uint8", "int16", "uint16", "int32", "float32"]),
            "shape": st.tuples(*[st.integers(1, 1024)] * 3).map(list),
        }
    )
    colour = st.tuples(*[st.integers(1, 512)] * 3).map(
        lambda s: {"dtype": "uint8", "shape": [*s, 3]}
    )
    return grey | colour


def _job() -> st.SearchStrategy[dict[str, Any]]:
    objects = plain(strict.hints(messages.JobRequest)["objects"]).filter(bool)
    sha256 = plain(messages.Sha256)
    propagate = st.fixed_dictionaries(
        {"session": sha256, "objects": objects, "kind": st.just("propagate")},
        optional={"direction": st.sampled_from(["both", "forward", "backward"])},
    )
    one = objects.map(lambda found: dict([next(iter(found.items()))]))
    predict = st.fixed_dictionaries(
        {
            "session": sha256,
            "objects": one,
            "kind": st.just("predict"),
            "index": st.integers(0, 4095),
        }
    )
    return propagate | predict


_SPECIAL = {
    prompts.WirePrompt: _one_prompt,
    volumes.VolumeHeader: _volume,
    messages.JobRequest: _job,
}
"""Messages whose fields depend on one another."""
