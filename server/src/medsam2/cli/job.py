"""Running a segmentation: load, follow, clean up; Ctrl-C ends it within one slice."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medsam2.core.backend import Backend, CancelToken, Direction, ModelInfo, Session, SessionOptions
from medsam2.core.errors import CancelledError
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import MaskPrompt, ObjectPrompts
from medsam2.core.volume import Volume
from medsam2.io.segments import Segment

from . import local
from .interrupt import cancel_on_interrupt
from .remote import Remote, connect

DEFAULT_MODEL = "litemedsam"


@dataclasses.dataclass(frozen=True)
class Engine:
    """Which model, and where it runs: in this process, or in a server."""

    model: str = DEFAULT_MODEL
    checkpoint: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    image_size: int | None = None
    remote: Remote | None = None


@dataclasses.dataclass(frozen=True)
class Cleanup:
    """What is done to each mask in 3D; the user's own masks on slices stay as they are."""

    keep_largest: bool = False
    fill_holes: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """All that a result depends on.

    Args:
        volume: what is segmented.
        objects: at least one.
        options: axis and window.
        engine: the model.
        direction: which way to follow.
        cleanup: afterwards.
    """

    volume: Volume
    objects: Sequence[ObjectPrompts]
    options: SessionOptions
    engine: Engine = Engine()
    direction: Direction = Direction.BOTH
    cleanup: Cleanup = Cleanup()


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a job gave.

    Args:
        segments: one for each object, in its order.
        axis: slices were across it.
        window: how intensities were shown to the model.
        model: which one, and its device.
        load_seconds: for reading the model.
        seconds: for segmenting.
    """

    segments: tuple[Segment, ...]
    axis: SliceAxis
    window: Window
    model: ModelInfo
    load_seconds: float
    seconds: float


def run(job: Job, *, quiet: bool = False) -> Outcome:
    """Segments all objects, with a progress bar on a terminal.

    Raises:
        CancelledError: Ctrl-C was pressed.
        MedSAM2Error: the model can't be loaded, or a prompt doesn't fit.
    """
    begun = time.perf_counter()
    backend = _backend(job.engine, quiet=quiet)
    loaded = time.perf_counter()
    with (
        contextlib.closing(backend),
        backend.open(job.volume, job.options) as session,
        cancel_on_interrupt() as cancel,
    ):
        for object_id, prompts in enumerate(job.objects, start=1):
            session.put(object_id, prompts)
        _follow(session, job.direction, cancel, quiet=quiet)
        segments = tuple(
            Segment(prompts.name, _cleaned(session.mask_kji(object_id), prompts, job))
            for object_id, prompts in enumerate(job.objects, start=1)
        )
        done = time.perf_counter()
        return Outcome(
            segments, job.options.axis, session.window, backend.model, loaded - begun, done - loaded
        )


def _backend(engine: Engine, *, quiet: bool) -> Backend:
    says = not quiet and sys.stderr.isatty()
    if engine.remote is not None:
        if says:
            print(f"Connecting to {engine.remote.url} ...", file=sys.stderr)
        return connect(engine.remote)
    if says:
        print(f"Loading {engine.model} ...", file=sys.stderr)
    return local.make_backend(
        engine.model, engine.checkpoint, engine.device, engine.precision, engine.image_size
    )


def _follow(session: Session, direction: Direction, cancel: CancelToken, *, quiet: bool) -> None:
    from tqdm import tqdm

    hidden = True if quiet else None  # None hides it where there is no terminal
    done = 0
    with tqdm(total=session.plan(), unit="slice", disable=hidden, leave=False) as bar:
        try:
            for _ in session.propagate(direction=direction, cancel=cancel):
                done += 1
                bar.update()
            cancel.check()
        except CancelledError:
            msg = f"Cancelled after {done} slices; nothing was written."
            raise CancelledError(msg) from None


def _cleaned(mask_kji: BoolArray, prompts: ObjectPrompts, job: Job) -> BoolArray:
    if not (job.cleanup.keep_largest or job.cleanup.fill_holes):
        return mask_kji
    from medsam2.engine.postprocess import fill_holes, keep_largest

    cleaned = keep_largest(mask_kji) if job.cleanup.keep_largest else mask_kji.copy()
    if job.cleanup.fill_holes:
        cleaned = fill_holes(cleaned)
    slices_first = np.moveaxis(cleaned, job.options.axis.value, 0)
    for prompt in prompts.prompts:
        if isinstance(prompt, MaskPrompt):
            slices_first[prompt.index] = prompt.mask_rc.unpack()
    return cleaned
