"""What an object's intensities look like, learned while it is followed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from medsam2.core.masks import BoolArray

FloatArray = npt.NDArray[np.floating[Any]]

BINS = 16
DECAY = 0.7
"""How much of what was learned before counts when a slice is added."""
LIMIT = 2.0
"""Largest log-likelihood ratio: intensities may sway a doubtful pixel, not overrule the model."""
FLOOR = 0.02
FEWEST_PIXELS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Appearance:
    """Histograms of windowed intensities (0..1) inside an object and around it.

    Args:
        inside: sums of normalised histograms, recent slices counting most, ``[BINS]``.
        outside: likewise of the surroundings.
    """

    inside: FloatArray = dataclasses.field(default_factory=lambda: np.zeros(BINS))
    outside: FloatArray = dataclasses.field(default_factory=lambda: np.zeros(BINS))

    def updated(self, image_rc: FloatArray, mask_rc: BoolArray, area_rc: BoolArray) -> Appearance:
        """Adds a slice: ``mask_rc`` is the object, the rest of ``area_rc`` is not."""
        around_rc = area_rc & ~mask_rc
        if min(mask_rc.sum(), around_rc.sum()) < FEWEST_PIXELS:
            return self
        return Appearance(
            DECAY * self.inside + _histogram(image_rc[mask_rc]),
            DECAY * self.outside + _histogram(image_rc[around_rc]),
        )

    def log_ratio(self, image_rc: FloatArray) -> FloatArray:
        """Each pixel's log-likelihood ratio of object to surroundings, within +-``LIMIT``."""
        if not self.inside.any():
            return np.zeros(image_rc.shape)
        ratio = np.log(self.inside / self.inside.sum()) - np.log(self.outside / self.outside.sum())
        return np.asarray(np.clip(ratio, -LIMIT, LIMIT)[_bins(image_rc)], dtype=np.float64)


def _bins(values: FloatArray) -> npt.NDArray[np.intp]:
    return np.clip((values * BINS).astype(np.intp), 0, BINS - 1)


def _histogram(values: FloatArray) -> FloatArray:
    from scipy import ndimage

    counts = np.bincount(_bins(values), minlength=BINS).astype(np.float64)
    smooth = ndimage.gaussian_filter1d(counts, 1.0, mode="nearest")
    smooth = smooth + FLOOR * max(1, values.size) / BINS
    return np.asarray(smooth / smooth.sum(), dtype=np.float64)
