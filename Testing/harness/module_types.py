"""Which Qt, CTK or Slicer class an expression of a module's file has, as far as it is plain to see.

Followed are annotations, constructor calls, assignments to names and to attributes of ``self``, the
widgets of the ``.ui`` files as ``ui.name``, and methods whose class the table tells. Everything else
is unknown (None), about which little can be said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from slicer_api import Api

OWN = "(own)"
"""A class of the project itself, which Qt's rules don't bind."""
UI = "(ui)"
"""The object whose attributes are the panel's widgets."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Names = dict[str, str | None]


def dotted(node: ast.AST) -> list[str]:
    """The parts of ``a.b.c``; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [*parts, node.id][::-1] if isinstance(node, ast.Name) else []


class Types:
    """The classes of one file's expressions.

    Args:
        tree: the file.
        api: the table.
        widgets: the class of each widget of the ``.ui`` files by its name.
    """

    def __init__(self, tree: ast.Module, api: Api, widgets: Mapping[str, str]) -> None:
        self._api, self._widgets = api, widgets
        self._own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                self._own |= {alias.asname or alias.name for alias in node.names}
        self._fields: Names = {}

    def enter_class(self, node: ast.ClassDef) -> None:
        """Learns what the methods of a class assign to attributes of ``self``."""
        self._fields = {}
        for method in [child for child in node.body if isinstance(child, Function)]:
            names = self.names_in(method, {})
            for target, value in _assigned(method):
                if dotted(target)[:1] == ["self"] and len(dotted(target)) == 2:
                    _merge(self._fields, dotted(target)[1], self._of_assigned(value, names))

    def names_in(self, function: Function, outer: Names) -> Names:
        """The names that a function knows: its parameters and what it assigns."""
        arguments = function.args
        names = dict(outer)
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            names[argument.arg] = self._annotated(argument.annotation)
        if arguments.args and arguments.args[0].arg == "self":
            names["self"] = OWN
        local: Names = {}
        for target, value in _assigned(function):
            if isinstance(target, ast.Name):
                _merge(local, target.id, self._of_assigned(value, names | local))
        return names | local

    def of(self, node: ast.AST, names: Names) -> str | None:
        """An expression's class."""
        if isinstance(node, ast.Name):
            return names.get(node.id) or (UI if node.id == "ui" else None)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(node, names)
        if isinstance(node, ast.Call):
            return self._of_call(node, names)
        return None

    def constructed(self, node: ast.AST) -> str | None:
        """The class that ``qt.QLabel`` and the like name."""
        parts = dotted(node)
        known = len(parts) == 2 and parts[0] in self._api.packages
        return parts[1] if known and parts[1] in self._api.packages[parts[0]] else None

    def _of_attribute(self, node: ast.Attribute, names: Names) -> str | None:
        parts = dotted(node)
        if parts == ["slicer", "app"]:
            return "qSlicerApplication"
        if len(parts) == 2 and parts[0] == "self" and self._fields.get(node.attr):
            return self._fields[node.attr]
        if node.attr == "ui":
            return UI
        return self._widgets.get(node.attr) if self.of(node.value, names) == UI else None

    def _of_call(self, node: ast.Call, names: Names) -> str | None:
        if isinstance(node.func, ast.Name):
            return OWN if node.func.id in self._own else None
        if not isinstance(node.func, ast.Attribute):
            return None
        if constructed := self.constructed(node.func):
            return constructed
        if dotted(node.func)[0:1] and dotted(node.func)[0] in self._own:
            return OWN
        owner = self.of(node.func.value, names)
        member = self._api.member(owner, node.func.attr) if owner in self._api else None
        return member[1] if member and member[1] in self._api else None

    def _of_assigned(self, value: ast.AST | None, names: Names) -> str | None:
        if isinstance(value, ast.AnnAssign):
            return self._annotated(value.annotation)
        return self.of(value, names) if value is not None else None

    def _annotated(self, node: ast.AST | None) -> str | None:
        if isinstance(node, ast.BinOp):
            return self._annotated(node.left) or self._annotated(node.right)
        if isinstance(node, ast.Name) and node.id in self._own:
            return OWN
        return self.constructed(node) if node is not None else None


def _assigned(function: Function) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Targets and values of a function's assignments; for an annotated one the statement itself.

    None as a value says nothing of what comes later, and is left out.
    """
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign):
            yield node.target, node
        elif isinstance(node, ast.Assign) and not _is_none(node.value):
            for target in node.targets:
                yield from _pairs(target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            yield from _pairs(node.target, None)


def _pairs(target: ast.AST, value: ast.AST | None) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    if not isinstance(target, ast.Tuple):
        yield target, value
        return
    values = value.elts if isinstance(value, ast.Tuple) else [None] * len(target.elts)
    for one, its in zip(target.elts, values, strict=False):
        yield from _pairs(one, its)


def _merge(names: Names, name: str, found: str | None) -> None:
    """Two different classes for one name make it unknown."""
    names[name] = found if names.get(name, found) == found else None


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
