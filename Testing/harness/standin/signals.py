"""Connecting by a signal's C++ signature, as PythonQt does.

A signature must be exactly one of the sender's. A function gets as many of the signal's arguments as
it takes. Doubles of Slicer's classes, whose C++ argument types Qt does not know here, list theirs in
``cxxSignals``: signature to the name of the PySide signal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

TYPES = {"int": int, "bool": bool, "double": float, "QString": str}

_connections: dict[tuple[int, str, Any], tuple[Any, Callable[..., Any]]] = {}


def connect(sender: Any, signature: str, *receiver: Any) -> bool:
    """Connects a signal.

    Args:
        sender: the QObject.
        signature: e.g. ``clicked(bool)``.
        receiver: a callable; or a QObject and the signature of its slot.

    Raises:
        ValueError: the sender has no such signal.
    """
    function = _callable(*receiver)
    signal, count = find(sender, signature)
    call = _taking(function, count)
    signal.connect(call)
    _connections[_key(sender, signature, function)] = (signal, call)
    return True


def disconnect(sender: Any, signature: str, *receiver: Any) -> bool:
    """Undoes :func:`connect`; returns whether there was such a connection."""
    signal, call = _connections.pop(_key(sender, signature, _callable(*receiver)), (None, None))
    if signal is None:
        return False
    signal.disconnect(call)
    return True


def find(sender: Any, signature: str) -> tuple[Any, int]:
    """The bound signal of that signature and how many arguments it has.

    Raises:
        ValueError: the sender has no such signal.
    """
    wanted = normalized(signature)
    count = 0 if wanted.endswith("()") else wanted.count(",") + 1
    for kind in type(sender).__mro__:
        if wanted in vars(kind).get("cxxSignals", {}):
            return getattr(sender, kind.cxxSignals[wanted]), count
    if "PyObject" not in wanted and sender.metaObject().indexOfSignal(wanted) >= 0:
        return _overload(sender, wanted), count
    msg = f"PythonQt: {type(sender).__name__} has no signal {signature}"
    raise ValueError(msg)


def normalized(signature: str) -> str:
    """The signature as Qt's meta objects spell it."""
    return bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()


def _overload(sender: Any, signature: str) -> Any:
    name, arguments = signature[:-1].split("(")
    signal = getattr(sender, name)
    kinds = [_type(text) for text in arguments.split(",")] if arguments else []
    if not kinds or None in kinds:
        return signal
    try:
        return signal[tuple(kinds) if len(kinds) > 1 else kinds[0]]
    except (IndexError, KeyError, TypeError):
        return signal


def _type(text: str) -> type | None:
    name = text.rstrip("*")
    homes = (QtCore, QtGui, QtWidgets)
    return TYPES.get(name) or next((getattr(m, name) for m in homes if hasattr(m, name)), None)


def _callable(*receiver: Any) -> Callable[..., Any]:
    if len(receiver) == 2:
        owner, slot = receiver
        return getattr(owner, slot.split("(")[0])  # type: ignore[no-any-return]
    (function,) = receiver
    if not callable(function):
        msg = f"PythonQt: {function!r} cannot be called"
        raise TypeError(msg)
    return function  # type: ignore[no-any-return]


def _taking(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function, called with no more arguments than it takes and the signature names."""
    accepted = _accepted(function)
    take = count if accepted is None else min(count, accepted)

    def call(*arguments: Any) -> None:
        function(*arguments[:take])

    return call


def _accepted(function: Callable[..., Any]) -> int | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional for one in parameters)


def _key(sender: Any, signature: str, function: Any) -> tuple[int, str, Any]:
    return shiboken6.getCppPointer(sender)[0], normalized(signature), function
