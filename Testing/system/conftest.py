"""The suite of the server's promises.

In CI it runs with small counts. ``make soak`` sets SOAK=1: full counts, and the table of figures goes
to ``Testing/results/soak.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ledger import Ledger

FULL = os.environ.get("SOAK") == "1"
_LEDGER = Ledger()


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """Where figures are written down."""
    return _LEDGER


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the full counts are wanted."""
    return FULL


@pytest.fixture(scope="session", autouse=True)
def _report(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if FULL and _LEDGER.figures:
        path = request.config.rootpath / "results" / "soak.md"
        _LEDGER.write(path, full=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the table, whether tests failed or not."""
    if _LEDGER.figures:
        terminalreporter.section("promises")
        terminalreporter.write(_LEDGER.table(full=FULL))
