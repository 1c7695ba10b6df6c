"""Dice and normalised surface Dice, with the conventions for empty masks stated."""

from __future__ import annotations

import warnings

import numpy as np

from medsam2.core.masks import BoolArray


def dice(predicted_kji: BoolArray, reference_kji: BoolArray) -> float:
    """Dice similarity coefficient; 1 where both masks are empty."""
    total = int(predicted_kji.sum()) + int(reference_kji.sum())
    if total == 0:
        return 1.0
    return 2.0 * int(np.count_nonzero(predicted_kji & reference_kji)) / total


def surface_dice(
    predicted_kji: BoolArray,
    reference_kji: BoolArray,
    spacing_ijk: tuple[float, float, float],
    tolerance_mm: float = 2.0,
) -> float:
    """Normalised surface Dice (Nikolov et al. 2018, arXiv:1809.04430) at a tolerance in mm.

    1 where both masks are empty, 0 where one is.
    """
    import surface_distance

    if not predicted_kji.any() or not reference_kji.any():
        return float(predicted_kji.any() == reference_kji.any())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = surface_distance.compute_surface_distances(
            reference_kji, predicted_kji, spacing_ijk[::-1]
        )
    found = surface_distance.compute_surface_dice_at_tolerance(distances, tolerance_mm)
    return float(found)
