"""Fixtures that all suites share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tiny models lose more by waiting for a second thread than it gives, above all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In CI the same examples are tried every time; at a desk new ones are. No example has a deadline: a
# busy machine would make a test of it.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes with references that may not be shipped with the project."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of unshipped real volumes, ../shared/data, is absent")
    return folder
