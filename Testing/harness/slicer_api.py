"""What the module may use of Qt, CTK and Slicer, read from slicer_api.json."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

PROPERTY, METHOD, SIGNAL, CONSTANT = "property", "method", "signal", "constant"


def normal(signature: str) -> str:
    """A signal's or slot's signature without what Qt ignores: spaces, const and references."""
    return re.sub(r"\bconst\b|&|\s+", "", signature)


class Api:
    """The table, with looking up members through base classes.

    Args:
        table: the JSON file's content.
    """

    def __init__(self, table: dict[str, dict]) -> None:
        self.packages = {name: table[name] for name in ("qt", "ctk", "slicer")}
        groups = table["modules"].items()
        self.later = {name: set(one.get("later", "").split()) for name, one in groups}
        """Names of Slicer's Python modules that are not in Slicer 5.10."""
        self.modules = {name: set(one.get("names", "").split()) for name, one in groups}
        self.modules = {name: names | self.later[name] for name, names in self.modules.items()}
        self.sources = {
            name: entry["from"]
            for group in (*self.packages.values(), table["modules"])
            for name, entry in group.items()
        }
        self._classes = {n: entry for group in self.packages.values() for n, entry in group.items()}
        self._members = {name: self._own_members(name) for name in self._classes}

    def _own_members(self, name: str) -> dict[str, tuple[str, str]]:
        entry = self._classes[name]
        found = {one.partition("(")[0]: (SIGNAL, "") for one in entry.get("signals", "").split()}
        for word in entry.get("methods", "").split():
            method, _, returned = word.partition(":")
            found[method] = (METHOD, returned)
        found |= dict.fromkeys(entry.get("constants", "").split(), (CONSTANT, ""))
        for one in entry.get("properties", "").split():
            found.setdefault(one, (PROPERTY, ""))
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def bases(self, name: str) -> list[str]:
        """A class and what it derives from, nearest first."""
        found = []
        while name:
            found.append(name)
            name = self._classes[name]["extends"]
        return found

    def member(self, name: str, member: str) -> tuple[str, str] | None:
        """What a member is and the class that it returns; None if the table lacks it."""
        for base in self.bases(name):
            if member in self._members[base]:
                return self._members[base][member]
        return None

    def is_property(self, name: str, member: str) -> bool:
        """Whether a member is read without a call."""
        return any(
            member in self._classes[b].get("properties", "").split() for b in self.bases(name)
        )

    def signals(self, name: str) -> set[str]:
        """The signatures of a class's signals."""
        return {
            s for base in self.bases(name) for s in self._classes[base].get("signals", "").split()
        }

    @property
    def all_signals(self) -> set[str]:
        """Signatures of all classes."""
        return {s for name in self._classes for s in self.signals(name)}

    @property
    def sure_properties(self) -> set[str]:
        """Names that are properties wherever they occur and methods nowhere."""
        members = [pair for own in self._members.values() for pair in own.items()]
        properties = {name for name, (kind, _) in members if kind == PROPERTY}
        return properties - {name for name, (kind, _) in members if kind != PROPERTY}


@cache
def slicer_api() -> Api:
    """The table that is kept beside this file."""
    return Api(json.loads(Path(__file__).with_name("slicer_api.json").read_text("utf-8")))
