"""From a loaded model to a tracker on an opened volume."""

from __future__ import annotations

from typing import Protocol

from medsam2.core.backend import SessionOptions
from medsam2.core.intensity import Window
from medsam2.core.volume import Volume
from medsam2.models.load import LoadedModel
from medsam2.models.registry import Tracker as Following

from .chain_tracker import ChainTracker
from .device import Compute
from .features import FeatureCache
from .memory_tracker import MemoryTracker
from .sam1_model import SAM1Model
from .sam2_model import SAM2Model
from .source import SliceSource
from .tracker import Tracker


class Model(Protocol):
    """A model on its device, shared by all sessions of a backend."""

    def open(
        self, volume: Volume, options: SessionOptions, window: Window, features: FeatureCache
    ) -> Tracker:
        """Makes a tracker for one volume."""
        ...


def make_model(loaded: LoadedModel, compute: Compute) -> Model:
    """Puts a loaded model onto its device."""
    if loaded.card.tracker is Following.CHAIN:
        return ChainModel(loaded, compute)
    return MemoryModel(loaded, compute)


class MemoryModel:
    """A SAM2-family model."""

    def __init__(self, loaded: LoadedModel, compute: Compute) -> None:
        self._weights = loaded.weights_sha256
        self._model = SAM2Model(loaded.module, compute)

    def open(
        self, volume: Volume, options: SessionOptions, window: Window, features: FeatureCache
    ) -> Tracker:
        """Makes a memory tracker."""
        source = _source(self._model, self._weights, volume, options, window, features)
        return MemoryTracker(self._model, source, crop=options.crop)


class ChainModel:
    """A single-slice model: LiteMedSAM, MedSAM or SAM1."""

    def __init__(self, loaded: LoadedModel, compute: Compute) -> None:
        self._weights = loaded.weights_sha256
        self._model = SAM1Model(loaded, compute)

    def open(
        self, volume: Volume, options: SessionOptions, window: Window, features: FeatureCache
    ) -> Tracker:
        """Makes a chain tracker."""
        source = _source(self._model, self._weights, volume, options, window, features)
        return ChainTracker(self._model, source, crop=options.crop)


def _source(
    model: SAM1Model | SAM2Model,
    weights: str,
    volume: Volume,
    options: SessionOptions,
    window: Window,
    features: FeatureCache,
) -> SliceSource:
    return SliceSource(
        volume,
        options.axis,
        window,
        weights=weights,
        dtype=model.compute.dtype,
        encode=model.encode,
        cache=features,
        batch=model.compute.encoder_batch,
    )
