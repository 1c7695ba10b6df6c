"""Reads a ``.ui`` file for classes, properties, signals and slots that Slicer's loader lacks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from slicer_api import METHOD, Api, normal

LAYOUT_SETTINGS = {
    "leftMargin",
    "topMargin",
    "rightMargin",
    "bottomMargin",
    "horizontalSpacing",
    "verticalSpacing",
}
"""What Designer's files call properties of layouts and is none."""


def widgets_of(text: str) -> dict[str, str]:
    """The class of each named widget and action."""
    root = ET.fromstring(text)
    found = {str(node.get("name")): str(node.get("class")) for node in root.iter("widget")}
    return found | {str(node.get("name")): "QAction" for node in root.iter("action")}


def check_ui(text: str, api: Api) -> list[str]:
    """What is wrong with a ``.ui`` file, a line each."""
    root = ET.fromstring(text)
    names = [str(node.get("name")) for tag in ("widget", "layout") for node in root.iter(tag)]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [
        *(f"two things are called {name}" for name in twice),
        *_custom_widgets(root, api),
        *_properties(root, api),
        *_connections(root, api),
    ]


def _custom_widgets(root: ET.Element, api: Api) -> Iterator[str]:
    announced = {one.findtext("class", ""): one for one in root.iter("customwidget")}
    for name, one in announced.items():
        if name not in api:
            yield f"the custom widget {name} is not in the table"
            continue
        if one.findtext("extends") not in api.bases(name)[1:]:
            yield f"{name} does not extend {one.findtext('extends')}"
        if not api.sources[name].endswith(f"/{one.findtext('header')}"):
            yield f"{name} is not declared in {one.findtext('header')}"
    for node in root.iter("widget"):
        name = node.get("class", "")
        if name not in api.packages["qt"] and name not in announced:
            yield f"the widget {node.get('name')} has the unannounced class {name}"


def _properties(root: ET.Element, api: Api) -> Iterator[str]:
    for tag in ("widget", "layout", "action"):
        for node in root.iter(tag):
            name = node.get("class", "QAction")
            if name not in api:
                if tag == "layout":
                    yield f"the layout class {name} is not in the table"
                continue
            for one in node.findall("property"):
                told = one.get("name", "")
                known = api.is_property(name, told) or (tag == "layout" and told in LAYOUT_SETTINGS)
                if not known and one.get("stdset") != "0":
                    yield f"{node.get('name')}: {name} has no property {told}"


def _connections(root: ET.Element, api: Api) -> Iterator[str]:
    classes = {str(node.get("name")): str(node.get("class")) for node in root.iter("widget")}
    for one in root.iter("connection"):
        sender, signal, receiver, slot = (
            one.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot")
        )
        for name in (sender, receiver):
            if name not in classes:
                yield f"a connection names {name}, which is no widget"
        if classes.get(sender) in api and normal(signal) not in api.signals(classes[sender]):
            yield f"{sender}: {classes[sender]} has no signal {signal}"
        method = slot.partition("(")[0]
        if classes.get(receiver) in api and not _has_slot(api, classes[receiver], method):
            yield f"{receiver}: {classes[receiver]} has no slot {slot}"


def _has_slot(api: Api, name: str, method: str) -> bool:
    found = api.member(name, method)
    return found is not None and found[0] == METHOD
