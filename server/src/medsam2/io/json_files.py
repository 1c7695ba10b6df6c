"""Reading JSON that people edit: every mistake is named with its place in the file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medsam2.core.errors import PromptFileError

_LIMIT_BYTES = 64 << 20


def read_json(path: Path) -> Any:
    """Returns a JSON file's content; repeated keys and NaN are refused.

    Raises:
        PromptFileError: the file is missing, too large, or not JSON.
    """
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            msg = f"{path.name} is larger than {_LIMIT_BYTES >> 20} MB; that is no file of prompts."
            raise PromptFileError(msg)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path} can't be read ({error.strerror}); check the path."
        raise PromptFileError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not UTF-8 text; save it as JSON."
        raise PromptFileError(msg) from error
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        msg = f"{path.name} is not valid JSON ({error}); correct it there, or save it again."
        raise PromptFileError(msg) from error


def numbers(where: str, value: Any, count: int) -> tuple[float, ...]:
    """Returns ``count`` finite numbers.

    Raises:
        PromptFileError: ``value`` is anything else; the message starts with ``where``.
    """
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(type(n) in {int, float} and math.isfinite(n) for n in value)
    ):
        msg = f"{where} must be a list of {count} numbers, not {shown(value)}."
        raise PromptFileError(msg)
    return tuple(float(n) for n in value)


def integers(where: str, value: Any, count: int | None = None) -> tuple[int, ...]:
    """Returns ``count`` (or any number of) whole numbers; raises as :func:`numbers` does."""
    whole = isinstance(value, list) and all(type(n) is int for n in value)
    if not whole or (count is not None and len(value) != count):
        how_many = "" if count is None else f"{count} "
        msg = f"{where} must be a list of {how_many}whole numbers, not {shown(value)}."
        raise PromptFileError(msg)
    return tuple(value)


def text(where: str, value: Any) -> str:
    """Returns a text that isn't blank; raises as :func:`numbers` does."""
    if not isinstance(value, str) or not value.strip():
        msg = f"{where} must be a text, not {shown(value)}."
        raise PromptFileError(msg)
    return value.strip()


def fields(where: str, value: Any, allowed: Sequence[str]) -> dict[str, Any]:
    """Returns an object that has no other keys than ``allowed``.

    Raises:
        PromptFileError: it is no object, or has a key that is not allowed (it is named).
    """
    if not isinstance(value, dict):
        msg = f"{where} must be an object with {', '.join(allowed)}, not {shown(value)}."
        raise PromptFileError(msg)
    unknown = [key for key in value if key not in allowed]
    if unknown:
        msg = f"{where} has the unknown key '{unknown[0]}'; allowed are {', '.join(allowed)}."
        raise PromptFileError(msg)
    return value


def shown(value: Any) -> str:
    """Returns a value as short JSON, for messages."""
    words = json.dumps(value, ensure_ascii=False, default=str)
    return words if len(words) <= 60 else words[:57] + "..."


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        msg = f"the key '{repeated}' is repeated"
        raise ValueError(msg)
    return found


def _no_constant(name: str) -> float:
    msg = f"{name} is not a number"
    raise ValueError(msg)
