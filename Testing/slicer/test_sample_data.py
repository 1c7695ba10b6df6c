from __future__ import annotations

import hashlib
import sys
import types
import urllib.request
from typing import Any

import pytest


@pytest.fixture
def registered(repository, monkeypatch) -> dict[str, Any]:
    """What the module tells Slicer's Sample Data module, which is not part of any package."""
    told: dict[str, Any] = {}
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **given: told.update(given)
    )
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.syspath_prepend(str(repository / "MedSAM2Slicer"))
    from MedSAM2SlicerLib import SampleData

    SampleData.registerSampleData()
    return told


def test_the_sample_comes_from_the_disk_and_is_the_one_whose_sum_is_told(registered, tmp_path):
    assert registered["uris"].startswith("file://")
    fetched = tmp_path / registered["fileNames"]
    urllib.request.urlretrieve(registered["uris"], fetched)
    algorithm, _, digest = registered["checksums"].partition(":")
    assert algorithm == "SHA256"
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() == digest
    assert fetched.name.endswith(".nii.gz")


def test_the_samples_licence_is_the_one_beside_the_file(repository, registered):
    from MedSAM2SlicerLib.SampleData import LICENCE

    attribution = (repository / "Testing" / "data" / "demo" / "ATTRIBUTION.md").read_text("utf-8")
    assert registered["category"] == "MedSAM2Slicer"
    for fact in ("https://creativecommons.org/licenses/by/3.0/", "10.7937/K9/TCIA.2015.7GO2GSKS"):
        assert fact in LICENCE
        assert fact in attribution
