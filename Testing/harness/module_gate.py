"""Reads the module's files for what real Slicer would refuse and a stand-in on PySide may let through.

Everything used of Qt, CTK and Slicer must stand in ``slicer_api.json`` with the header that says so.
Refused besides are spellings that only PySide knows, and waiting in a nested event loop.

Only what is plain from the text is seen: see :mod:`module_types` for which classes are followed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping

from module_types import OWN, UI, Function, Names, Types, dotted
from slicer_api import METHOD, SIGNAL, Api, normal

BROUGHT = {"slicer", "vtk", "qt", "ctk", "numpy", "MedSAM2SlicerLib"}
"""What files may import when they are imported, beside the standard library."""

PYSIDE_NAMES = {"Signal", "Slot", "Property", "QtCore", "QtGui", "QtWidgets"}
PYSIDE_PACKAGES = {"PySide2", "PySide6", "PyQt5", "PyQt6", "PythonQt", "shiboken6"}
WAITING = {"exec", "exec_", "processEvents"}


def check_module(text: str, api: Api, widgets: Mapping[str, str]) -> list[str]:
    """What is wrong with a file, as ``line 3: ...``.

    Args:
        text: the file's.
        api: the table.
        widgets: the class of each widget of the ``.ui`` files by its name.
    """
    tree = ast.parse(text)
    gate = _Gate(api, Types(tree, api, widgets), widgets)
    gate.visit(tree)
    return [f"line {line}: {words}" for line, words in sorted(set(gate.found))]


def foreign_imports(tree: ast.Module) -> list[str]:
    """Imports that run when the file is imported and that Slicer does not bring."""
    found = []
    for node in _at_import(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        roots = {name.partition(".")[0] for name in names}
        found += sorted(roots - BROUGHT - sys.stdlib_module_names)
    return found


def run_at_import(tree: ast.Module) -> list[str]:
    """Statements that do something when the file is imported, other than giving things names."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in _at_import(tree)
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ]


def _at_import(tree: ast.AST) -> list[ast.AST]:
    """The statements outside functions and outside ``if TYPE_CHECKING``."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function) or _only_for_types(node):
            continue
        found += [node, *_at_import(node)]
    return found


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and dotted(node.test)[-1:] == ["TYPE_CHECKING"]


class _Gate(ast.NodeVisitor):
    def __init__(self, api: Api, types: Types, widgets: Mapping[str, str]) -> None:
        self.found: list[tuple[int, str]] = []
        self._api, self._types, self._widgets = api, types, widgets
        self._names: Names = {}

    def _say(self, node: ast.AST, words: str) -> None:
        self.found.append((node.lineno, words))

    # Scopes

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._types.enter_class(node)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: Function) -> None:
        outer, self._names = self._names, self._types.names_in(node, self._names)
        self.generic_visit(node)
        self._names = outer

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    # Imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if root in PYSIDE_PACKAGES:
                self._say(node, f"{alias.name} is not what Slicer has; import qt")
            if root in ("qt", "ctk") and alias.asname not in (None, root):
                self._say(node, f"import {root} under its own name")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        root = module.partition(".")[0]
        if node.level:
            return
        if root in PYSIDE_PACKAGES:
            self._say(node, f"{module} is not what Slicer has; import qt")
        elif root in ("qt", "ctk"):
            self._say(node, f"import {root} and write {root}.Name")
        elif root == "slicer":
            known = self._api.modules.get(module, set())
            for alias in node.names:
                if alias.name not in known and not alias.name.startswith("vtk"):
                    self._say(node, f"{module}.{alias.name} is not in the table")

    # Names

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts = dotted(node)
        if node.attr in WAITING:
            self._say(node, f"{node.attr} waits in a nested event loop")
        elif parts[:1] in (["qt"], ["ctk"]):
            self._check_class(node, parts)
        elif parts[:1] == ["slicer"]:
            self._check_slicer(node, parts)
        else:
            self._check_member(node)
            self.generic_visit(node)

    def _check_class(self, node: ast.AST, parts: list[str]) -> None:
        """``qt.Class`` and ``qt.Class.constant``."""
        package, name, *rest = parts
        if name in PYSIDE_NAMES:
            self._say(node, f"{package}.{name} is PySide's")
        elif name not in self._api.packages[package]:
            self._say(node, f"{package}.{name} is not in the table")
        elif rest and not rest[0].startswith("__") and self._api.member(name, rest[0]) is None:
            if len(rest) > 1 and rest[0][0].isupper():
                right = f"{package}.{name}.{rest[1]}"
                self._say(node, f"{'.'.join(parts)} is PySide's spelling; write {right}")
            else:
                self._say(node, f"{package}.{name}.{rest[0]} is not in the table")

    def _check_slicer(self, node: ast.AST, parts: list[str]) -> None:
        """``slicer.app.name``, ``slicer.util.name``, ``slicer.qMRMLWidget``; MRML's classes pass."""
        depth = 1
        while depth < len(parts) - 1 and ".".join(parts[: depth + 1]) in self._api.modules:
            depth += 1
        if depth >= len(parts) or parts[depth].startswith("vtk"):
            return
        module, name = ".".join(parts[:depth]), parts[depth]
        if name in self._api.packages["slicer"] and depth == 1:
            return
        if name not in self._api.modules[module]:
            self._say(node, f"{module}.{name} is not in the table")
        elif parts[1] == "app" and len(parts) > 2:
            self._check_named_member(node, "qSlicerApplication", parts[2])

    def _check_member(self, node: ast.Attribute) -> None:
        owner = self._types.of(node.value, self._names)
        if owner == UI:
            self._check_widget(node)
        elif owner in self._api:
            self._check_named_member(node, str(owner), node.attr)

    def _check_widget(self, node: ast.Attribute) -> None:
        if node.attr not in self._widgets:
            self._say(node, f"no .ui file has a widget {node.attr}")

    def _check_named_member(self, node: ast.AST, owner: str, member: str) -> None:
        if self._api.member(owner, member) is None and not member.startswith("__"):
            self._say(node, f"{owner}.{member} is not in the table")

    # Calls

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self._check_call(node, node.func)
        self.generic_visit(node)

    def _check_call(self, node: ast.Call, called: ast.Attribute) -> None:
        owner = self._types.of(called.value, self._names)
        if called.attr in ("connect", "disconnect") and owner != OWN:
            self._check_connection(node, called, owner)
        elif self._types.constructed(called):
            if node.keywords:
                self._say(node, f"{ast.unparse(called)} takes no keywords in PythonQt")
        elif owner in self._api:
            self._check_qt_call(node, called, str(owner))
        elif owner is None and not node.args and called.attr in self._api.sure_properties:
            self._say(node, f"{called.attr} is a property; read it without ()")

    def _check_qt_call(self, node: ast.Call, called: ast.Attribute, owner: str) -> None:
        kind = self._api.member(owner, called.attr)
        read = not node.args and self._api.is_property(owner, called.attr)
        if read or (kind and kind[0] not in (METHOD, SIGNAL)):
            self._say(node, f"{owner}.{called.attr} is a property; read it without ()")
        if node.keywords:
            self._say(node, f"{owner}.{called.attr} takes no keywords in PythonQt")

    # Signals

    def _check_connection(self, node: ast.Call, called: ast.Attribute, owner: str | None) -> None:
        signal = node.args[0] if node.args else None
        if isinstance(signal, ast.Constant) and isinstance(signal.value, str):
            self._check_signal(node, signal.value, owner)
        elif owner in self._api or isinstance(signal, ast.JoinedStr):
            self._say(node, "name the signal in plain text, for the table to be asked")
        elif isinstance(called.value, ast.Attribute) and self._is_qt_signal(called.value):
            name = called.value.attr
            self._say(
                node, f".{name}.{called.attr}(f) is PySide's; {called.attr}('{name}(...)', f)"
            )

    def _check_signal(self, node: ast.Call, text: str, owner: str | None) -> None:
        known = self._api.signals(str(owner)) if owner in self._api else self._api.all_signals
        if normal(text) not in known:
            self._say(node, f"{owner if owner in self._api else 'no class'} has no signal {text}")

    def _is_qt_signal(self, node: ast.Attribute) -> bool:
        owner = self._types.of(node.value, self._names)
        if owner == OWN:
            return False
        signals = self._api.signals(str(owner)) if owner in self._api else self._api.all_signals
        return node.attr in {signature.partition("(")[0] for signature in signals}
