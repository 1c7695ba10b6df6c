"""Masks of slices: packing, boxes and putting them back into a volume."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .geometry import BoxRC, SliceAxis

BoolArray = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class PackedMask:
    """A slice's mask, eight pixels to a byte.

    Args:
        bits: ``np.packbits`` of the flattened mask.
        shape_rc: rows and columns.
    """

    bits: npt.NDArray[np.uint8]
    shape_rc: tuple[int, int]

    @classmethod
    def pack(cls, mask_rc: npt.ArrayLike) -> PackedMask:
        """Packs a boolean mask ``[rows, columns]``."""
        mask = np.asarray(mask_rc, dtype=bool)
        return cls(np.packbits(mask.ravel()), (mask.shape[0], mask.shape[1]))

    def unpack(self) -> BoolArray:
        """Returns the mask as booleans ``[rows, columns]``."""
        rows, columns = self.shape_rc
        flat = np.unpackbits(self.bits, count=rows * columns)
        return flat.reshape(rows, columns).astype(bool)


def bounding_box_rc(mask_rc: BoolArray) -> BoxRC | None:
    """Returns the inclusive box around the mask's true pixels, or None where there are none."""
    rows = np.flatnonzero(mask_rc.any(axis=1))
    columns = np.flatnonzero(mask_rc.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1])


def stack_slices(
    masks_rc: Mapping[int, PackedMask], axis: SliceAxis, shape_kji: tuple[int, int, int]
) -> BoolArray:
    """Puts slices across ``axis`` into one boolean mask ``[K, J, I]``; the rest stays False."""
    mask_kji = np.zeros(shape_kji, dtype=bool)
    slices_first = np.moveaxis(mask_kji, axis.value, 0)
    for index, mask_rc in masks_rc.items():
        slices_first[index] = mask_rc.unpack()
    return mask_kji
