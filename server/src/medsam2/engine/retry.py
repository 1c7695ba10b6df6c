"""When the device's memory does not suffice: once more with less, then a clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from medsam2.core.errors import OutOfMemoryError

from .tracker import Tracker

Answer = TypeVar("Answer")

_SIGNS = ("out of memory", "can't allocate memory")
"""How torch says it on devices for which it has no class of error."""


def retrying(tracker: Tracker, action: Callable[[], Answer]) -> Answer:
    """Returns the action's answer; after a lack of memory it is tried once more with less.

    Raises:
        OutOfMemoryError: the second attempt failed too.
    """
    try:
        return action()
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
    tracker.use_less_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        return action()
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        msg = (
            "The device's memory does not suffice for this model, even one slice at a time; close "
            "other programs, take a smaller model, or --device cpu."
        )
        raise OutOfMemoryError(msg) from error


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of torch's or Python's says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in _SIGNS)
