"""What the model sees of a slice: a crop, resized to the model's square input.

A :class:`SliceFrame` maps between a slice's ``rc`` pixels and the model's ``rc`` pixels (suffix
``_model``). Both count pixel *centres* at integers, so a crop's edge at ``row0 - 0.5`` falls on
``-0.5`` of the input. The crop is turned as on a reading station and keeps its physical aspect: its
longer side in mm fills the input, the rest of the square, below or to the right, stays zero.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from medsam2.core.geometry import BoxRC, FloatArray
from medsam2.core.intensity import Window
from medsam2.core.masks import BoolArray

from .orientation import STORED, Orientation


@dataclasses.dataclass(frozen=True)
class SliceFrame:
    """A crop of a slice and the size the model sees it at.

    Args:
        crop_rc: inclusive ``row0, col0, row1, col1``.
        shape_rc: rows and columns of the whole slice.
        fitted_model: rows and columns that the crop takes in the model's input.
        size: the model's input has ``size`` x ``size`` pixels.
        orientation: how the crop is turned before it is fitted.
    """

    crop_rc: BoxRC
    shape_rc: tuple[int, int]
    fitted_model: tuple[int, int]
    size: int
    orientation: Orientation = STORED

    @classmethod
    def fit(
        cls,
        crop_rc: BoxRC,
        shape_rc: tuple[int, int],
        spacing_rc: tuple[float, float],
        size: int,
        orientation: Orientation = STORED,
    ) -> SliceFrame:
        """Fits a crop into ``size`` x ``size`` pixels, keeping its shape in mm."""
        rows_mm = (crop_rc[2] - crop_rc[0] + 1) * spacing_rc[0]
        columns_mm = (crop_rc[3] - crop_rc[1] + 1) * spacing_rc[1]
        scale = size / max(rows_mm, columns_mm)
        fitted_rc = max(1, round(rows_mm * scale)), max(1, round(columns_mm * scale))
        return cls(crop_rc, shape_rc, orientation.shape(fitted_rc), size, orientation)

    @property
    def crop_shape_rc(self) -> tuple[int, int]:
        """Rows and columns of the crop."""
        row0, col0, row1, col1 = self.crop_rc
        return row1 - row0 + 1, col1 - col0 + 1

    def crop(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of the crop in a slice ``[rows, columns, ...]``."""
        row0, col0, row1, col1 = self.crop_rc
        return plane[row0 : row1 + 1, col0 : col1 + 1]

    def to_model(self, points_rc: npt.ArrayLike) -> FloatArray:
        """Maps points ``[..., 2]`` of the slice into the model's input."""
        inside = np.asarray(points_rc, dtype=np.float64) - np.array(self.crop_rc[:2])
        view = self.orientation.points(inside, self.crop_shape_rc)
        scale = np.array(self.fitted_model) / np.array(self._view_shape)
        return np.asarray((view + 0.5) * scale - 0.5, dtype=np.float64)

    def boxes_to_model(self, boxes_rc: npt.ArrayLike) -> FloatArray:
        """Maps boxes ``[n, 4]`` (first and last pixel) to (x0, y0, x1, y1) of the input.

        First and last pixels go to first and last pixels: a box keeps its edges, half a pixel
        beyond its corners' centres. Corners are cut at the crop's border.
        """
        boxes = np.asarray(boxes_rc, dtype=np.float64).reshape(-1, 2, 2)
        edges = self.to_model(boxes + np.array([[[-0.5], [0.5]]]))
        low, high = edges.min(axis=1) + 0.5, edges.max(axis=1) - 0.5
        limit = np.array(self.fitted_model) - 1.0
        low, high = np.clip(low, 0, limit), np.clip(np.maximum(low, high), 0, limit)
        return np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)

    def image(self, plane: npt.NDArray[Any], window: Window) -> torch.Tensor:
        """Returns the windowed crop at the model's size, 0..1, ``[channels, size, size]`` float32.

        Grey slices give one channel, colour slices three.
        """
        values = torch.from_numpy(self.orientation.apply(window.apply(self.crop(plane))))
        values = values[None] if values.ndim == 2 else values.movedim(-1, 0)
        return self._padded(self._resized(values[None])[0])

    def mask(self, mask_rc: BoolArray) -> torch.Tensor:
        """Returns a mask of the slice at the model's size, 0 or 1, ``[1, 1, size, size]`` float32."""
        values = torch.from_numpy(self.orientation.apply(self.crop(mask_rc))).float()[None, None]
        return self._padded((self._resized(values) >= 0.5).float())

    def logits_to_crop(self, logits: torch.Tensor) -> torch.Tensor:
        """Resizes logits ``[..., s, s]`` over the input to the crop's own pixels."""
        turned = self.orientation.undo(self._logits_to_view(logits))
        return turned.reshape(*logits.shape[:-2], *self.crop_shape_rc)

    def mask_from_logits(self, logits: torch.Tensor) -> BoolArray:
        """Returns the mask ``[rows, columns]`` of the whole slice where logits ``[s, s]`` are > 0."""
        row0, col0, row1, col1 = self.crop_rc
        mask_rc = np.zeros(self.shape_rc, dtype=bool)
        inside = self.orientation.undo(self._logits_to_view(logits)[0, 0] > 0)
        mask_rc[row0 : row1 + 1, col0 : col1 + 1] = inside.cpu().numpy()
        return mask_rc

    def _logits_to_view(self, logits: torch.Tensor) -> torch.Tensor:
        """Resizes logits ``[..., s, s]`` to the view's pixels ``[1, n, rows, columns]``."""
        whole_rows, whole_columns = logits.shape[-2:]
        rows = self.fitted_model[0] * whole_rows / self.size
        columns = self.fitted_model[1] * whole_columns / self.size
        flat = logits.reshape(1, -1, whole_rows, whole_columns).float()
        if (rows, columns) == (whole_rows, whole_columns):
            return F.interpolate(flat, self._view_shape, mode="bilinear", align_corners=False)
        return self._sample(flat, rows, columns)

    @property
    def _view_shape(self) -> tuple[int, int]:
        return self.orientation.shape(self.crop_shape_rc)

    def _resized(self, values: torch.Tensor) -> torch.Tensor:
        if values.shape[-2:] == self.fitted_model:
            return values
        size, lying = self.fitted_model, values.shape[-1] == 1
        if lying:  # Torch 2.13 gives zeros for images that are one pixel wide.
            values, size = values.transpose(-2, -1), (size[1], size[0])
        resized = F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=True)
        return resized.transpose(-2, -1) if lying else resized

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        bottom, right = (self.size - fitted for fitted in self.fitted_model)
        return F.pad(values, (0, right, 0, bottom)) if bottom or right else values

    def _sample(self, flat: torch.Tensor, rows: float, columns: float) -> torch.Tensor:
        """Bilinear samples where the view's pixels fall on a part of the logits."""
        view_rows, view_columns = self._view_shape
        y = (torch.arange(view_rows, device=flat.device) + 0.5) * (2 * rows / view_rows)
        x = (torch.arange(view_columns, device=flat.device) + 0.5) * (2 * columns / view_columns)
        y, x = y / flat.shape[-2] - 1, x / flat.shape[-1] - 1
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
        return F.grid_sample(flat, grid, padding_mode="border", align_corners=False)


def whole_slice(shape_rc: tuple[int, int]) -> BoxRC:
    """The box of all pixels of a slice."""
    return 0, 0, shape_rc[0] - 1, shape_rc[1] - 1


def crop_around(
    box_rc: BoxRC,
    shape_rc: tuple[int, int],
    spacing_rc: tuple[float, float],
    *,
    context: float = 2.0,
    least_gain: float = 2.0,
) -> BoxRC:
    """Returns the square crop around a box, or the whole slice where a crop gains too little.

    The square's side is ``context`` times the box's longer side in mm, rounded up so that the whole
    slice's side is a power of two times it, and it lies on a grid of a quarter of its side:
    neighbouring objects of similar size see the same crop and share its features.
    """
    sides = np.array(shape_rc) * np.array(spacing_rc)
    whole = float(sides.max())
    box = np.array(box_rc, dtype=np.float64).reshape(2, 2)
    box_sides = (box[1] - box[0] + 1) * np.array(spacing_rc)
    halvings = math.floor(math.log2(max(1.0, whole / (context * float(box_sides.max())))))
    if 2**halvings < least_gain:
        return whole_slice(shape_rc)
    side = whole / 2**halvings
    corner = ((box[0] + box[1] + 1) / 2 * np.array(spacing_rc)) - side / 2
    corner = np.round(corner / (side / 4)) * (side / 4)
    corner = np.clip(corner, 0, np.maximum(sides - side, 0))
    low = np.floor(corner / np.array(spacing_rc)).astype(int)
    high = np.ceil((corner + side) / np.array(spacing_rc)).astype(int) - 1
    high = np.minimum(high, np.array(shape_rc) - 1)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
