"""From one slice's mask to the next with a model that knows single slices and boxes only.

Several boxes are tried on the next slice: the neighbour's box with growing margins, and the footprint
of the user's 3D box. Each candidate's mask is scored by the model's own confidence, by its overlap
with the neighbour and by how well it parts the intensities; the candidates' logits are blended by
score. That stops the three ways in which plain chaining fails: a box that drifts, contrast that fades
and a mask that leaks and takes the next box with it.

All arrays ``_rc`` lie on the pixels of the object's crop; boxes are (row0, col0, row1, col1) with
first and last pixel inside, fractions allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from medsam2.core.masks import BoolArray, bounding_box_rc

from .appearance import Appearance

FloatArray = npt.NDArray[np.floating[Any]]

Decode = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Maps boxes ``[n, 4]`` to logits ``[n, rows, columns]`` and predicted IoU ``[n]``."""

MARGINS = (0.0, 0.1, 0.2)
"""Growth of the neighbour's box on each side, in parts of its size; one candidate each."""
LEAST_MARGIN = 1.0
"""The least growth, in pixels."""
QUALITY_WEIGHT, OVERLAP_WEIGHT, CONTRAST_WEIGHT = 0.5, 1.0, 1.0
EVIDENCE_WEIGHT = 1.5
"""How much intensities add to the blended logits."""
TEMPERATURE = 0.05
"""Of the softmax that blends candidates by score."""
REACH = 0.5
"""Without a 3D box, how far a mask may lie beyond its neighbour's box, in parts of its size."""
ABSENT = -10.0
"""Logit of every pixel of a slice without the object."""
SURE = 1.0
"""Logit beyond which a pixel counts as stable."""


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """A slice whose mask is known, and what was learned on the way to it."""

    mask_rc: BoolArray
    appearance: Appearance


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The answer on one slice.

    Args:
        mask_rc: the object, one filled component, maybe empty.
        logits_rc: above 0 exactly inside ``mask_rc``.
        score: confidence, 0 to 1.
    """

    mask_rc: BoolArray
    logits_rc: FloatArray
    score: float


def from_box(decode: Decode, box_rc: FloatArray, shape_rc: tuple[int, int]) -> Found:
    """Segments a slice from the user's box: decodes it, then the found mask's own box, and averages.

    Nothing outside the box is segmented. Where the model sees nothing, the box itself is the mask.
    """
    area_rc = box_mask(box_rc, shape_rc)
    logits, quality = decode(box_rc[None])
    mask_rc = cleaned((logits[0] > 0) & area_rc, None)
    box = bounding_box_rc(mask_rc)
    if box is None:
        return _found(area_rc, logits[0], 0.0)
    near = clipped(grown(np.array(box, dtype=np.float64), 0.05, LEAST_MARGIN), box_rc)
    again, quality_again = decode(near[None])
    both_rc = logits[0] + again[0]
    refined_rc = cleaned((both_rc > 0) & area_rc, mask_rc)
    score = float(quality[0] + quality_again[0]) / 2
    return _found(refined_rc if refined_rc.any() else mask_rc, both_rc / 2, score)


def seed_rank(decode: Decode, box_rc: FloatArray, shape_rc: tuple[int, int]) -> float:
    """How good a slice is to start from: confidence, stability, and the part of the box reached."""
    logits, quality = decode(box_rc[None])
    area_rc = box_mask(box_rc, shape_rc)
    box = bounding_box_rc(cleaned((logits[0] > 0) & area_rc, None))
    if box is None:
        return -1.0
    sure = float(((logits[0] > SURE) & area_rc).sum())
    stable = sure / max(1.0, float(((logits[0] > -SURE) & area_rc).sum()))
    filled = np.prod((np.array(box[2:]) - box[:2] + 1) / (box_rc[2:] - box_rc[:2] + 1))
    return float(quality[0]) + 0.5 * stable + 0.5 * float(filled)


def next_slice(
    decode: Decode,
    near: Known,
    ratio_rc: FloatArray,
    footprint_rc: FloatArray | None,
    far: tuple[BoolArray, float] | None = None,
) -> Found:
    """Segments the slice beside a known one.

    Args:
        decode: the model on this slice.
        near: the neighbour.
        ratio_rc: log-likelihood ratio of the slice's intensities.
        footprint_rc: the 3D box's footprint, which holds the object.
        far: a known mask at the other end and the part of the way to it that is covered, 0 to 1.

    Beside a slice without the object there is none either.
    """
    if not near.mask_rc.any():
        return _found(near.mask_rc, ratio_rc, 0.0)
    area_rc = area_around(near.mask_rc, footprint_rc)
    logits, quality = decode(candidates(near.mask_rc, footprint_rc, far))
    scores, overlaps = np.full(len(logits), -np.inf), np.zeros(len(logits))
    for place, logit_rc in enumerate(logits):
        mask_rc = cleaned((logit_rc > 0) & area_rc, near.mask_rc)
        if mask_rc.any():
            overlaps[place] = _overlap(mask_rc, near.mask_rc, far)
            contrast = float((ratio_rc * np.where(mask_rc, 1.0, -1.0))[area_rc].mean())
            scores[place] = (
                QUALITY_WEIGHT * quality[place]
                + OVERLAP_WEIGHT * overlaps[place]
                + CONTRAST_WEIGHT * contrast
            )
    if not np.isfinite(scores).any():
        return _found(np.zeros_like(area_rc), np.zeros(area_rc.shape), 0.0)
    weights = np.exp((scores - scores.max()) / TEMPERATURE)
    weights /= weights.sum()
    decoded_rc = np.tensordot(weights, logits, axes=1)
    blended_rc = decoded_rc + EVIDENCE_WEIGHT * ratio_rc
    mask_rc = cleaned((blended_rc > 0) & area_rc, near.mask_rc)
    if not mask_rc.any():
        blended_rc = decoded_rc
        mask_rc = cleaned((blended_rc > 0) & area_rc, near.mask_rc)
    score = 0.5 * float(weights @ quality) + 0.5 * float(weights @ overlaps)
    return _found(mask_rc, blended_rc, score)


def candidates(
    near_rc: BoolArray,
    footprint_rc: FloatArray | None,
    far: tuple[BoolArray, float] | None = None,
) -> FloatArray:
    """Boxes ``[n, 4]`` to try on the slice beside a mask."""
    box = _box(near_rc)
    boxes = [grown(box, margin, LEAST_MARGIN) for margin in MARGINS]
    if far is not None and far[0].any():
        between = box + (_box(far[0]) - box) * far[1]
        boxes.append(grown(between, MARGINS[1], LEAST_MARGIN))
    if footprint_rc is not None:
        boxes = [clipped(candidate, footprint_rc) for candidate in (*boxes, footprint_rc)]
    return np.stack(boxes)


def shrunk(near_rc: BoolArray) -> BoolArray:
    """A neighbour's mask pulled in a little: the guess inside a 3D box where the model sees nothing."""
    from scipy import ndimage

    less_rc = np.asarray(ndimage.binary_erosion(near_rc), dtype=np.bool_)
    return less_rc if less_rc.any() else near_rc


def area_around(mask_rc: BoolArray, footprint_rc: FloatArray | None) -> BoolArray:
    """Where the next mask may lie: the 3D box's footprint, else around the neighbour."""
    box = footprint_rc if footprint_rc is not None else grown(_box(mask_rc), REACH, 2.0)
    return box_mask(box, (mask_rc.shape[0], mask_rc.shape[1]))


def cleaned(mask_rc: BoolArray, near_rc: BoolArray | None) -> BoolArray:
    """Keeps the component that shares most with ``near_rc`` (else the largest), filled."""
    from scipy import ndimage

    box = bounding_box_rc(mask_rc)
    if box is None:
        return mask_rc
    inside = np.s_[box[0] : box[2] + 1, box[1] : box[3] + 1]
    labels, count = ndimage.label(mask_rc[inside])
    kept = mask_rc[inside]
    if count > 1:
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        if near_rc is not None and (near_rc[inside] & kept).any():
            sizes = np.bincount(labels[near_rc[inside]], minlength=count + 1)
        kept = labels == 1 + int(np.argmax(sizes[1:]))
    cleaned_rc = np.zeros_like(mask_rc)
    cleaned_rc[inside] = ndimage.binary_fill_holes(kept)
    return cleaned_rc


def grown(box_rc: FloatArray, fraction: float, least: float) -> FloatArray:
    """Grows a box on each side by a fraction of its size, at least ``least`` pixels."""
    margin = np.maximum(least, fraction * (box_rc[2:] - box_rc[:2] + 1.0))
    return np.concatenate([box_rc[:2] - margin, box_rc[2:] + margin])


def clipped(box_rc: FloatArray, limit_rc: FloatArray) -> FloatArray:
    """Cuts a box at the limit's sides; a box outside becomes the nearest side."""
    return np.clip(box_rc, limit_rc[[0, 1, 0, 1]], limit_rc[[2, 3, 2, 3]])


def box_mask(box_rc: FloatArray, shape_rc: tuple[int, int]) -> BoolArray:
    """The pixels whose centres lie in the box."""
    rows, columns = np.arange(shape_rc[0])[:, None], np.arange(shape_rc[1])[None]
    inside_rows = (rows >= box_rc[0] - 0.5) & (rows <= box_rc[2] + 0.5)
    return np.asarray(inside_rows & (columns >= box_rc[1] - 0.5) & (columns <= box_rc[3] + 0.5))


def dice(first_rc: BoolArray, second_rc: BoolArray) -> float:
    """Overlap of two masks; 0 where both are empty."""
    total = int(first_rc.sum()) + int(second_rc.sum())
    return 2.0 * float((first_rc & second_rc).sum()) / max(1, total)


def _box(mask_rc: BoolArray) -> FloatArray:
    box = bounding_box_rc(mask_rc)
    if box is None:
        box = (0, 0, mask_rc.shape[0] - 1, mask_rc.shape[1] - 1)
    return np.array(box, dtype=np.float64)


def _overlap(mask_rc: BoolArray, near_rc: BoolArray, far: tuple[BoolArray, float] | None) -> float:
    overlap = dice(mask_rc, near_rc)
    if far is None:
        return overlap
    return (1.0 - far[1]) * overlap + far[1] * dice(mask_rc, far[0])


def _found(mask_rc: BoolArray, logits_rc: FloatArray, score: float) -> Found:
    """Makes logits agree with a cleaned mask, so that blending starts from what was shown."""
    if not mask_rc.any():
        return Found(mask_rc, np.full(mask_rc.shape, ABSENT), 0.0)
    agreed = np.where(mask_rc, np.maximum(logits_rc, 0.1), np.minimum(logits_rc, -0.1))
    return Found(mask_rc, agreed, float(np.clip(score, 0.0, 1.0)))
