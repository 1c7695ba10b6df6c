"""Our own prompt file: several objects with their prompts, as JSON.

::

    {
      "axis": "k",                                  slices are across this index axis (i, j or k)
      "objects": [
        {
          "name": "Liver",
          "box_ijk": [10, 20, 5, 60, 80, 30],       inclusive voxel indices i0 j0 k0 i1 j1 k1
          "box_ras_mm": [-60, -20, 5, 10, 50, 90],  two opposite corners in RAS millimetres
          "points_ijk": [[30, 40, 12, "+"],         continuous voxel indices, inside the object
                         [55, 70, 12, "-"],         outside of it
                         {"at": [31, 42, 12], "positive": true}],
          "points_ras_mm": [[-20, 10, 40, "+"]],    the same in millimetres
          "line_ijk": [20, 30, 12, 50, 60, 12],     the ends of the longest diameter
          "line_ras_mm": [-40, 0, 40, -10, 30, 40],
          "mask": {"file": "liver.seg.nrrd",        relative to this file
                   "label": 1,                      which label of it; 1 when left out
                   "slices": [12, 20]},             which slices are prompts; all when left out
          "range": [5, 30]                          inclusive first and last slice to segment
        }
      ]
    }

All keys but ``objects`` may be left out; an object needs at least one prompt. Unknown keys are
refused, so that a misspelt one isn't ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from medsam2.core.errors import PromptFileError

from .json_files import fields, integers, numbers, read_json, shown, text

Triple: TypeAlias = tuple[float, float, float]
Six: TypeAlias = tuple[float, float, float, float, float, float]
T = TypeVar("T")

_PROMPTS = (
    "box_ijk",
    "box_ras_mm",
    "points_ijk",
    "points_ras_mm",
    "line_ijk",
    "line_ras_mm",
    "mask",
)


@dataclasses.dataclass(frozen=True)
class PointEntry:
    """A click at ``at``, in the frame of the list it stands in; inside the object or outside."""

    at: Triple
    positive: bool = True


@dataclasses.dataclass(frozen=True)
class MaskEntry:
    """A mask in another file.

    Args:
        file: absolute, or relative to the working folder as the prompt file was.
        label: which label of it.
        slices: the slices that are prompts; None means every slice that the label touches.
    """

    file: Path
    label: int = 1
    slices: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class ObjectEntry:
    """One object's prompts as they stand in the file; see the module for each key's meaning."""

    name: str
    box_ijk: tuple[int, int, int, int, int, int] | None = None
    box_ras_mm: Six | None = None
    points_ijk: tuple[PointEntry, ...] = ()
    points_ras_mm: tuple[PointEntry, ...] = ()
    line_ijk: tuple[Triple, Triple] | None = None
    line_ras_mm: tuple[Triple, Triple] | None = None
    mask: MaskEntry | None = None
    slice_range: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class PromptFile:
    """A prompt file; ``axis`` is ``"i"``, ``"j"``, ``"k"`` or None when the file leaves it out."""

    axis: str | None
    objects: tuple[ObjectEntry, ...]


def read_prompt_file(path: Path) -> PromptFile:
    """Reads a prompt file.

    Raises:
        PromptFileError: it is missing, not JSON, or says something that isn't in the schema; the
            message names the place.
    """
    path = Path(path)
    content = fields(path.name, read_json(path), ("axis", "objects"))
    axis = content.get("axis")
    if axis is not None and axis not in ("i", "j", "k"):
        msg = f'{path.name}: axis must be "i", "j" or "k", not {shown(axis)}.'
        raise PromptFileError(msg)
    items = content.get("objects")
    if not isinstance(items, list) or not items:
        msg = f"{path.name}: objects must be a list of at least one object, not {shown(items)}."
        raise PromptFileError(msg)
    return PromptFile(axis, tuple(_object(path, n, item) for n, item in enumerate(items, start=1)))


def _object(path: Path, number: int, value: Any) -> ObjectEntry:
    where = f"{path.name}: object {number}"
    item = fields(where, value, ("name", *_PROMPTS, "range"))
    if not any(item.get(key) for key in _PROMPTS):
        msg = f"{where} has no prompt; give it one of {', '.join(_PROMPTS)}."
        raise PromptFileError(msg)

    def optional(key: str, parse: Callable[[str, Any], T]) -> T | None:
        return None if item.get(key) is None else parse(f"{where}: {key}", item[key])

    return ObjectEntry(
        name=optional("name", text) or f"Segment_{number}",
        box_ijk=optional("box_ijk", _box_ijk),
        box_ras_mm=optional("box_ras_mm", _six),
        points_ijk=optional("points_ijk", _points) or (),
        points_ras_mm=optional("points_ras_mm", _points) or (),
        line_ijk=optional("line_ijk", _line),
        line_ras_mm=optional("line_ras_mm", _line),
        mask=optional("mask", lambda place, mask: _mask(place, mask, path.parent)),
        slice_range=optional("range", _range),
    )


def _box_ijk(where: str, value: Any) -> tuple[int, int, int, int, int, int]:
    i0, j0, k0, i1, j1, k1 = integers(where, value, 6)
    return i0, j0, k0, i1, j1, k1


def _six(where: str, value: Any) -> Six:
    x0, y0, z0, x1, y1, z1 = numbers(where, value, 6)
    return x0, y0, z0, x1, y1, z1


def _triple(where: str, value: Any) -> Triple:
    x, y, z = numbers(where, value, 3)
    return x, y, z


def _line(where: str, value: Any) -> tuple[Triple, Triple]:
    x0, y0, z0, x1, y1, z1 = _six(where, value)
    if (x0, y0, z0) == (x1, y1, z1):
        msg = f"{where} has the same point at both ends; give two points."
        raise PromptFileError(msg)
    return (x0, y0, z0), (x1, y1, z1)


def _range(where: str, value: Any) -> tuple[int, int]:
    first, last = integers(where, value, 2)
    return first, last


def _points(where: str, value: Any) -> tuple[PointEntry, ...]:
    if not isinstance(value, list):
        msg = f"{where} must be a list of points, not {shown(value)}."
        raise PromptFileError(msg)
    return tuple(_point(f"{where}: point {n}", point) for n, point in enumerate(value, start=1))


def _point(where: str, value: Any) -> PointEntry:
    if isinstance(value, list) and len(value) == 4 and value[3] in ("+", "-"):
        return PointEntry(_triple(where, value[:3]), value[3] == "+")
    if isinstance(value, list) and len(value) == 3:
        return PointEntry(_triple(where, value))
    if not isinstance(value, dict):
        msg = f'{where} must be three numbers and "+" or "-", not {shown(value)}.'
        raise PromptFileError(msg)
    item = fields(where, value, ("at", "positive"))
    positive = item.get("positive", True)
    if not isinstance(positive, bool):
        msg = f"{where}: positive must be true or false, not {shown(positive)}."
        raise PromptFileError(msg)
    return PointEntry(_triple(f"{where}: at", item.get("at")), positive)


def _mask(where: str, value: Any, folder: Path) -> MaskEntry:
    item = fields(where, value, ("file", "label", "slices"))
    file = folder / text(f"{where}: file", item.get("file"))
    label = item.get("label", 1)
    if type(label) is not int or label < 1:
        msg = f"{where}: label must be a whole number from 1 on, not {shown(label)}."
        raise PromptFileError(msg)
    slices = item.get("slices")
    return MaskEntry(file, label, None if slices is None else integers(f"{where}: slices", slices))
