from __future__ import annotations

import dataclasses
import hashlib
import pickle
import subprocess
import sys

import pytest
import torch
from compute_rooms import MODULE, ModelCache, answering, send, settings_for

from medsam2.core import errors
from medsam2.models import registry
from medsam2.models.registry import cards

CONTENT = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSAM2_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def settings():
    return settings_for("this-computer", downloadsAllowed=True)


@pytest.fixture
def cache(settings):
    return ModelCache.ModelCache(settings)


@pytest.fixture
def small(monkeypatch):
    """The model sam2.1-tiny, were its weights a megabyte on this machine's own server."""

    def answer(handler) -> None:
        send(handler, CONTENT, Content_Type="application/octet-stream", ETag='"one"')

    with answering(answer) as url:
        card = dataclasses.replace(
            cards()["sam2.1-tiny"], url=url, sha256=hashlib.sha256(CONTENT).hexdigest()
        )
        held = {**cards(), card.name: card}
        monkeypatch.setattr(registry, "cards", lambda: held)
        yield card.name


def test_the_list_tells_licence_size_and_state_of_every_model_for_users(cache):
    entries = {entry.name: entry for entry in cache.listModels()}
    assert set(entries) == {n for n, c in cards().items() if not n.startswith("tiny-random")}
    assert all(entry.license and entry.megabytes for entry in entries.values())
    lite, medical = entries["litemedsam"], entries["medsam2-latest"]
    assert (lite.state, lite.sizeBytes) == (ModelCache.BUNDLED, 39_370_479)
    assert not lite.canDownload
    assert (medical.state, medical.sizeBytes) == (ModelCache.ABSENT, 0)
    assert medical.researchOnly
    assert "no checksum" in medical.warning
    assert medical.text.startswith("medsam2-latest: ")
    assert "156 MB" in medical.text
    assert "research only, not installed)" in medical.text
    assert entries["sam2.1-large"].warning == ""


def test_the_list_needs_nothing_installed(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r})\n"
        "for name in ('platformdirs', 'torch', 'requests'): sys.modules[name] = None\n"
        "from MedSAM2SlicerLib import ModelCache, Settings\n"
        "cache = ModelCache.ModelCache(Settings.Settings(Settings._Memory()))\n"
        "print({entry.state for entry in cache.listModels()}, cache.diskUse())\n"
        "try: cache.delete('sam2.1-tiny')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = said.stdout.splitlines()
    assert first == "{'absent'} 0"
    assert second.startswith("EngineError The package platformdirs is missing; set up")


def test_weights_come_with_progress_count_as_disk_use_and_go_again(cache, small, folder):
    seen = []
    path = cache.download(small, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    entry = cache.entry(small)
    assert (entry.state, entry.sizeBytes) == (ModelCache.INSTALLED, len(CONTENT))
    assert cache.diskUse() == len(CONTENT)
    assert cache.folder() == folder
    assert cache.delete(small) == len(CONTENT)
    assert cache.diskUse() == 0
    assert cache.entry(small).state == ModelCache.ABSENT


def test_a_cancelled_download_keeps_what_has_come_but_is_no_model(cache, small):
    seen = []
    with pytest.raises(errors.CancelledError, match="kept for the next try"):
        cache.download(small, lambda done, _: seen.append(done), lambda: len(seen) > 3)
    assert cache.entry(small).state == ModelCache.ABSENT
    assert 0 < cache.diskUse() < len(CONTENT) + 1000
    assert cache.delete(small) > 0


def test_nothing_is_downloaded_before_the_user_has_agreed(cache, settings, small, folder):
    settings.downloadsAllowed = False
    with pytest.raises(errors.ModelError, match="agree first"):
        cache.download(small)
    assert not folder.exists()


def test_what_comes_inside_a_package_is_neither_fetched_nor_deleted(cache):
    with pytest.raises(errors.ModelError, match="needs no download"):
        cache.download("litemedsam")
    with pytest.raises(errors.ModelError, match="nothing to remove"):
        cache.delete("litemedsam")


def test_an_unknown_model_is_told_with_the_nearest_name(cache):
    with pytest.raises(errors.UnknownModelError, match=r"did you mean sam2\.1-tiny"):
        cache.entry("sam2.1-tini")


class Trap:
    def __reduce__(self):
        return print, ("a trap",)


def test_a_checkpoint_that_does_not_fit_is_refused_for_the_right_reason(cache, tmp_path, capsys):
    path = tmp_path / "mine.pt"
    with pytest.raises(errors.WeightsMissingError, match="choose the checkpoint again"):
        cache.checkCheckpoint("litemedsam", path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(errors.WeightsMismatchError, match="another architecture"):
        cache.checkCheckpoint("litemedsam", path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(errors.ModelError, match="damaged"):
        cache.checkCheckpoint("litemedsam", path)
    path.write_bytes(pickle.dumps({"weights": Trap()}))
    with pytest.raises(errors.UnsafeWeightsError, match="could run code"):
        cache.checkCheckpoint("litemedsam", path)
    assert "a trap" not in capsys.readouterr().out
    with pytest.raises(errors.ModelError, match="takes no file"):
        cache.checkCheckpoint("tiny-random", path)


def test_a_checkpoint_that_fits_is_told_by_its_sha256(cache, tmp_path):
    from medsam2.models.cache import embedded_weights

    path = tmp_path / "mine.pth"
    path.write_bytes(embedded_weights().read_bytes())
    assert cache.checkCheckpoint("litemedsam", path) == cards()["litemedsam"].sha256
