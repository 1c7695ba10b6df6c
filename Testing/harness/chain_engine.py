"""Sessions that follow objects by box chaining: tiny random model, LiteMedSAM or a plain rule."""

from __future__ import annotations

import functools

import torch

from medsam2.core.backend import SessionOptions
from medsam2.core.intensity import resolve_window
from medsam2.core.volume import Volume
from medsam2.engine.chain_tracker import ChainTracker
from medsam2.engine.device import Compute
from medsam2.engine.features import FeatureCache, Features
from medsam2.engine.sam1_model import SAM1Model
from medsam2.engine.session import LocalSession
from medsam2.engine.source import SliceSource
from medsam2.models.load import load_model


class ThresholdModel(SAM1Model):
    """Sees exactly what is brighter than half in and a little around a box.

    Its input and its logits have 64 x 64 pixels: a slice of that size is neither resized nor blurred.
    """

    REACH = 4

    def __init__(self) -> None:
        self.compute = Compute(torch.device("cpu"), torch.float32)
        self.size = 64

    def encode(self, images: torch.Tensor) -> list[Features]:
        return [(image.mean(dim=0),) for image in images]

    def decode(
        self, features: Features, boxes_xy: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        y, x = torch.meshgrid(*[torch.arange(self.size)] * 2, indexing="ij")
        low, high = boxes_xy[:, :2] - self.REACH, boxes_xy[:, 2:] + self.REACH
        seen = [
            (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1) & (features[0] > 0.5)
            for (x0, y0), (x1, y1) in zip(low, high, strict=True)
        ]
        return torch.stack(seen).float() * 10 - 5, torch.full((len(seen),), 0.9)


@functools.cache
def chain_model(name: str = "tiny-random-chain") -> SAM1Model:
    """A single-slice model on the CPU in float32; ``litemedsam`` is the real one."""
    return SAM1Model(load_model(name), Compute(torch.device("cpu"), torch.float32))


def chain_tracker(
    volume: Volume,
    options: SessionOptions | None = None,
    *,
    model: SAM1Model | None = None,
    cache: FeatureCache | None = None,
    batch: int = 1,
) -> ChainTracker:
    """A tracker on a volume."""
    options, model = options or SessionOptions(), model or chain_model()
    source = SliceSource(
        volume,
        options.axis,
        resolve_window(volume, options.window),
        weights=f"chain {model.size}",
        dtype=model.compute.dtype,
        encode=model.encode,
        cache=FeatureCache(64 << 20) if cache is None else cache,
        batch=batch,
    )
    return ChainTracker(model, source, crop=options.crop)


def chain_session(
    volume: Volume,
    options: SessionOptions | None = None,
    *,
    model: SAM1Model | None = None,
    cache: FeatureCache | None = None,
) -> LocalSession:
    """A session on a volume."""
    options = options or SessionOptions(stop_after_empty=0)
    tracker = chain_tracker(volume, options, model=model, cache=cache)
    return LocalSession(volume, options, resolve_window(volume, options.window), tracker)
