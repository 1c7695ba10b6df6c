from __future__ import annotations

from collections.abc import Iterator

from medsam2.core import errors


def tree(root: type = errors.MedSAM2Error) -> Iterator[type[errors.MedSAM2Error]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_error_has_a_code_of_its_own():
    codes = [error.code for error in tree()]
    assert len(set(codes)) == len(codes)


def test_what_the_user_can_mend_exits_with_2():
    assert {error.exit_code for error in tree(errors.InputError)} == {2}


def test_messages_are_one_line():
    assert str(errors.InputError("a long\n   message")) == "a long message"


def test_the_tree_at_the_top_of_the_module_names_every_error():
    assert errors.__doc__ is not None
    assert all(error.__name__ in errors.__doc__ for error in tree())
