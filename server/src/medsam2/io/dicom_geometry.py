"""Where DICOM images lie: stacks of planes, sorted and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import BadGeometryError, NotAVolumeError
from medsam2.core.geometry import LPS_FROM_RAS, FloatArray, check_affine

PARALLEL = 1e-3
"""Largest difference between two images' direction cosines that still counts as parallel."""

UNEVEN = 0.05
"""Largest part of a slice distance by which a slice may be out of place."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Parallel images in ascending order along their normal.

    Args:
        name: for messages.
        paths: the files, slice by slice.
        affine_ijk_to_ras: the grid they form.
    """

    name: str
    paths: tuple[Path, ...]
    affine_ijk_to_ras: FloatArray


@dataclasses.dataclass(frozen=True)
class Plane:
    """One image's place in LPS mm: the centre of its first pixel, and its two directions."""

    label: str
    position_lps: tuple[float, ...]
    orientation_lps: tuple[float, ...]
    pixel_spacing_rc: tuple[float, ...]

    @property
    def normal_lps(self) -> FloatArray:
        """Unit vector across the image: row direction x column direction."""
        row, column = np.array(self.orientation_lps).reshape(2, 3)
        return np.asarray(np.cross(row, column), dtype=np.float64)


def stack_of(name: str, images: Sequence[tuple[Path, Any]]) -> Stack:
    """Sorts a series' single-frame images into a regular grid.

    Raises:
        NotAVolumeError: images differ in size, or several share a place.
        BadGeometryError: a position is missing, images aren't parallel, or a slice is missing.
        ShearedGeometryError: positions move sideways from slice to slice (gantry tilt).
    """
    sizes = {(int(h.Rows), int(h.Columns)) for _, h in images}
    if len(sizes) > 1:
        msg = f"The images of {name} differ in size ({sorted(sizes)}); choose another series."
        raise NotAVolumeError(msg)
    planes = [plane_of(path.name, header) for path, header in images]
    order, affine = arrange(name, planes)
    return Stack(name, tuple(images[n][0] for n in order), affine)


def plane_of(label: str, header: Any) -> Plane:
    """Returns where a DICOM data set (or a frame's functional groups, merged) says it lies.

    Raises:
        BadGeometryError: position, orientation or pixel spacing is missing or zero.
    """
    numbers = [
        tuple(float(n) for n in header.get(keyword) or ())
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    ]
    lengths = [len(n) for n in numbers]
    if lengths != [3, 6, 2] or not all(np.isfinite(n).all() for n in numbers):
        msg = (
            f"{label} doesn't say where it lies (position, orientation or pixel spacing missing);"
            " choose another series, or convert the images to a volume with known spacing."
        )
        raise BadGeometryError(msg)
    if 0.0 in numbers[2]:
        msg = f"{label} has a pixel spacing of {list(numbers[2])} mm; repair its header first."
        raise BadGeometryError(msg)
    return Plane(label, *numbers)


def arrange(
    name: str, planes: Sequence[Plane], between_mm: float = 0.0
) -> tuple[list[int], FloatArray]:
    """Returns the planes' order along their normal and the affine of the grid they form.

    ``between_mm`` is the slice distance of a single plane (1 mm when it is 0).

    Raises:
        NotAVolumeError, BadGeometryError, ShearedGeometryError: see :func:`stack_of`.
    """
    first = planes[0]
    for plane in planes:
        turned = np.abs(np.subtract(plane.orientation_lps, first.orientation_lps)).max()
        if turned > PARALLEL or plane.pixel_spacing_rc != first.pixel_spacing_rc:
            msg = (
                f"The images of {name} are not one stack: {plane.label} has another orientation or "
                f"pixel spacing than {first.label} (a localiser?); choose another series."
            )
            raise BadGeometryError(msg)
    heights = np.array([np.dot(p.position_lps, first.normal_lps) for p in planes])
    order = [int(n) for n in np.argsort(heights, kind="stable")]
    _check_steps(name, [planes[n] for n in order], heights[order])
    row, column = np.array(first.orientation_lps).reshape(2, 3)
    start = np.array(planes[order[0]].position_lps)
    step = first.normal_lps * (between_mm or 1.0)
    if len(planes) > 1:
        step = (np.array(planes[order[-1]].position_lps) - start) / (len(planes) - 1)
    affine_lps = np.eye(4)
    affine_lps[:3, 0] = row * first.pixel_spacing_rc[1]
    affine_lps[:3, 1] = column * first.pixel_spacing_rc[0]
    affine_lps[:3, 2], affine_lps[:3, 3] = step, start
    return order, check_affine(LPS_FROM_RAS @ affine_lps)


def _check_steps(name: str, planes: Sequence[Plane], heights: FloatArray) -> None:
    """Checks that ascending ``heights`` in mm are evenly spaced."""
    if len(planes) < 2:
        return
    steps = np.diff(heights)
    same = int((steps < 1e-3).sum())
    if same:
        msg = (
            f"{same} of the {len(planes)} images of {name} lie where another lies (time points or "
            "echoes?); split the series along time and give one volume."
        )
        raise NotAVolumeError(msg)
    usual = float(np.median(steps))
    for below, above, step in zip(planes, planes[1:], steps.tolist(), strict=False):
        if abs(step - usual) > UNEVEN * usual:
            missing = round(step / usual) - 1
            what = f"{missing} slice(s) missing" if missing > 0 else "uneven spacing"
            msg = (
                f"{name}: {what} between {below.label} and {above.label} ({step:.3f} mm apart, "
                f"others {usual:.3f} mm); complete the series, or resample it first."
            )
            raise BadGeometryError(msg)
