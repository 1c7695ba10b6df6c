from __future__ import annotations

import re

import pytest

from medsam2.core.errors import WireError
from medsam2.wire import names, strict


def test_new_identifiers_have_128_bits_and_are_never_the_same():
    made = {names.new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(names.is_id(name) and re.fullmatch("[0-9a-f]{32}", name) for name in made)
    bits = {int(name, 16) >> place & 1 for name in made for place in (0, 64, 127)}
    assert bits == {0, 1}


KINDS = [(32, names.is_id, names.Id), (64, names.is_sha256, names.Sha256)]


@pytest.mark.parametrize(("length", "known", "kind"), KINDS)
def test_a_name_of_lower_case_hexadecimal_digits_is_known(length, known, kind):
    right = "0123456789abcdef" * (length // 16)
    assert known(right)
    assert strict.build(kind, right) == right


@pytest.mark.parametrize(
    "letter", ["F", "g", " ", "\n", "\u0663", "/", "%", "\0", "\ud800", "\x85"]
)
@pytest.mark.parametrize(("length", "known", "kind"), KINDS)
def test_other_letters_and_lengths_are_refused_everywhere(length, known, kind, letter):
    right = "0" * length
    wrong = [right[1:] + letter, letter + right[1:], right + letter, letter + right]
    for name in [*wrong, right[1:], right + "0", ""]:
        assert not known(name)
        with pytest.raises(WireError):
            strict.build(kind, name)


def test_an_identifier_is_no_digest_and_a_digest_no_identifier():
    assert not names.is_sha256("0" * 32)
    assert not names.is_id("0" * 64)
