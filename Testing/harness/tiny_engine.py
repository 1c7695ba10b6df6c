"""A session on the tiny random model: everything runs as with real weights, in milliseconds."""

from __future__ import annotations

import torch

from medsam2.core.backend import SessionOptions
from medsam2.core.intensity import resolve_window
from medsam2.core.volume import Volume
from medsam2.engine.backend import LocalBackend
from medsam2.engine.device import Compute
from medsam2.engine.features import FeatureCache
from medsam2.engine.memory_tracker import MemoryTracker
from medsam2.engine.sam2_model import SAM2Model
from medsam2.engine.session import LocalSession
from medsam2.engine.source import SliceSource
from medsam2.models.load import load_model
from medsam2.models.sam2_builder import random_weights
from medsam2.models.sam2_config import TINY_RANDOM


def tiny_model(dtype: torch.dtype = torch.float32, object_batch: int = 1) -> SAM2Model:
    """The tiny random model on the CPU."""
    compute = Compute(torch.device("cpu"), dtype, object_batch=object_batch)
    return SAM2Model(random_weights(TINY_RANDOM), compute)


def tiny_tracker(
    model: SAM2Model,
    volume: Volume,
    options: SessionOptions | None = None,
    cache: FeatureCache | None = None,
    batch: int = 1,
) -> MemoryTracker:
    """A tracker on a volume."""
    options = options or SessionOptions()
    source = SliceSource(
        volume,
        options.axis,
        resolve_window(volume, options.window),
        weights="tiny",
        dtype=model.compute.dtype,
        encode=model.encode,
        cache=FeatureCache(64 << 20) if cache is None else cache,
        batch=batch,
    )
    return MemoryTracker(model, source, crop=options.crop)


def tiny_session(
    volume: Volume,
    options: SessionOptions | None = None,
    *,
    model: SAM2Model | None = None,
    cache: FeatureCache | None = None,
) -> LocalSession:
    """A session on a volume."""
    options = options or SessionOptions(stop_after_empty=0)
    tracker = tiny_tracker(model or tiny_model(), volume, options, cache)
    return LocalSession(volume, options, resolve_window(volume, options.window), tracker)


def backend_for(name: str = "tiny-random") -> LocalBackend:
    """A backend on the CPU in float32."""
    return LocalBackend(load_model(name), "cpu", "fp32")
