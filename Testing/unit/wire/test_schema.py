from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import MESSAGES, plain, violations

from medsam2.wire import messages, prompts, records, volumes
from medsam2.wire.schema import schema

TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
}  # fmt: skip


def fits(rule: dict[str, Any], value: Any) -> bool:
    """Whether a value obeys a JSON Schema: those of its words that ours use, and exact numbers."""
    if "anyOf" in rule:
        return any(fits(arm, value) for arm in rule["anyOf"])
    kind = rule["type"]
    if kind in {"integer", "number"}:
        wanted = int if kind == "integer" else int | float
        return (
            isinstance(value, wanted)
            and not isinstance(value, bool)
            and (abs(value) <= 2**53 if isinstance(value, int) else math.isfinite(value))
            and rule.get("minimum", value) <= value <= rule.get("maximum", value)
        )
    if not isinstance(value, TYPES[kind]):
        return False
    return {"string": _text, "array": _list, "object": _object}.get(kind, _any)(rule, value)


def _any(rule: dict[str, Any], value: Any) -> bool:
    return True


def _text(rule: dict[str, Any], value: str) -> bool:
    whole = rule.get("pattern", "").replace("$", r"\Z")
    return (
        len(value) <= rule.get("maxLength", len(value))
        and value in rule.get("enum", [value])
        and re.search(whole, value, re.ASCII) is not None
    )


def _list(rule: dict[str, Any], value: list[Any]) -> bool:
    size, first = len(value), rule.get("prefixItems", [])
    return (
        rule.get("minItems", 0) <= size <= rule.get("maxItems", size)
        and all(map(fits, first, value))
        and all(fits(rule["items"], item) for item in value if "items" in rule)
    )


def _object(rule: dict[str, Any], value: dict[str, Any]) -> bool:
    known, more = rule.get("properties", {}), rule["additionalProperties"]
    names = rule.get("propertyNames", {"type": "string"})
    return (
        len(value) <= rule.get("maxProperties", len(value))
        and set(rule.get("required", [])) <= set(value)
        and all(fits(names, name) for name in value)
        and all(
            fits(known[name], item) if name in known else more is not False and fits(more, item)
            for name, item in value.items()
        )
    )


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_schema_takes_what_the_reader_takes_and_nothing_else(kind, data):
    rule = schema(kind)
    right = data.draw(plain(kind))
    assert fits(rule, right)
    taken = [
        (label, wrong)
        for label, wrong in violations(kind, right)
        if fits(rule, wrong) and "\\ud800" not in ascii(wrong)
    ]
    assert taken == []


def test_needed_fields_are_required_and_unknown_ones_forbidden():
    made = schema(messages.JobRequest)
    assert made["required"] == ["session", "objects", "kind"]
    assert made["additionalProperties"] is False
    assert set(made["properties"]) == {"session", "objects", "kind", "direction", "index"}
    nested = schema(prompts.WireObject)["properties"]["prompts"]["items"]
    assert nested["additionalProperties"] is False
    assert nested["required"] == []


def test_bounds_are_the_annotations():
    head = schema(records.Head)["properties"]
    assert head["total"] == {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
    assert head["job"] == {"type": "string", "pattern": "^(?:[0-9a-f]{32})$"}
    assert head["kind"] == {"type": "string", "enum": ["head"]}
    objects = schema(messages.SessionState)["properties"]["objects"]
    assert objects["maxProperties"] == 1024
    state = schema(messages.JobState)["properties"]
    assert state["message"] == {"type": "string", "maxLength": 1000}
    shape = schema(volumes.VolumeHeader)["properties"]["shape"]
    assert shape["maxItems"] == 4
    assert shape["items"] == {"type": "integer", "minimum": 1, "maximum": 4096}


def test_fixed_lists_have_their_length_and_optional_ones_may_be_null():
    request = schema(messages.SessionRequest)["properties"]
    rows = request["affine_ijk_to_ras"]
    assert (rows["minItems"], rows["maxItems"], len(rows["prefixItems"])) == (4, 4, 4)
    assert request["crop"] == {"type": "boolean"}
    box = schema(records.Slice)["properties"]["box_rc"]
    assert [arm["type"] for arm in box["anyOf"]] == ["array", "null"]


@pytest.mark.parametrize("name", ["0abc", "abc1", "-1", "01", "", "1e3", "99999999999"])
def test_a_pattern_with_alternatives_holds_the_whole_text(name):
    names = schema(messages.JobRequest)["properties"]["objects"]["propertyNames"]
    assert re.search(names["pattern"], name) is None
