"""The models on this machine: what is there, fetching, checking and removing it.

Some publishers give no checksum of their weights. For these the sha256 of the first file that is
seen is written beside it, and every later use is compared with that: the first download is trusted,
a later change is found. :data:`TRUST_ON_FIRST_USE` says so to the user.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from medsam2.core.errors import (
    DownloadError,
    ModelError,
    UnwritableOutputError,
    WeightsHashError,
    WeightsMissingError,
)

from .cache import embedded_weights, models_dir, recorded_sha256_path, weights_path
from .download import Cancel, Patience, Progress, download
from .hashing import file_sha256
from .part_file import PartFile
from .registry import Family, ModelCard, card_of, cards

TRUST_ON_FIRST_USE: Final = (
    "The publisher gives no checksum of these weights. The sha256 of the file that you have now is "
    "recorded beside it, and every later use is compared with it."
)


@dataclasses.dataclass(frozen=True)
class ModelStatus:
    """A model, and whether it can be used now.

    Args:
        card: which one.
        installed: whether it can be loaded without a download.
        path: its file of weights, None if it has none here.
        size_bytes: of that file; 0 if there is none.
    """

    card: ModelCard
    installed: bool
    path: Path | None
    size_bytes: int


def where() -> Path:
    """Returns the folder in which downloaded weights are kept; it need not exist yet."""
    return models_dir()


def list_models() -> list[ModelStatus]:
    """Returns every model, in the order in which they should be offered."""
    return [model_status(card) for card in cards().values()]


def model_status(model: str | ModelCard) -> ModelStatus:
    """Returns whether a model can be used now.

    Raises:
        UnknownModelError: no model has this name.
    """
    card = card_of(model)
    path = _present(card)
    size = 0 if path is None else path.stat().st_size
    return ModelStatus(card, path is not None or card.family is Family.TINY_RANDOM, path, size)


def download_model(
    model: str | ModelCard,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    patience: Patience | None = None,
) -> Path:
    """Downloads a model's weights, unless sound ones are there, and returns where they are.

    Raises:
        UnknownModelError: no model has this name.
        DownloadError: there is no address to download from, or it failed.
        ModelError: the model has nothing to download.
        MedSAM2Error: as :func:`medsam2.models.download.download`.
    """
    card = card_of(model)
    target = weights_path(card)
    if target is None:
        hint = f"; {card.how_to_get}" if card.how_to_get else ""
        msg = f"{card.name} needs no download{hint}."
        raise ModelError(msg)
    if target.is_file():
        with contextlib.suppress(WeightsHashError):
            return installed_weights(card)[0]
    if card.url is None:
        msg = f"{card.name} has no direct address: {card.how_to_get}; put it at {target}."
        raise DownloadError(msg)
    sha256 = download(
        card.url,
        target,
        sha256=card.sha256 or _recorded(target),
        accept=_check_readable if card.trusts_first_download else None,
        progress=progress,
        cancel=cancel,
        patience=patience,
    )
    if card.trusts_first_download:
        _record(target, sha256)
    return target


def verify_model(model: str | ModelCard) -> str:
    """Compares a model's weights with their sha256 and returns it.

    Raises:
        UnknownModelError: no model has this name.
        WeightsMissingError: its weights are not on this machine.
        WeightsHashError: they are not what they should be.
        ModelError: it has no weights to verify.
    """
    card = card_of(model)
    if card.family is Family.TINY_RANDOM:
        msg = f"{card.name} is made of random weights; there is nothing to verify."
        raise ModelError(msg)
    return installed_weights(card)[1]


def remove_model(model: str | ModelCard) -> int:
    """Removes a model's downloaded weights, whole or in part, and returns the bytes freed.

    Raises:
        UnknownModelError: no model has this name.
        ModelError: its weights come inside a package, or it has none.
        UnwritableOutputError: they can't be removed.
    """
    card = card_of(model)
    target = weights_path(card)
    if target is None:
        msg = f"{card.name} keeps no file of its own; there is nothing to remove."
        raise ModelError(msg)
    part = PartFile(target)
    freed = 0
    with _removing(target):
        for path in (target, recorded_sha256_path(target), *part.leftovers):
            if path.is_file():
                freed += path.stat().st_size
                path.unlink()
    return freed


def installed_weights(card: ModelCard) -> tuple[Path, str]:
    """Returns a model's file of weights on this machine and its sha256, compared.

    Raises:
        WeightsMissingError: it is not on this machine.
        WeightsHashError: it is not the file that it should be.
    """
    path = _present(card)
    if path is None:
        raise _missing(card)
    found = file_sha256(path)
    expected = card.sha256 or _recorded(path)
    if expected is None:
        _record(path, found)
    elif found != expected:
        whose = "the registry's" if card.sha256 else "what was recorded when it was first seen"
        msg = (
            f"{path} is not the file it should be: its sha256 is {found}, not {expected}, {whose}. "
            f"Remove the model {card.name} and download it again."
        )
        raise WeightsHashError(msg)
    return path, found


def _present(card: ModelCard) -> Path | None:
    if card.family is Family.LITEMEDSAM:
        with contextlib.suppress(WeightsMissingError):
            return embedded_weights()
        return None
    target = weights_path(card)
    return target if target is not None and target.is_file() else None


def _missing(card: ModelCard) -> WeightsMissingError:
    target = weights_path(card)
    if card.url is None:
        place = f" and put it at {target}" if target is not None else ""
        msg = f"{card.name} is not on this machine; {card.how_to_get}{place}."
    else:
        msg = (
            f"{card.name} is not on this machine; run: medsam2 models download {card.name} "
            f"({card.megabytes} MB), or put the file at {target}."
        )
    return WeightsMissingError(msg)


def _check_readable(path: Path) -> None:
    """Finds a page of a network's login, say, that came in place of weights without a checksum."""
    from .weights import read_state_dict

    read_state_dict(path)


def _recorded(weights: Path) -> str | None:
    try:
        return recorded_sha256_path(weights).read_text(encoding="ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _record(weights: Path, sha256: str) -> None:
    # A folder that others keep for us may be read-only: then there is nothing to compare with.
    with contextlib.suppress(OSError):
        part = recorded_sha256_path(weights).with_suffix(".sha256.part")
        part.write_text(sha256 + "\n", encoding="ascii")
        part.replace(recorded_sha256_path(weights))


@contextlib.contextmanager
def _removing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"{target} can't be removed ({error.strerror}); check its folder's permissions."
        raise UnwritableOutputError(msg) from error
