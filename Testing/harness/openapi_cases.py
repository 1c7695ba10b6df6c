"""Requests made from our OpenAPI document by schemathesis, right ones and wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from medsam2.wire import routes
from medsam2.wire.names import is_sha256

CHECKED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
"""Of schemathesis's checks; what is left out does not fit.

``not_a_server_error`` knows no 503 and 507 that say what to do. ``positive_data_acceptance`` takes
every right message for a possible one, but a job on prompts that nobody put is not. The checks of
tokens and methods have tests of their own, which walk every route.
"""

_NUMBER = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 1}, {"type": "string"}]}


def cases(
    document: Mapping[str, Any], ids: Mapping[str, str], content: Mapping[str, str]
) -> strategies.SearchStrategy[Case]:
    """Every operation of a document, with right and with wrong messages where it takes any.

    Args:
        document: of the server.
        ids: what exists there, by its name in the paths; most paths lead to it.
        content: digests of what exists, by field; they take the place of random ones.
    """
    schemathesis.serializer(routes.FRAME)(lambda _context, value: _frame(value))
    api = schemathesis.openapi.from_dict(_with_parameters(document))
    operations = [found.ok() for found in api.get_all_operations()]
    made = [one.as_strategy(generation_mode=GenerationMode.POSITIVE) for one in operations]
    for one in operations:
        if one.body:
            made += [one.as_strategy(generation_mode=mode) for mode in GenerationMode]
    places = strategies.sampled_from(["live", "live", "live", "unknown", "any"])
    return strategies.builds(
        lambda case, place: _led(case, place, ids, content), strategies.one_of(made), places
    )


def checks() -> list[Any]:
    """The checks named above, for :meth:`schemathesis.Case.validate_response`."""
    load_all_checks()
    return list(CHECKS.get_by_names(list(CHECKED)))


def _with_parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what the application reads by hand."""
    made = copy.deepcopy(dict(document))
    for path, names in {routes.RESULTS: ("after", "wait"), routes.JOBS: ("wait",)}.items():
        for operation in made["paths"][path].values():
            operation["parameters"] += [
                {"name": name, "in": "query", "required": False, "schema": _NUMBER}
                for name in names
            ]
    key = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    made["paths"][routes.JOBS]["post"]["parameters"].append(
        {"name": routes.IDEMPOTENCY_KEY, "in": "header", "required": True, "schema": key}
    )
    return made


def _led(case: Case, place: str, ids: Mapping[str, str], content: Mapping[str, str]) -> Case:
    """Leads a case to what exists, or to what has the form of something that does."""
    if place != "any" and isinstance(case.body, dict):
        case.body = {
            name: content[name] if name in content and _is_digest(value) else value
            for name, value in case.body.items()
        }
    for name in case.path_parameters if place != "any" else ():
        live = ids[name]
        case.path_parameters[name] = live if place == "live" else live[::-1]
    return case


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and is_sha256(value)


def _frame(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
