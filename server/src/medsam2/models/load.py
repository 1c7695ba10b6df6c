"""Makes a model of the registry ready: its architecture, filled with its weights."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from torch import nn

from medsam2.core.errors import ModelError

from .hashing import file_sha256
from .library import installed_weights
from .litemedsam import build_litemedsam
from .registry import Family, ModelCard, Tracker, card_of
from .sam1_builder import build_sam1
from .sam2_builder import CONFIGS, TINY_RANDOM_SEED, build_sam2, random_weights
from .sam2_config import ENCODER_STRIDE
from .tiny_chain import build_tiny_chain
from .weights import load_weights

__all__ = ["LoadedModel", "load_model", "load_weights"]


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to run.

    Args:
        card: what it is and takes.
        module: in eval mode, on CPU, in float32.
        weights_sha256: tells one set of weights from another; a file's own where there is one.
        image_size: side of the square input, in pixels.
    """

    card: ModelCard
    module: nn.Module
    weights_sha256: str
    image_size: int


def load_model(
    model: str | ModelCard, *, checkpoint: Path | None = None, image_size: int | None = None
) -> LoadedModel:
    """Builds a model and fills it with its weights.

    Args:
        model: a name of the registry, or a card.
        checkpoint: a local file to take instead of the registry's weights, of the same
            architecture; any sha256 will do, for it is the operator's own choice.
        image_size: another input size; only SAM2 takes one, a multiple of 32.

    Raises:
        UnknownModelError: no model has this name.
        WeightsMissingError: the weights are not on this machine.
        WeightsHashError: the weights on this machine are not those of the registry.
        WeightsMismatchError: the checkpoint is of another architecture.
        UnsafeWeightsError: the checkpoint could run code when it is read.
        ModelError: anything else about the model; says what to do.
    """
    card = card_of(model)
    size = _checked_size(card, image_size)
    if card.family is Family.TINY_RANDOM:
        return _load_random(card, checkpoint, size)
    path, sha256 = _weights(card, checkpoint)
    if card.family is Family.LITEMEDSAM:
        module = build_litemedsam(path, sha256=sha256)
        return LoadedModel(card, module, sha256 or file_sha256(path), size)
    module = build_sam1() if card.family is Family.SAM1 else _untrained_sam2(card, size)
    return LoadedModel(card, module, load_weights(module, path, sha256=sha256), size)


def _checked_size(card: ModelCard, image_size: int | None) -> int:
    size = card.image_size if image_size is None else image_size
    if size == card.image_size:
        return size
    if card.tracker is not Tracker.MEMORY:
        msg = f"{card.name} takes an input of {card.image_size} px only; leave the size out."
        raise ModelError(msg)
    if size < ENCODER_STRIDE or size % ENCODER_STRIDE:
        msg = f"{card.name} takes an input whose side is a multiple of 32 px, not {size}."
        raise ModelError(msg)
    return size


def _weights(card: ModelCard, checkpoint: Path | None) -> tuple[Path, str | None]:
    if checkpoint is not None:
        return checkpoint, None
    return installed_weights(card)


def _untrained_sam2(card: ModelCard, size: int) -> nn.Module:
    return build_sam2(CONFIGS[card.config].with_image_size(size))


def _load_random(card: ModelCard, checkpoint: Path | None, size: int) -> LoadedModel:
    if checkpoint is not None:
        msg = f"{card.name} is made of random weights and takes no file of weights."
        raise ModelError(msg)
    if card.tracker is Tracker.CHAIN:
        recipe = f"{card.config} {TINY_RANDOM_SEED}"
        module = build_tiny_chain(TINY_RANDOM_SEED)
    else:
        config = CONFIGS[card.config].with_image_size(size)
        recipe = f"{config} {TINY_RANDOM_SEED}"
        module = random_weights(config, TINY_RANDOM_SEED)
    return LoadedModel(card, module, hashlib.sha256(recipe.encode()).hexdigest(), size)
