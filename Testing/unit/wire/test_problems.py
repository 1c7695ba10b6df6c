from __future__ import annotations

import http
import re
from collections.abc import Iterator

import pytest

from medsam2.core import errors
from medsam2.core.errors import InputError, MedSAM2Error, ServerError
from medsam2.wire import strict
from medsam2.wire.messages import Problem
from medsam2.wire.problems import REFUSALS, engine_errors, error_of, status_of


def tree(root: type[MedSAM2Error]) -> Iterator[type[MedSAM2Error]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


CORE = [kind for kind in tree(MedSAM2Error) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_has_a_status_a_meaning_and_a_way_out(code):
    refusal = REFUSALS[code]
    assert http.HTTPStatus(refusal.status).value == refusal.status
    assert 400 <= refusal.status < 600
    assert re.fullmatch("[a-z0-9_]{1,64}", code)
    assert refusal.meaning
    assert not refusal.meaning.endswith(".")
    assert refusal.message.endswith(".")
    assert "\n" not in refusal.message
    assert strict.from_json(Problem, strict.to_json(Problem(code, refusal.message))).code == code


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_becomes_its_error_with_the_servers_words_or_its_own(code):
    refusal = REFUSALS[code]
    raised = error_of(code, "Said by the server.")
    assert type(raised) is refusal.error
    assert str(raised) == "Said by the server."
    assert str(error_of(code, "")) == refusal.message


@pytest.mark.parametrize("kind", CORE, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_class_its_code_and_its_words_on_the_way(kind):
    sent = kind("What is wrong. What to do.")
    got = error_of(sent.code, str(sent))
    assert str(got) == str(sent)
    if issubclass(kind, ServerError) and kind.code not in REFUSALS:
        assert type(got) is ServerError  # the client's own; no server says so
        return
    assert type(got) is kind
    assert status_of(got) == status_of(sent)


@pytest.mark.parametrize("kind", CORE, ids=lambda kind: kind.__name__)
def test_the_user_is_told_4xx_for_what_the_user_can_mend_and_5xx_for_the_rest(kind):
    status = status_of(kind("x"))
    known = REFUSALS.get(kind.code)
    if known is not None:
        assert status == known.status
    else:
        assert status == (422 if issubclass(kind, InputError) else 500)


def test_the_codes_of_both_tables_mean_one_thing_each():
    found = engine_errors()
    kinds = [kind for kind in tree(MedSAM2Error) if not issubclass(kind, ServerError)]
    assert len(found) == len(kinds) == len({kind.code for kind in kinds})
    assert set(found.values()) == set(kinds)
    both = set(found) & set(REFUSALS)
    assert both == {"malformed", "too_large"}
    assert all(REFUSALS[code].error is found[code] for code in both)


def test_errors_between_user_and_server_do_not_cross_the_wire_as_themselves():
    assert not [kind for kind in engine_errors().values() if issubclass(kind, ServerError)]


def test_a_code_of_a_later_server_is_an_error_of_the_server():
    later = error_of("never_heard_of", "")
    assert type(later) is ServerError
    assert str(later) == "The server answered never_heard_of."
    assert str(error_of("never_heard_of", "Do this.")) == "Do this."


def test_refusals_that_a_client_waits_out_are_the_busy_ones():
    busy = {code for code, refusal in REFUSALS.items() if refusal.error is errors.ServerBusyError}
    assert busy == {"quota", "queue_full", "not_ready", "shutdown", "no_memory"}
