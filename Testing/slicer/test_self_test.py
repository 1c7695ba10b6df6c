"""The self test that Slicer runs, here on the stand-in: so that it is right before Slicer sees it."""

from __future__ import annotations

import importlib.util
import unittest
from pathlib import Path

import pytest

NEEDS_SLICER = {"test_the_panel_opens_and_closes"}
"""They go through Slicer's own module factory."""


@pytest.fixture
def self_test(repository, monkeypatch, a_slicer) -> type[unittest.TestCase]:
    monkeypatch.syspath_prepend(str(repository / "MedSAM2Slicer"))
    path = Path(repository / "Testing" / "Python" / "MedSAM2SlicerSelfTest.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MedSAM2SlicerSelfTest


def test_the_self_test_passes_as_far_as_it_can_go_without_slicer(self_test):
    names = [n for n in unittest.TestLoader().getTestCaseNames(self_test) if n not in NEEDS_SLICER]
    assert len(names) >= 4
    result = unittest.TestSuite(self_test(name) for name in names).run(unittest.TestResult())
    assert result.wasSuccessful(), [text for _, text in result.errors + result.failures]
