"""The engine's backend: a model on a device in this process."""

from __future__ import annotations

import dataclasses

from medsam2.core.backend import Backend, ModelInfo, SessionOptions
from medsam2.core.errors import SessionClosedError
from medsam2.core.intensity import resolve_window
from medsam2.core.volume import Volume
from medsam2.models.load import LoadedModel

from .device import Compute, choose_compute
from .features import FeatureCache
from .session import LocalSession
from .trackers import Model, make_model


class LocalBackend(Backend):
    """A model that opens sessions in this process.

    The model and the cache of encoded slices are shared by its sessions. Sessions may be used from
    any thread, one call at a time over all sessions of a backend.

    Args:
        loaded: a model with its weights.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        feature_bytes: how much to keep of encoded slices; None takes what suits the device.

    Raises:
        DeviceError: the device isn't there.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        device: str = "auto",
        precision: str = "auto",
        feature_bytes: int | None = None,
    ) -> None:
        self._loaded = loaded
        self._compute = choose_compute(device, precision)
        if feature_bytes is not None:
            self._compute = dataclasses.replace(self._compute, feature_bytes=feature_bytes)
        self._features = FeatureCache(self._compute.feature_bytes)
        self._model: Model | None = make_model(loaded, self._compute)

    @property
    def model(self) -> ModelInfo:
        """Which model it is and what it takes."""
        card = self._loaded.card
        return ModelInfo(
            card.name,
            card.prompts,
            str(self._compute.device),
            self._loaded.weights_sha256,
            card.license,
        )

    @property
    def compute(self) -> Compute:
        """Device and number format in use."""
        return self._compute

    @property
    def features(self) -> FeatureCache:
        """Encoded slices kept for later prompts."""
        return self._features

    def open(self, volume: Volume, options: SessionOptions | None = None) -> LocalSession:
        """Opens a session on a volume; see :class:`medsam2.core.backend.Backend`."""
        if self._model is None:
            msg = "The backend is closed; make a new one."
            raise SessionClosedError(msg)
        options = options or SessionOptions()
        window = resolve_window(volume, options.window)
        tracker = self._model.open(volume, options, window, self._features)
        return LocalSession(volume, options, window, tracker)

    def forget(self, content_hash: str) -> None:
        """Frees what is kept of a volume that nobody needs any more."""
        self._features.forget(content_hash)

    def close(self) -> None:
        """Frees the model and all features."""
        self._model = None
        self._features.clear()
