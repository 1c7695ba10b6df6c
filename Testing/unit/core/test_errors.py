from __future__ import annotations

from collections.abc import Iterator

import pytest

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
    own = [error for error in tree() if error.__module__ == errors.__name__]
    assert len(own) > 40
    assert all(error.__name__ in errors.__doc__ for error in own)


def test_a_broken_message_is_what_the_sender_can_mend():
    assert set(tree(errors.WireError)) == {errors.WireError, errors.MessageTooLargeError}
    assert issubclass(errors.WireError, errors.InputError)
    assert [error.code for error in tree(errors.WireError)] == ["malformed", "too_large"]


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (errors.ServerError, "server", 1),
        (errors.ServerUnreachableError, "server_unreachable", 1),
        (errors.ServerBusyError, "server_busy", 1),
        (errors.ServerAnswerError, "server_answer", 1),
        (errors.WorkerLostError, "worker_lost", 1),
        (errors.CertificateError, "certificate", 2),
        (errors.UnauthorizedError, "unauthorized", 2),
        (errors.ProtocolMismatchError, "protocol", 2),
    ],
)
def test_a_server_that_fails_exits_with_1_and_a_wrong_setting_with_2(error, code, exit_code):
    assert issubclass(error, errors.ServerError)
    assert (error.code, error.exit_code) == (code, exit_code)


def test_every_error_of_a_server_is_told_above():
    names = {"ServerError", "ServerUnreachableError", "ServerBusyError", "ServerAnswerError",
             "WorkerLostError", "CertificateError", "UnauthorizedError",
             "ProtocolMismatchError"}  # fmt: skip
    assert {error.__name__ for error in tree(errors.ServerError)} == names
    assert issubclass(errors.ServerError, errors.EngineError)
