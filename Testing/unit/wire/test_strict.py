from __future__ import annotations

import dataclasses
import json
import tracemalloc
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import MESSAGES, plain, violations

from medsam2.core.errors import WireError
from medsam2.wire import prompts, strict
from medsam2.wire.limits import MOST_OBJECT_JSON, MOST_PROMPTS


@dataclasses.dataclass(frozen=True)
class Inner:
    number: Annotated[int, strict.Range(0, 9)]
    choice: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class Outer:
    items: Annotated[tuple[Inner, ...], strict.Most(2)]
    pair: tuple[float, float] | None = None
    named: dict[Annotated[str, strict.Pattern("[a-z]+")], bool] = dataclasses.field(
        default_factory=dict
    )


def read(text: str) -> Outer:
    return strict.from_json(Outer, text.encode())


def test_a_message_is_read_as_it_was_written():
    made = Outer((Inner(3), Inner(9, "b")), (0.1, -2.5e-7), {"x": True})
    assert strict.from_json(Outer, strict.to_json(made)) == made
    assert strict.to_json(made) == (
        b'{"items":[{"number":3,"choice":"a"},{"number":9,"choice":"b"}],'
        b'"pair":[0.1,-2.5e-07],"named":{"x":true}}'
    )


def test_what_is_written_is_ascii_whatever_the_text_is():
    assert strict.to_json({"text": "Größe 骨"}).isascii()


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_message_survives_the_way_there_and_back(kind, data):
    made = strict.build(kind, data.draw(plain(kind)))
    assert strict.from_json(kind, strict.to_json(made)) == made


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_every_field_is_held_to_its_type_and_its_bounds(kind, data):
    right = data.draw(plain(kind))
    found = list(violations(kind, right))
    assert len(found) > 3
    for label, wrong in found:
        try:
            strict.build(kind, wrong)
        except WireError:
            continue
        pytest.fail(f"{label} was accepted: {wrong!r:.300}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"items":[{"number":10}]}', r"message\.items\[0\]\.number must be from 0 to 9"),
        ('{"items":[{"number":-1}]}', r"number must be from 0 to 9"),
        ('{"items":[{"number":true}]}', r"number must be a whole number"),
        ('{"items":[{"number":"1"}]}', r"number must be a whole number"),
        ('{"items":[{"number":1.0}]}', r"number must be a whole number"),
        ('{"items":[{"number":null}]}', r"number must be a whole number"),
        ('{"items":[{"number":1,"choice":"c"}]}', r"choice must be one of a, b"),
        ('{"items":[{"number":1},{"number":1},{"number":1}]}', r"items must be at most 2 long"),
        ('{"items":[{}]}', r"message\.items\[0\] lacks the field 'number'"),
        ('{"items":{}}', r"message\.items must be a list"),
        ('{"items":[],"more":1}', r"message has the unknown field 'more'"),
        ("{}", r"message lacks the field 'items'"),
        ("[]", r"message must be an object"),
        ('{"items":[],"pair":[1]}', r"message\.pair must be a list of 2"),
        ('{"items":[],"pair":[1,2,3]}', r"message\.pair must be a list of 2"),
        ('{"items":[],"pair":[true,1]}', r"pair\[0\] must be a finite number"),
        ('{"items":[],"pair":["1",1]}', r"pair\[0\] must be a finite number"),
        ('{"items":[],"pair":[1e999,1]}', r"pair\[0\] must be a finite number"),
        ('{"items":[],"pair":[9007199254740993,1]}', r"pair\[0\] must be a finite number"),
        ('{"items":[],"named":{"A":true}}', r"a name in message\.named must be a text like"),
        ('{"items":[],"named":{"x":1}}', r"message\.named\.x must be true or false"),
        ('{"items":[],"named":[]}', r"message\.named must be an object"),
    ],
)
def test_a_refusal_says_which_field_is_wrong(text, says):
    with pytest.raises(WireError, match=says):
        read(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused(number):
    with pytest.raises(WireError):
        read(f'{{"items":[],"pair":[{number},1]}}')


def test_whole_numbers_are_read_as_floats_where_floats_are_meant():
    pair = read('{"items":[],"pair":[1,9007199254740992]}').pair
    assert pair == (1.0, 2.0**53)
    assert [type(number) for number in pair] == [float, float]


@pytest.mark.parametrize(
    "text",
    [
        '{"items":[],"items":[]}',
        '{"items":[{"number":1,"number":2}]}',
        '{"items":[],"named":{"x":true,"x":true}}',
        '{"items":[],"named":{"x":true,"\\u0078":false}}',
    ],
)
def test_a_repeated_field_is_refused(text):
    with pytest.raises(WireError, match="not JSON"):
        read(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"\xff",
        b'{"items":[]}\x00',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le"),
        b"1" * 5000,
        b"'a'",
        b"[1,]",
        b"// {}",
    ],
)
def test_what_is_no_json_in_utf_8_is_refused(data):
    with pytest.raises(WireError, match="not JSON"):
        strict.parse(data)


@pytest.mark.parametrize("opening", ["[", '{"a":', "[[", '[{"a":['])
def test_deep_nesting_is_refused(opening):
    for times in (2000, 50_000):
        with pytest.raises(WireError):
            strict.parse((opening * times).encode())


def test_nesting_that_python_can_read_is_refused_by_the_message():
    nested: Any = []
    for _ in range(50):
        nested = [nested]
    with pytest.raises(WireError):
        strict.from_json(prompts.WireObject, json.dumps({"prompts": nested}).encode())


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udfff"', '"\\udc00\\ud800"'])
def test_half_a_character_is_refused_before_anybody_writes_it_down(text):
    with pytest.raises(WireError, match="whole characters"):
        strict.build(str, strict.parse(text.encode()))
    with pytest.raises(WireError) as unknown:
        read(f"{{{text}:1}}")
    str(unknown.value).encode()
    assert strict.build(str, strict.parse(b'"\\ud83e\\uddb4"')) == "\U0001f9b4"


def test_a_refusal_is_short_however_long_the_message_is():
    with pytest.raises(WireError) as unknown:
        read(json.dumps({"a" * 100_000: 1}))
    assert len(str(unknown.value)) < 120


def test_the_text_of_small_values_costs_no_more_than_its_own_size():
    bombs = [
        b"[" + b"[]," * 5_000_000 + b"[]]",
        b"[" + b'{"":0},' * 2_000_000 + b"0]",
        b"[" + (b"[" * 100 + b"]" * 100 + b",") * 50_000 + b"0]",
        b"[" + (b'{"":' * 50 + b"0" + b"}" * 50 + b",") * 50_000 + b"0]",
    ]
    for bomb in bombs:
        assert len(bomb) < MOST_OBJECT_JSON
        tracemalloc.start()
        with pytest.raises(WireError, match="at most"):
            strict.parse(bomb)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.1 * len(bomb)


def test_an_object_with_all_the_prompts_it_may_have_is_read():
    end = (1.0, 2.0)
    line = prompts.WirePrompt(line=prompts.WireLine(1, (end, end)))
    full = prompts.WireObject((line,) * MOST_PROMPTS, prompts.WireRoi(0, 9, (0, 0, 9, 9)), (0, 9))
    text = strict.to_json(full)
    assert sum(text.count(mark) for mark in (b",", b"[", b"{")) < strict.MOST_MARKS / 2
    assert len(strict.from_json(prompts.WireObject, text).prompts) == MOST_PROMPTS


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8")))
def test_no_bytes_raise_anything_but_the_refusal(data):
    for kind in MESSAGES:
        with pytest.raises(WireError):
            strict.from_json(kind, data)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@settings(deadline=None)
@given(JSON, st.sampled_from(MESSAGES))
def test_no_json_raises_anything_but_the_refusal(value, kind):
    try:
        made = strict.build(kind, value)
    except WireError:
        return
    assert strict.from_json(kind, strict.to_json(made)) == made


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_buffer_is_read(wrap):
    assert strict.from_json(Inner, wrap(b'{"number":1}')) == Inner(1)
