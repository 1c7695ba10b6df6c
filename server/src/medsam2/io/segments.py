"""Segments: masks with a name, a colour and a meaning."""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Sequence

from medsam2.core.errors import BadGeometryError
from medsam2.core.geometry import FloatArray
from medsam2.core.masks import BoolArray
from medsam2.core.volume import Volume

Color = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Code:
    """A coded term, as in DICOM: ``Code("SCT", "85756007", "Tissue")``."""

    scheme: str
    value: str
    meaning: str


TISSUE = Code("SCT", "85756007", "Tissue")


@dataclasses.dataclass(frozen=True)
class Terminology:
    """What a segment shows: a category and a type within it, Slicer's defaults if not given."""

    category: Code = TISSUE
    type: Code = TISSUE


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """One structure.

    Args:
        name: shown to the user.
        mask_kji: booleans over the whole volume ``[K, J, I]``; segments may overlap.
        color: red, green, blue from 0 to 1; None takes one by the segment's place in its list.
        label_value: the value it had in the file it was read from; 0 when it was made here.
        terminology: what it shows.
    """

    name: str
    mask_kji: BoolArray
    color: Color | None = None
    label_value: int = 0
    terminology: Terminology = Terminology()


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """Segments as they were read, on one grid.

    Args:
        segments: in the file's order.
        affine_ijk_to_ras: the grid of their masks ``[4, 4]``.
        shape_kji: the grid's size.
    """

    segments: tuple[Segment, ...]
    affine_ijk_to_ras: FloatArray
    shape_kji: tuple[int, int, int]

    def by_label(self, label_value: int) -> Segment | None:
        """The first segment that had this value in the file, or None."""
        return next((s for s in self.segments if s.label_value == label_value), None)


def default_color(index: int) -> Color:
    """Returns a colour for the segment at ``index``; neighbours in a list differ clearly."""
    red, green, blue = colorsys.hsv_to_rgb((0.33 + index * 0.618034) % 1.0, 0.65, 0.9)
    return round(red, 3), round(green, 3), round(blue, 3)


def check_masks(segments: Sequence[Segment], volume: Volume) -> None:
    """Checks that every mask lies on the volume's grid.

    Raises:
        BadGeometryError: a mask has another shape.
    """
    for segment in segments:
        if segment.mask_kji.shape != volume.shape_kji:
            msg = (
                f"The mask of {segment.name} has shape {segment.mask_kji.shape}, the volume "
                f"{volume.shape_kji}; put it on the volume's grid first."
            )
            raise BadGeometryError(msg)
