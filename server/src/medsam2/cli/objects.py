"""From named and nameless prompts to objects.

Prompts with the same name belong to one object. A box without a name is an object of its own,
``Segment 1``, ``Segment 2`` and so on; points, lines and masks without a name join the only object
there is, or make one together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence

from medsam2.core.errors import NoPromptError, PromptError, UnsupportedPromptError
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    Prompt,
    RoiBox,
)

from .gather import Given
from .values import RangeValue

Values = list[Prompt | RoiBox]

_KINDS: dict[type, str] = {
    BoxPrompt: "box", PointPrompt: "point", MaskPrompt: "mask", LinePrompt: "line", RoiBox: "roi",
}  # fmt: skip


def make_objects(given: Iterable[Given], ranges: Sequence[RangeValue]) -> list[ObjectPrompts]:
    """Sorts prompts into objects, in the order in which each was first named.

    Raises:
        NoPromptError: nothing was given.
        PromptError: a nameless prompt could belong to several objects, a name has two 3D boxes, or
            a range is for an object that isn't there.
    """
    objects = _grouped(list(given))
    if not objects:
        msg = (
            "Nothing says what to segment; give a prompt: --box-ijk, --box-mm, --point, "
            "--line-ijk, --prompts FILE or --mask FILE."
        )
        raise NoPromptError(msg)
    common, named = _ranges(ranges, objects)
    return [
        dataclasses.replace(_object(name, values), slice_range=named.get(name, common))
        for name, values in objects.items()
    ]


def check_supported(objects: Sequence[ObjectPrompts], model: str, kinds: Collection[str]) -> None:
    """Checks that a model takes every kind of prompt that was given.

    Raises:
        UnsupportedPromptError: it doesn't.
    """
    for prompts in objects:
        values = [*prompts.prompts, *([prompts.roi] if prompts.roi else [])]
        missing = sorted({_KINDS[type(value)] for value in values} - set(kinds))
        if missing:
            msg = (
                f"{model} takes no {' or '.join(missing)} prompt (for {prompts.name}), only "
                f"{', '.join(sorted(kinds))}; choose another --model: medsam2 models list."
            )
            raise UnsupportedPromptError(msg)


def _grouped(given: Sequence[Given]) -> dict[str, Values]:
    objects: dict[str, Values] = {}
    taken = {item.name for item in given}
    for item in given:
        if item.name is not None or item.own:
            name = item.name or _free_name(taken)
            taken.add(name)
            objects.setdefault(name, []).extend(item.values)
    for item in given:
        if item.name is None and not item.own:
            objects.setdefault(_only(objects, item), []).extend(item.values)
    return objects


def _free_name(taken: Collection[str | None]) -> str:
    number = 1
    while f"Segment {number}" in taken:
        number += 1
    return f"Segment {number}"


def _only(objects: dict[str, Values], item: Given) -> str:
    if len(objects) > 1:
        msg = (
            f"The prompt of {item.source} could belong to {' or '.join(objects)}; name its object: "
            f"{item.source if item.source.startswith('--') else '--prompts'} NAME=..."
        )
        raise PromptError(msg)
    return next(iter(objects), "Segment 1")


def _object(name: str, values: Values) -> ObjectPrompts:
    rois = [value for value in values if isinstance(value, RoiBox)]
    if len(rois) > 1:
        msg = f"{name} has {len(rois)} 3D boxes; give it one, or each box another name."
        raise PromptError(msg)
    prompts = tuple(value for value in values if not isinstance(value, RoiBox))
    if rois or any(not isinstance(p, PointPrompt) or p.positive for p in prompts):
        return ObjectPrompts(prompts, rois[0] if rois else None, name=name)
    msg = f"{name} has points outside of it only; add one inside, or a box."
    raise NoPromptError(msg)


def _ranges(
    ranges: Sequence[RangeValue], objects: Collection[str]
) -> tuple[tuple[int, int] | None, dict[str, tuple[int, int]]]:
    """Returns the range that is for all objects, and those that are for one."""
    found: dict[str | None, tuple[int, int]] = {}
    for value in ranges:
        if value.name is not None and value.name not in objects:
            msg = f"--range is for {value.name}, but the objects are {', '.join(objects)}."
            raise PromptError(msg)
        if found.setdefault(value.name, (value.first, value.last)) != (value.first, value.last):
            msg = f"{value.name or 'All objects'} has two ranges; keep one."
            raise PromptError(msg)
    return found.pop(None, None), {name: span for name, span in found.items() if name}
