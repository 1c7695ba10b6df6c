"""Markups that 3D Slicer saves as ``.mrk.json``: ROI boxes, point lists and lines.

Read is Slicer's markups schema, versions 1.0.0 to 1.0.4, in either coordinate system; everything
comes back in RAS millimetres. A parent transform is not part of the file: harden it first.

Slicer has no negative points. Here a point counts as negative (outside the object) when its label
or description starts with ``-`` or ``neg``, or when its list's name contains ``negative``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from medsam2.core.errors import PromptFileError
from medsam2.core.geometry import FloatArray, box_corners, flip_ras_lps

from .json_files import numbers, read_json, shown

_AXES = ("xAxis", "yAxis", "zAxis")
_MM = ("mm", "millimeter", "millimetre")


@dataclasses.dataclass(frozen=True, eq=False)
class MarkupsRoi:
    """A box, possibly rotated.

    Args:
        name: the markup's, or the file's when it has none.
        corners_ras: mm ``[8, 3]``.
    """

    name: str
    corners_ras: FloatArray


@dataclasses.dataclass(frozen=True, eq=False)
class MarkupsPoints:
    """A point list.

    Args:
        name: the markup's, or the file's when it has none.
        points_ras: mm ``[points, 3]``; points that were never placed are left out.
        positive: whether each point is inside the object.
    """

    name: str
    points_ras: FloatArray
    positive: tuple[bool, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class MarkupsLine:
    """A line, such as a lesion's longest diameter; ``ends_ras`` is in mm ``[2, 3]``."""

    name: str
    ends_ras: FloatArray


Markups: TypeAlias = MarkupsRoi | MarkupsPoints | MarkupsLine


def read_markups(path: Path) -> tuple[Markups, ...]:
    """Reads all markups of a ``.mrk.json`` file, in its order.

    Raises:
        PromptFileError: it is no markups file, is in other units than mm, holds another type of
            markup, or a markup that isn't fully placed.
    """
    path = Path(path)
    content = read_json(path)
    items = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(items, list) or not items:
        msg = f"{path.name} holds no markups; save a ROI, a point list or a line in Slicer."
        raise PromptFileError(msg)
    default_name = path.name.removesuffix(".json").removesuffix(".mrk")
    return tuple(_read_one(path, item, default_name) for item in items)


def _read_one(path: Path, item: Any, default_name: str) -> Markups:
    if not isinstance(item, dict):
        msg = f"{path.name} holds {shown(item)} where a markup should be; save it again in Slicer."
        raise PromptFileError(msg)
    name = str(item.get("name") or default_name)
    where = f"{path.name}: {name}"
    _check_units(where, item)
    is_lps = _is_lps(where, item)
    match item.get("type"):
        case "ROI":
            return MarkupsRoi(name, _to_ras(_roi_corners(where, item), is_lps=is_lps))
        case "Fiducial" | "PointList":
            return _points(where, name, item, is_lps=is_lps)
        case "Line":
            ends = [p for p, _ in _control_points(where, item)]
            if len(ends) != 2:
                msg = f"{where} has {len(ends)} placed points; a line needs both its ends placed."
                raise PromptFileError(msg)
            return MarkupsLine(name, _to_ras(np.array(ends), is_lps=is_lps))
        case other:
            msg = f"{where} is of type {shown(other)}; give a ROI, a point list or a line."
            raise PromptFileError(msg)


def _check_units(where: str, item: dict[str, Any]) -> None:
    units = item.get("coordinateUnits", "mm")
    code = units[0] if isinstance(units, list) and units else units
    if code not in _MM:
        msg = f"{where} is in {shown(units)}; set the length unit to mm in Slicer and save again."
        raise PromptFileError(msg)


def _is_lps(where: str, item: dict[str, Any]) -> bool:
    system = item.get("coordinateSystem", "LPS")
    if system not in ("LPS", "RAS"):
        msg = f"{where} has the coordinate system {shown(system)}; LPS or RAS is needed."
        raise PromptFileError(msg)
    return bool(system == "LPS")


def _to_ras(points: FloatArray, *, is_lps: bool) -> FloatArray:
    return flip_ras_lps(points) if is_lps else points


def _roi_corners(where: str, item: dict[str, Any]) -> FloatArray:
    """Returns the 8 corners ``[8, 3]`` in the file's own coordinate system."""
    kind = item.get("roiType", "Box")
    if kind not in ("Box", "BoundingBox"):
        msg = f"{where} is a ROI of type {shown(kind)}; make a box ROI."
        raise PromptFileError(msg)
    points = [p for p, _ in _control_points(where, item)]
    orientation = _orientation(where, item)
    if "size" not in item and kind == "BoundingBox" and len(points) > 1:
        along = np.array(points) @ orientation
        return _turned(box_corners(along.min(axis=0), along.max(axis=0)), orientation, np.zeros(3))
    size = np.array(numbers(f"{where}: size", item.get("size"), 3))
    if (size <= 0).any():
        msg = f"{where} has the size {size.tolist()} mm; draw the box again."
        raise PromptFileError(msg)
    if "center" in item or not points:
        center = np.array(numbers(f"{where}: center", item.get("center"), 3))
    else:
        center = np.array(points[0])  # hand-written files give a box's centre as its only point
    return _turned(box_corners(-size / 2, size / 2), orientation, center)


def _turned(points: FloatArray, orientation: FloatArray, shift: FloatArray) -> FloatArray:
    return np.asarray(points @ orientation.T + shift, dtype=np.float64)


def _orientation(where: str, item: dict[str, Any]) -> FloatArray:
    """Returns ``[3, 3]`` whose columns are the box's axes."""
    if any(axis in item for axis in _AXES):
        axes = [numbers(f"{where}: {axis}", item.get(axis), 3) for axis in _AXES]
        matrix = np.array(axes).T
    elif "orientation" in item:
        nine = numbers(f"{where}: orientation", item["orientation"], 9)
        matrix = np.array(nine).reshape(3, 3)
    else:
        matrix = np.eye(3)
    if np.abs(matrix.T @ matrix - np.eye(3)).max() > 1e-3:
        msg = f"{where} has an orientation that is no rotation; draw the box again."
        raise PromptFileError(msg)
    return np.asarray(matrix, dtype=np.float64)


def _control_points(
    where: str, item: dict[str, Any]
) -> list[tuple[tuple[float, ...], dict[str, Any]]]:
    """Returns the placed control points with all that the file says of them."""
    found = []
    for n, point in enumerate(item.get("controlPoints") or [], start=1):
        if not isinstance(point, dict):
            msg = f"{where}: point {n} is {shown(point)}; save it again in Slicer."
            raise PromptFileError(msg)
        if point.get("positionStatus", "defined") == "defined":
            found.append((numbers(f"{where}: point {n}", point.get("position"), 3), point))
    return found


def _points(where: str, name: str, item: dict[str, Any], *, is_lps: bool) -> MarkupsPoints:
    points = _control_points(where, item)
    if not points:
        msg = f"{where} has no placed point; place one in Slicer and save it again."
        raise PromptFileError(msg)
    all_negative = "negative" in name.lower()
    positive = tuple(not (all_negative or _is_negative(point)) for _, point in points)
    return MarkupsPoints(name, _to_ras(np.array([p for p, _ in points]), is_lps=is_lps), positive)


def _is_negative(point: dict[str, Any]) -> bool:
    words = (str(point.get(key) or "").strip().lower() for key in ("label", "description"))
    return any(word.startswith(("-", "neg")) for word in words)
