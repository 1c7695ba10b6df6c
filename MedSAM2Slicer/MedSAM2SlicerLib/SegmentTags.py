"""Facts about a segment's slices, kept as tags of the segment and so saved with the scene.

Each tag is a JSON object with an entry per slice axis (``I``, ``J``, ``K``), since slices across
different axes are different slices.
"""

from __future__ import annotations

import json
from typing import Any

import vtk

LOCKED = "MedSAM2.LockedSlices"
"""Slices that the user made or confirmed: a list of indices."""
RANGE = "MedSAM2.Range"
"""First and last slice to propagate over, inclusive."""
MODEL = "MedSAM2.ModelSlices"
"""Checksums of the slices that the model made, by index."""

TAGS = (LOCKED, RANGE, MODEL)


def readAll(segment: vtk.vtkObject, tag: str) -> dict[str, Any]:
    """The tag's entries by axis name; a tag that is absent or unreadable has none."""
    text = vtk.reference("")
    if segment is None or not segment.GetTag(tag, text):
        return {}
    try:
        entries = json.loads(str(text))
    except ValueError:
        return {}
    return entries if isinstance(entries, dict) else {}


def read(segment: vtk.vtkObject, tag: str, axisName: str, default: Any) -> Any:
    """The tag's entry for one axis."""
    return readAll(segment, tag).get(axisName, default)


def write(segment: vtk.vtkObject, tag: str, axisName: str, value: Any) -> None:
    """Sets the tag's entry for one axis; an empty value takes it away."""
    entries = readAll(segment, tag)
    if value:
        entries[axisName] = value
    else:
        entries.pop(axisName, None)
    writeAll(segment, tag, entries)


def writeAll(segment: vtk.vtkObject, tag: str, entries: dict[str, Any]) -> None:
    """Sets the tag to these entries; without any it is removed. What is so already tells nobody."""
    if entries == readAll(segment, tag):
        return
    if entries:
        segment.SetTag(tag, json.dumps(entries))
    else:
        segment.RemoveTag(tag)


def facts(segment: vtk.vtkObject) -> dict[str, dict[str, Any]]:
    """All tags of a segment, for undo."""
    return {tag: readAll(segment, tag) for tag in TAGS}


def setFacts(segment: vtk.vtkObject, held: dict[str, dict[str, Any]]) -> None:
    """Puts back what :func:`facts` gave."""
    for tag, entries in held.items():
        writeAll(segment, tag, entries)
