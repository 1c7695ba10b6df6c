"""Which models there are: where their weights come from, under which licence, what they take."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import importlib.resources
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from medsam2.core.errors import UnknownModelError


class Family(enum.Enum):
    """Which code builds a model and prepares its input."""

    LITEMEDSAM = "litemedsam"
    SAM2 = "sam2"
    SAM1 = "sam1"
    TINY_RANDOM = "tiny-random"


class Tracker(enum.Enum):
    """How a model follows an object from slice to slice."""

    CHAIN = "chain"
    """The box of one slice's mask prompts the next."""
    MEMORY = "memory"
    """The model remembers the slices before."""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """One model of the registry.

    Args:
        name: what a user types.
        title: one line for a list.
        family: which code builds it.
        tracker: how it follows an object.
        image_size: side of its square input, in pixels, unless another is asked for.
        config: the architecture's name.
        license: of the weights.
        prompts: kinds of prompt that can be given: ``box``, ``line``, ``mask``, ``point``, ``roi``.
        megabytes: about how large the weights are.
        research_only: whether their authors ask not to use them otherwise.
        url: where the weights are; None if they come inside a package, or from a page for people.
        file: the weights' name on disk; None if there is nothing to keep.
        sha256: of the weights; None if their publisher gives none (see
            :mod:`medsam2.models.library`).
        how_to_get: what to do where there is no ``url``.
    """

    name: str
    title: str
    family: Family
    tracker: Tracker
    image_size: int
    config: str
    license: str
    prompts: frozenset[str]
    megabytes: int = 0
    research_only: bool = False
    url: str | None = None
    file: str | None = None
    sha256: str | None = None
    how_to_get: str | None = None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Makes a card of the registry's entry."""
        values = dict(entry)
        values["family"] = Family(values["family"])
        values["tracker"] = Tracker(values["tracker"])
        values["prompts"] = frozenset(values["prompts"])
        return cls(**values)

    @property
    def trusts_first_download(self) -> bool:
        """Whether the weights are kept in a file whose publisher gives no sha256."""
        return self.file is not None and self.sha256 is None


@functools.cache
def cards() -> Mapping[str, ModelCard]:
    """Returns every model by name, in the order in which they should be offered."""
    text = importlib.resources.files(__package__).joinpath("registry.json").read_text("utf-8")
    found = [ModelCard.from_json(entry) for entry in json.loads(text)]
    return MappingProxyType({card.name: card for card in found})


def card_of(model: str | ModelCard) -> ModelCard:
    """Returns the card of a name; a card is returned as it is.

    Raises:
        UnknownModelError: no model has this name.
    """
    if isinstance(model, ModelCard):
        return model
    found = cards().get(model)
    if found is None:
        near = difflib.get_close_matches(model, cards(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(cards())}."
        msg = f"There is no model {model}; {hint}"
        raise UnknownModelError(msg)
    return found
