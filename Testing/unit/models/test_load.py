"""A model is loaded by its name, from the registry's weights or from the operator's file."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch

from medsam2.core.errors import (
    ModelError,
    UnknownModelError,
    WeightsHashError,
    WeightsMismatchError,
    WeightsMissingError,
)
from medsam2.models.cache import embedded_weights
from medsam2.models.load import load_model
from medsam2.models.registry import Family, cards
from medsam2.models.sam2_builder import TINY_RANDOM, random_weights


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("MEDSAM2_MODELS", str(folder))
    return folder


@pytest.fixture
def small():
    """A SAM2 model that is as easily made as the random one, but has a file of weights."""
    return dataclasses.replace(
        cards()["tiny-random"], name="small", family=Family.SAM2, file="small.pt", url="https://x/"
    )


def test_the_random_model_is_the_same_each_time_and_says_which_it_is():
    one, two = load_model("tiny-random"), load_model("tiny-random")
    assert one.image_size == TINY_RANDOM.image_size
    assert one.weights_sha256 == two.weights_sha256
    assert len(one.weights_sha256) == 64
    states = [loaded.module.state_dict() for loaded in (one, two)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = load_model("tiny-random", image_size=256)
    assert other.module.image_size == other.image_size == 256
    assert load_model("tiny-random-chain").weights_sha256 != one.weights_sha256


def test_the_random_models_take_no_file(tmp_path):
    for name in ("tiny-random", "tiny-random-chain"):
        with pytest.raises(ModelError, match="no file"):
            load_model(name, checkpoint=tmp_path / "x.pt")


def test_weights_of_the_folder_are_loaded(small, folder):
    source = random_weights(TINY_RANDOM, 3)
    torch.save({"model": source.state_dict()}, folder / "small.pt")
    loaded = load_model(small)
    found = loaded.module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in source.state_dict().items())
    content = (folder / "small.pt").read_bytes()
    assert loaded.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert not loaded.module.training
    assert loaded.card is small


def test_weights_of_the_folder_that_changed_are_refused(small, folder):
    for seed in (3, 4):
        torch.save(random_weights(TINY_RANDOM, seed).state_dict(), folder / "small.pt")
        if seed == 3:
            load_model(small)
    with pytest.raises(WeightsHashError):
        load_model(small)


def test_an_operators_own_file_is_taken_as_it_is(small, tmp_path, folder):
    torch.save(random_weights(TINY_RANDOM, 5).state_dict(), tmp_path / "own.pt")
    card = dataclasses.replace(small, sha256="0" * 64)
    loaded = load_model(card, checkpoint=tmp_path / "own.pt", image_size=64)
    content = (tmp_path / "own.pt").read_bytes()
    assert loaded.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert list(folder.iterdir()) == []


def test_a_file_of_another_architecture_is_refused(tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "own.pt")
    for name in ("litemedsam", "medsam2-latest"):
        with pytest.raises(WeightsMismatchError):
            load_model(name, checkpoint=tmp_path / "own.pt")


def test_the_embedded_model_is_loaded_from_its_package_or_a_file():
    loaded = load_model("litemedsam")
    assert loaded.weights_sha256 == cards()["litemedsam"].sha256
    assert loaded.image_size == 256
    again = load_model("litemedsam", checkpoint=embedded_weights())
    assert again.weights_sha256 == loaded.weights_sha256


def test_a_model_that_is_not_there_is_told_before_anything_is_built(monkeypatch):
    for name in ("medsam2-latest", "sam2.1-large", "sam1-vit-b", "medsam-vit-b"):
        with pytest.raises(WeightsMissingError):
            load_model(name)


@pytest.mark.parametrize("size", [0, -64, 100, 16])
def test_an_input_size_that_does_not_fit_says_which_do(size):
    with pytest.raises(ModelError, match="multiple of 32"):
        load_model("tiny-random", image_size=size)


def test_models_of_one_input_size_take_no_other():
    assert load_model("tiny-random-chain", image_size=128).image_size == 128
    for name in ("litemedsam", "tiny-random-chain", "sam1-vit-b"):
        with pytest.raises(ModelError, match="leave the size out"):
            load_model(name, image_size=512)


def test_an_unknown_name_is_told():
    with pytest.raises(UnknownModelError):
        load_model("sam4")
