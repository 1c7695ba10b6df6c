"""Encoded slices of one opened volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.volume import Volume

from .features import FeatureCache, FeatureKey, Features
from .frame import SliceFrame

Encode = Callable[[torch.Tensor], list[Features]]


class SliceSource:
    """Gives the features of a volume's slices, encoding each (slice, crop) once.

    Slices are windowed, cropped and resized one at a time as they are needed; the volume is never
    copied as a whole.

    Args:
        volume: the opened volume.
        axis: its slices' axis.
        window: how intensities are shown to the model.
        weights: the weights' sha256.
        dtype: number format of the features.
        encode: turns images ``[n, channels, size, size]`` in 0..1 into ``n`` features.
        cache: where features are kept; may be shared with other sources.
        batch: slices encoded at once.
    """

    def __init__(
        self,
        volume: Volume,
        axis: SliceAxis,
        window: Window,
        *,
        weights: str,
        dtype: torch.dtype,
        encode: Encode,
        cache: FeatureCache,
        batch: int = 1,
    ) -> None:
        self.volume = volume
        self.axis = axis
        self.window = window
        self.batch = batch
        self._weights = weights
        self._dtype = dtype
        self._encode = encode
        self._cache = cache

    def features(self, frame: SliceFrame, index: int, ahead: Sequence[int] = ()) -> Features:
        """Returns the features of slice ``index``; those of ``ahead`` may be made with it."""
        key = self._key(frame, index)
        keys = [key]
        if self.batch > 1 and key not in self._cache:
            wanted = [self._key(frame, other) for other in ahead if other != index]
            keys += [k for k in wanted if k not in self._cache][: self.batch - 1]
        return self._cache.get(keys, self._encode_keys)[0]

    def shrink(self) -> None:
        """Frees all kept features, keeps fewer from now on and encodes one slice at a time."""
        self._cache.shrink()
        self.batch = 1

    def _key(self, frame: SliceFrame, index: int) -> FeatureKey:
        return FeatureKey(
            self.volume.content_hash,
            self.axis,
            index,
            frame,
            self.window,
            self._weights,
            self._dtype,
        )

    def _encode_keys(self, keys: Sequence[FeatureKey]) -> list[Features]:
        images = [
            key.frame.image(self.volume.slice_rc(self.axis, key.index), self.window) for key in keys
        ]
        return self._encode(torch.stack(images))
