"""An object's prompts as the server keeps them: read, checked, and written down again."""

from __future__ import annotations

from medsam2.core.backend import ModelInfo
from medsam2.core.errors import UnsupportedPromptError
from medsam2.core.geometry import SliceAxis
from medsam2.core.prompts import BoxPrompt, LinePrompt, ObjectPrompts, PointPrompt
from medsam2.core.volume import Volume
from medsam2.wire import prompts

from .sessions import HeldObject


def read_object(
    data: bytes | bytearray, volume: Volume, axis: SliceAxis, model: ModelInfo
) -> HeldObject:
    """Reads an object's prompts and checks them as the engine would; may be called from any thread.

    Raises:
        WireError: the message is malformed.
        PromptError: the prompts don't fit the volume or the model.
    """
    given = prompts.decode(data, volume.count(axis), volume.shape_rc(axis))
    slices = _checked(given, volume, axis, model)
    return HeldObject(prompts.encode(given), prompts.digest(given), slices)


def _checked(given: ObjectPrompts, volume: Volume, axis: SliceAxis, model: ModelInfo) -> int:
    """Returns how many slices the prompts reach."""
    checked = given.checked(volume, axis)
    kinds = {_kind(prompt) for prompt in checked.prompts} | ({"roi"} if checked.roi else set())
    unknown = sorted(kinds - model.prompts)
    if unknown:
        msg = f"The model {model.name} takes no {', '.join(unknown)}; take another model."
        raise UnsupportedPromptError(msg)
    first, last = checked.span(volume, axis)
    checked.within(first, last)
    return last - first + 1


def _kind(prompt: object) -> str:
    match prompt:
        case BoxPrompt():
            return "box"
        case PointPrompt():
            return "point"
        case LinePrompt():
            return "line"
    return "mask"
