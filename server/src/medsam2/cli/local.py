"""The one door to the engine: a model in this process."""

from __future__ import annotations

from pathlib import Path

from medsam2.core.backend import Backend


def make_backend(
    model: str, checkpoint: Path | None, device: str, precision: str, image_size: int | None = None
) -> Backend:
    """Loads a model; torch is imported here, not before.

    Raises:
        ModelError: the model or its weights can't be used.
        DeviceError: the device isn't there.
    """
    from medsam2.engine.backend import LocalBackend
    from medsam2.models.load import load_model

    return LocalBackend(
        load_model(model, checkpoint=checkpoint, image_size=image_size), device, precision
    )
