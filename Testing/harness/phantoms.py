"""Synthetic volumes with a known answer."""

from __future__ import annotations

import numpy as np

from medsam2.core.masks import BoolArray
from medsam2.core.volume import Volume


def moving_ball(
    shape_kji: tuple[int, int, int] = (12, 64, 64), seed: int = 0, drift: float = 1.0
) -> tuple[Volume, BoolArray]:
    """A bright disc that drifts from slice to slice in noise, and its mask ``[K, J, I]``."""
    rng = np.random.default_rng(seed)
    count, rows, columns = shape_kji
    k, j, i = np.ogrid[:count, :rows, :columns]
    centre_i = columns / 2 + drift * (k - count / 2)
    mask_kji = np.hypot(j - rows / 2, i - centre_i) < min(rows, columns) / 5
    voxels = rng.normal(60, 8, shape_kji) + 120 * mask_kji
    return Volume(voxels.clip(0, 255).astype(np.uint8), np.diag([0.8, 0.8, 2.0, 1.0])), mask_kji
