"""The self test that Slicer runs, here on the stand-in: so that it is right before Slicer sees it."""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

import pytest
import standin
from fake_backend import FakeBackend
from module_user import User

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


def test_reload_and_test_makes_a_panel_that_works_and_runs_the_self_test(
    a_slicer, a_volume, monkeypatch
):
    user, ran = User(a_slicer, FakeBackend), []
    old = user.panel
    testing = SimpleNamespace(runUnitTest=lambda *told: ran.append(told))
    monkeypatch.setitem(sys.modules, "slicer.testing", testing)
    volume = a_volume("axial")
    user.choose(volume)
    user.loaded.reload()
    again = user.loaded.widget.panel
    assert again is not old
    assert standin.pump(5, until=lambda: "Draw a box" in again.ui.statusLabel.text)
    standin.pump(0.1)
    again.ui.volumeSelector.setCurrentNode(a_volume("oblique"))
    a_slicer.scene.RemoveNode(volume)
    standin.pump(0.1)
    assert again.logic.parameters.volume is not None
    user.loaded.instance.runTest()
    assert [name for _, name in ran] == ["MedSAM2SlicerSelfTest"]
