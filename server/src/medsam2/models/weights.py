"""Reads files of weights into a model, without ever running code from them."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import nn

from medsam2.core.errors import (
    ModelError,
    UnsafeWeightsError,
    WeightsHashError,
    WeightsMismatchError,
)

from .hashing import file_sha256

_WRAPPERS: Final = ("model", "state_dict", "model_state_dict")
_PARALLEL_PREFIX: Final = "module."
"""What a model wrapped for several GPUs puts before every name."""
_SHOWN: Final = 3
"""Names that an error lists; the first few tell which architecture was meant."""


def load_weights(model: nn.Module, path: Path, *, sha256: str | None) -> str:
    """Fills a model with a file's weights; every name and shape must fit.

    Reads safetensors and what ``torch.save`` writes, the latter as plain tensors only. On any
    error the model is left as it was.

    Args:
        model: filled in place.
        path: a state dict, on its own or under ``model`` or ``state_dict``.
        sha256: what the file's must be; None takes any file.

    Returns:
        the file's sha256, in lower-case hexadecimal.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsHashError: the file is not the one that was meant.
        UnsafeWeightsError: reading it could run code; none was run.
        WeightsMismatchError: names or shapes are not the model's.
        ModelError: the file is damaged or holds no weights.
    """
    found = file_sha256(path)
    if sha256 is not None and found != sha256.lower():
        msg = (
            f"{path} is not the file it should be: its sha256 is {found}, not {sha256.lower()}. "
            "Delete it and download it again."
        )
        raise WeightsHashError(msg)
    state = read_state_dict(path)
    _check_fits(model, state, path)
    model.load_state_dict(state, strict=True)
    return found


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a file of weights, by name.

    Raises:
        UnsafeWeightsError: reading it could run code; none was run.
        ModelError: the file is damaged or holds no weights.
    """
    content = _unwrapped(_read(path))
    tensors = {str(n): t for n, t in content.items() if isinstance(t, torch.Tensor)}
    if not tensors or len(tensors) != len(content):
        msg = f"{path} holds no plain table of weights; give the file that torch.save wrote of one."
        raise ModelError(msg)
    if all(name.startswith(_PARALLEL_PREFIX) for name in tensors):
        return {name.removeprefix(_PARALLEL_PREFIX): t for name, t in tensors.items()}
    return tensors


def _read(path: Path) -> object:
    try:
        if _is_safetensors(path):
            from safetensors.torch import load_file

            return load_file(path, device="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle's protocol; the answer comes anyway
            zipped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if _could_run_code(path, str(error)):
            msg = (
                f"{path} could run code when it is read, so it was not read; "
                "ask its author for a file of plain weights, best as safetensors."
            )
            raise UnsafeWeightsError(msg) from error
        raise _damaged(path) from error
    except MemoryError as error:
        msg = f"There is not enough memory to read {path}; close other programs."
        raise ModelError(msg) from error
    except Exception as error:  # a damaged file fails in any of the readers' layers
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelError:
    return ModelError(
        f"{path} is damaged, cut short, or no file of weights; download or copy it again."
    )


def _could_run_code(path: Path, complaint: str) -> bool:
    """Whether torch's reader of plain tensors met code to run, or a pickle that is not its own."""
    if re.search("unsupported (global|class)", complaint, re.IGNORECASE):
        return True
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    return pickled and "unsupported operand" in complaint.lower()


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins with a length and a JSON header, as safetensors does."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) < 9 or start[8:] != b"{":
        return False
    (header,) = struct.unpack("<Q", start[:8])
    return bool(header <= size - 8)


def _unwrapped(content: object) -> Mapping[object, object]:
    while isinstance(content, Mapping):
        inner = next((content[k] for k in _WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            return content
        content = inner
    return {}


def _check_fits(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    shapes = [
        f"{name} is {given[name]} and should be {wanted[name]}"
        for name in wanted
        if name in given and given[name] != wanted[name]
    ]
    problems = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of the wrong shape": shapes,
    }
    told = [f"{len(n)} {kind} ({_shortened(n)})" for kind, n in problems.items() if n]
    if told:
        msg = (
            f"The weights in {path} are of another architecture: {'; '.join(told)}. "
            "Choose the model that the file was made for."
        )
        raise WeightsMismatchError(msg)


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
