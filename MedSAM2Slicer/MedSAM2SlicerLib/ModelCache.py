"""The models: which there are, what is on this computer, fetching, checking and removing weights.

The list needs nothing installed. Weights are shared with the bundled server and the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import Paths
from .Messages import inWordsOfThePanel
from .Settings import Settings

if TYPE_CHECKING:
    from medsam2.models.registry import ModelCard

INSTALLED, BUNDLED, ABSENT = "installed", "bundled", "absent"
"""Downloaded; inside an installed package, never downloaded or deleted; neither."""

_STATE_WORDS = {INSTALLED: "installed", BUNDLED: "comes with the packages", ABSENT: "not installed"}


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A model, as the list shows it.

    Args:
        name: in the registry.
        title: one line for the user.
        license: of the weights.
        researchOnly: whether their authors ask not to use them otherwise.
        megabytes: about how large they are.
        prompts: kinds that it takes: ``box``, ``line``, ``mask``, ``point``, ``roi``.
        state: :data:`INSTALLED`, :data:`BUNDLED` or :data:`ABSENT`.
        sizeBytes: on this computer.
        canDownload: whether there is an address to fetch it from.
        warning: what the user should know before a download; empty for nothing.
    """

    name: str
    title: str
    license: str
    researchOnly: bool
    megabytes: int
    prompts: frozenset[str]
    state: str
    sizeBytes: int
    canDownload: bool
    warning: str

    @property
    def text(self) -> str:
        """One line with name, size, licence and state."""
        research = ", research only" if self.researchOnly else ""
        return (
            f"{self.name}: {self.title} ({self.megabytes} MB, {self.license}{research}, "
            f"{_STATE_WORDS[self.state]})"
        )


class ModelCache:
    """The models on this computer.

    Args:
        settings: hold the user's consent to downloads.

    Threading: :meth:`download` and :meth:`checkCheckpoint` in a worker thread, they take long; the
    rest anywhere.
    """

    def __init__(self, settings: Settings) -> None:
        Paths.useBundledServer()
        self._settings = settings

    def listModels(self) -> list[ModelEntry]:
        """Every model for users, in the order in which they should be offered."""
        from medsam2.models.registry import Family, cards

        return [self._entry(c) for c in cards().values() if c.family is not Family.TINY_RANDOM]

    @inWordsOfThePanel()
    def entry(self, name: str) -> ModelEntry:
        """One model.

        Raises:
            UnknownModelError: no model has this name.
        """
        from medsam2.models.registry import card_of

        return self._entry(card_of(name))

    @inWordsOfThePanel()
    def download(
        self,
        name: str,
        progress: Callable[[int, int | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Path:
        """Fetches a model's weights unless sound ones are here; returns their file.

        Args:
            name: in the registry.
            progress: called with the bytes that are here and, where known, all.
            cancelled: asked often; what has come by then is kept for the next time.

        Raises:
            ModelError: the user has not agreed to downloads, or the weights can't be had.
            CancelledError: ``cancelled`` said so.
            OutputError: the disk is full or can't be written.
        """
        from medsam2.core.errors import ModelError

        if not self._settings.downloadsAllowed:
            msg = f"Downloads have not been agreed to; read the licence of {name} and agree first."
            raise ModelError(msg)
        from medsam2.models.library import download_model

        return download_model(name, progress, cancelled)

    @inWordsOfThePanel()
    def delete(self, name: str) -> int:
        """Removes downloaded weights, whole or in part; returns the bytes freed.

        Raises:
            ModelError: they come inside a package.
            UnwritableOutputError: they can't be removed.
        """
        from medsam2.models.library import remove_model

        return remove_model(name)

    def folder(self) -> Path:
        """Where weights are kept; it need not exist yet."""
        from medsam2.models.library import where

        return where()

    def diskUse(self) -> int:
        """Bytes that the folder of weights takes, unfinished downloads included."""
        try:
            folder = self.folder()
        except ModuleNotFoundError:
            return 0
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    @inWordsOfThePanel()
    def checkCheckpoint(self, architecture: str, path: Path) -> str:
        """Reads the user's own weights into the model they are said to be of; returns their sha256.

        No code in the file is run.

        Raises:
            UnknownModelError: no model has this name.
            WeightsMissingError: there is no such file.
            WeightsMismatchError: they are of another architecture.
            UnsafeWeightsError: reading the file could run code; it was not read.
            ModelError: the file is damaged, or the model takes none.
        """
        from medsam2.core.errors import WeightsMissingError

        if not path.is_file():
            msg = f"There is no file {path}; choose the checkpoint again."
            raise WeightsMissingError(msg)
        from medsam2.models.load import load_model

        return load_model(architecture, checkpoint=path).weights_sha256

    def _entry(self, card: ModelCard) -> ModelEntry:
        state, size = _stateOf(card)
        return ModelEntry(
            card.name,
            card.title,
            card.license,
            card.research_only,
            card.megabytes,
            card.prompts,
            state,
            size,
            card.url is not None,
            _warning(card),
        )


def _stateOf(card: ModelCard) -> tuple[str, int]:
    """A model's state, and its weights' bytes on this computer."""
    try:
        from medsam2.models.library import model_status
    except ModuleNotFoundError:  # nothing is installed yet
        return ABSENT, 0
    status = model_status(card)
    if not status.installed:
        return ABSENT, 0
    return (BUNDLED if card.file is None else INSTALLED), status.size_bytes


def _warning(card: ModelCard) -> str:
    """What the library says of weights whose publisher gives no checksum."""
    if not card.trusts_first_download:
        return ""
    return (
        "The publisher gives no checksum; that of the first download is recorded, and every later use "
        "is compared with it."
    )
