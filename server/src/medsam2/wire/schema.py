"""The JSON Schema of a message, from the same annotations that its reader obeys."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from .strict import Most, Pattern, Range, hints, is_needed


def schema(kind: Any) -> dict[str, Any]:
    """Returns the JSON Schema of a message or of a field's type."""
    bounds: tuple[object, ...] = ()
    if get_origin(kind) is Annotated:
        kind, *rest = get_args(kind)
        bounds = tuple(rest)
    made = _plain_schema(kind)
    for bound in bounds:
        made |= _bound_schema(bound, made.get("type"))
    return made


def _plain_schema(kind: Any) -> dict[str, Any]:
    origin, arms = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(arms)}
    if origin in {types.UnionType, typing.Union}:
        inner = next(arm for arm in arms if arm is not type(None))
        return {"anyOf": [schema(inner), {"type": "null"}]}
    if origin is tuple:
        return _list_schema(arms)
    if origin is dict:
        names = schema(arms[0])
        return {"type": "object", "propertyNames": names, "additionalProperties": schema(arms[1])}
    if dataclasses.is_dataclass(kind):
        return _object_schema(cast("type", kind))
    return {"type": {float: "number", int: "integer", str: "string", bool: "boolean"}[kind]}


def _bound_schema(bound: object, kind: object) -> dict[str, Any]:
    match bound:
        case Range(low, high):
            return {"minimum": low, "maximum": high}
        case Pattern(expression):
            return {"pattern": f"^(?:{expression})$"}
        case Most(count):
            name = {"array": "maxItems", "object": "maxProperties"}.get(str(kind), "maxLength")
            return {name: count}
    return {}


def _list_schema(arms: tuple[Any, ...]) -> dict[str, Any]:
    if arms[-1] is Ellipsis:
        return {"type": "array", "items": schema(arms[0])}
    sizes = {"minItems": len(arms), "maxItems": len(arms)}
    return {"type": "array", "prefixItems": [schema(arm) for arm in arms], **sizes}


def _object_schema(kind: type) -> dict[str, Any]:
    fields = dataclasses.fields(cast("Any", kind))
    types_of = hints(kind)
    return {
        "type": "object",
        "properties": {field.name: schema(types_of[field.name]) for field in fields},
        "required": [field.name for field in fields if is_needed(field)],
        "additionalProperties": False,
    }
