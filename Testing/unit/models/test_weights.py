"""Files of weights are read strictly, and never run code."""

from __future__ import annotations

import collections
import hashlib
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from medsam2.core.errors import (
    MedSAM2Error,
    ModelError,
    UnsafeWeightsError,
    WeightsHashError,
    WeightsMismatchError,
    WeightsMissingError,
)
from medsam2.models.weights import load_weights


def model(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


WRITERS = {
    "plain": torch.save,
    "under model": lambda state, path: torch.save({"model": state, "epoch": 3}, path),
    "under state_dict": lambda state, path: torch.save({"state_dict": state}, path),
    "under both": lambda state, path: torch.save({"state_dict": {"model": state}}, path),
    "from several GPUs": lambda state, path: torch.save(
        {f"module.{name}": tensor for name, tensor in state.items()}, path
    ),
    "legacy": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "safetensors": save_file,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_usual_file_is_read(kind, tmp_path):
    source, target, path = model(1), model(2), tmp_path / "weights"
    WRITERS[kind](source.state_dict(), path)
    found = load_weights(target, path, sha256=None)
    assert same(source, target)
    assert found == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_weights(target, path, sha256=found.upper()) == found


def test_half_precision_weights_fill_a_single_precision_model(tmp_path):
    state = {name: tensor.half() for name, tensor in model(1).state_dict().items()}
    torch.save(state, tmp_path / "half.pt")
    target = model(2)
    load_weights(target, tmp_path / "half.pt", sha256=None)
    assert all(p.dtype == torch.float32 for p in target.parameters())


def test_the_wrong_file_says_what_it_is_and_what_was_meant(tmp_path):
    path, target = tmp_path / "weights.pt", model(2)
    torch.save(model(1).state_dict(), path)
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsHashError, match=f"{actual}, not {'0' * 64}"):
        load_weights(target, path, sha256="0" * 64)
    assert same(target, model(2))


def test_another_architecture_is_told_by_its_first_few_names(tmp_path):
    path, target = tmp_path / "weights.pt", model(2)
    state = {f"more.{n}": torch.zeros(1) for n in range(9)} | {"0.weight": torch.zeros(7, 3)}
    torch.save(state, path)
    with pytest.raises(WeightsMismatchError) as caught:
        load_weights(target, path, sha256=None)
    text = str(caught.value)
    assert "3 missing (0.bias, 1.weight, 1.bias)" in text
    assert "9 unexpected (more.0, more.1, more.2, ...)" in text
    assert "0.weight is (7, 3) and should be (4, 3)" in text
    assert same(target, model(2))


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


class Shell:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        import os

        return (os.system, (self.command,))


def write_zip(content: object, path: Path) -> None:
    torch.save(content, path)


def write_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def write_safetensors_name(content: object, path: Path) -> None:
    torch.save(content, path.with_suffix(".safetensors"))
    path.with_suffix(".safetensors").rename(path)


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_pickle, write_safetensors_name])
@pytest.mark.parametrize("place", ["alone", "beside weights", "as metadata"])
def test_a_file_that_runs_code_is_refused_and_does_not_run(write, place, tmp_path):
    canary, path, target = tmp_path / "canary", tmp_path / "weights.pt", model(2)
    state = model(1).state_dict()
    content = {
        "alone": Canary(canary),
        "beside weights": {**state, "extra": Canary(canary)},
        "as metadata": {"model": state, "args": Shell(f"touch {canary}")},
    }[place]
    write(content, path)
    with pytest.raises(UnsafeWeightsError, match="could run code"):
        load_weights(target, path, sha256=None)
    assert not canary.exists()
    assert same(target, model(2))


@pytest.mark.parametrize("kind", ["plain", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(kind, kept, tmp_path):
    path, target = tmp_path / "weights", model(2)
    WRITERS[kind](model(1).state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ModelError, match="download or copy it again"):
        load_weights(target, path, sha256=None)
    assert same(target, model(2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>sign in</html>",
        b"\x80\x04.",
        b"PK\x03\x04" + bytes(100),
        b"\xff" * 100,
        b"\x20" + bytes(7) + b"{" + b"x" * 100,
        b"\xff" * 7 + b"\x7f{",
    ],
)
def test_what_is_no_file_of_weights_is_refused(content, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        load_weights(model(), path, sha256=None)


def test_a_table_of_other_things_holds_no_weights(tmp_path):
    path = tmp_path / "weights.pt"
    for content in ({"epoch": 3}, [torch.zeros(1)], {}, {"model": {}}, collections.OrderedDict()):
        torch.save(content, path)
        with pytest.raises(ModelError, match="holds no plain table of weights"):
            load_weights(model(), path, sha256=None)


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError):
        load_weights(model(), path, sha256=None)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(WeightsMissingError, match="check the path"):
            load_weights(model(), path, sha256=None)


def test_a_path_through_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="can't be read"):
        load_weights(model(), tmp_path / "file" / "weights.pt", sha256=None)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_anywhere_never_escapes_as_another_error(data, tmp_path):
    kind = data.draw(st.sampled_from(["plain", "legacy", "safetensors"]))
    path, target = tmp_path / "weights", model(2)
    WRITERS[kind](model(1).state_dict(), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        load_weights(target, path, sha256=None)
    except MedSAM2Error as error:
        assert same(target, model(2))
        assert "\n" not in str(error)  # noqa: PT017
