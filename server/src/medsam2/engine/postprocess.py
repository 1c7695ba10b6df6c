"""Cleaning a mask in 3D: its largest piece, and its holes. Off unless asked for."""

from __future__ import annotations

import numpy as np

from medsam2.core.geometry import SliceAxis
from medsam2.core.masks import BoolArray


def keep_largest(mask_kji: BoolArray) -> BoolArray:
    """Returns the largest connected piece of a mask ``[K, J, I]``.

    Voxels that touch at a face, an edge or a corner are connected. Of pieces of equal size the one
    with the lowest indices is kept; an empty mask stays empty.
    """
    from scipy import ndimage

    labels_kji, count = ndimage.label(mask_kji, structure=np.ones((3, 3, 3), dtype=bool))
    if count < 2:
        return np.asarray(mask_kji, dtype=bool).copy()
    sizes = np.bincount(labels_kji.ravel())
    return np.asarray(labels_kji == 1 + int(np.argmax(sizes[1:])), dtype=bool)


def fill_holes(mask_kji: BoolArray, axis: SliceAxis | None = None) -> BoolArray:
    """Returns a mask ``[K, J, I]`` with its holes filled.

    Args:
        mask_kji: any mask.
        axis: None fills what is enclosed in 3D; an axis fills what is enclosed within each slice
            across it, a tube's inside, say, that is open at both ends.
    """
    from scipy import ndimage

    if axis is None:
        return np.asarray(ndimage.binary_fill_holes(mask_kji), dtype=bool)
    filled_kji = np.array(mask_kji, dtype=bool)
    for slice_rc in np.moveaxis(filled_kji, axis.value, 0):
        if slice_rc.any():
            slice_rc[...] = ndimage.binary_fill_holes(slice_rc)
    return filled_kji
