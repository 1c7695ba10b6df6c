"""The seam's session over HTTP: the user's prompts and masks stay here, the server computes."""

from __future__ import annotations

import dataclasses
import queue
import weakref
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

from medsam2.core.backend import CancelToken, Direction, Session, SessionOptions, SliceResult
from medsam2.core.errors import (
    NoPromptError,
    OutsideVolumeError,
    PromptError,
    SessionClosedError,
    UnsupportedPromptError,
)
from medsam2.core.intensity import Window
from medsam2.core.masks import BoolArray, stack_slices
from medsam2.core.prompts import (
    BoxPrompt,
    LinePrompt,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    Prompt,
)
from medsam2.core.volume import Volume
from medsam2.wire.messages import JobRequest

from .job import RemoteJob
from .opened import Opened, Sent
from .pump import Done, Pump

_POLL_S = 0.05
_GRACE_S = 0.2
"""How long a cancelled job may take to end by itself before its connection is dropped."""

_MOST_ID = 2**31 - 1
_KINDS: dict[type[Prompt], str] = {
    BoxPrompt: "box",
    LinePrompt: "line",
    MaskPrompt: "mask",
    PointPrompt: "point",
}


@dataclasses.dataclass(eq=False)
class Held:
    """One object: its prompts as put, the slices they reach, and what was streamed."""

    prompts: ObjectPrompts
    first: int
    last: int
    kept: dict[int, SliceResult] = dataclasses.field(default_factory=dict)


class RemoteSession(Session):
    """A session on a server; see :class:`medsam2.core.backend.Session`.

    What the server forgets, by starting anew or for want of memory, it is told again; masks don't
    change by that. Errors of :class:`~medsam2.core.errors.ServerError` lose nothing: the same call
    may be made again.

    Args:
        volume: what is segmented.
        options: fixed for the session's life.
        window: the options' window, resolved on the volume.
        opened: the session on the server.
    """

    def __init__(
        self, volume: Volume, options: SessionOptions, window: Window, opened: Opened
    ) -> None:
        self._volume = volume
        self._options = options
        self._window = window
        self._opened = opened
        self._objects: dict[int, Held] = {}
        self._jobs: weakref.WeakSet[RemoteJob] = weakref.WeakSet()
        self._closed = False

    @property
    def volume(self) -> Volume:
        """The volume it was opened on."""
        return self._volume

    @property
    def options(self) -> SessionOptions:
        """The options it was opened with."""
        return self._options

    @property
    def window(self) -> Window:
        """The intensity window in force."""
        return self._window

    def put(self, object_id: int, prompts: ObjectPrompts) -> None:
        """Sets all prompts of one object; see the protocol.

        Raises:
            PromptError: they don't fit; nothing was changed, here or on the server.
            ServerError: the server can't be told; nothing was changed here.
        """
        self._check_open()
        if not 0 <= object_id <= _MOST_ID:
            msg = f"{prompts.name} has the number {object_id}; 0 to {_MOST_ID} are possible."
            raise PromptError(msg)
        checked = prompts.checked(self._volume, self._options.axis)
        first, last = checked.span(self._volume, self._options.axis)
        checked.within(first, last)
        self._check_kinds(checked)
        sent = Sent.of(checked)
        try:
            self._opened.put(int(object_id), sent)
        except PromptError as error:
            raise _named(error, prompts.name) from None
        known = self._objects.get(object_id)
        self._objects[object_id] = Held(prompts, first, last, known.kept if known else {})

    def remove(self, object_id: int) -> None:
        """Forgets an object and its masks."""
        if self._objects.pop(object_id, None) is not None:
            self._opened.remove(object_id)

    def objects(self) -> dict[int, ObjectPrompts]:
        """The prompts of every object, as last put."""
        return {object_id: held.prompts for object_id, held in self._objects.items()}

    def predict(self, object_id: int, index: int) -> SliceResult:
        """Segments one slice from the prompts alone; see the protocol.

        Raises:
            OutsideVolumeError: there is no such slice.
            ServerError: the server can't be asked, or its answer can't be used.
        """
        self._check_open()
        self._held(object_id)
        count = self._volume.count(self._options.axis)
        if not 0 <= index < count:
            msg = f"Slice {index} is outside the volume's slices 0..{count - 1}."
            raise OutsideVolumeError(msg)
        request = JobRequest(
            self._opened.fingerprint, self._opened.digests([object_id]), "predict", index=int(index)
        )
        (result,) = RemoteJob(self._opened, request).results()
        return result

    def plan(self, object_ids: Collection[int] | None = None) -> int:
        """Returns how many slices a propagation will yield at most."""
        held = [self._held(n) for n in self._ids(object_ids)]
        return sum(one.last - one.first + 1 for one in held)

    def propagate(
        self,
        object_ids: Collection[int] | None = None,
        direction: Direction = Direction.BOTH,
        cancel: CancelToken | None = None,
    ) -> Iterator[SliceResult]:
        """Yields every slice of the given objects, each once; see the protocol.

        An iterator that is given up cancels its job.

        Raises:
            ServerError: the server can't be reached, or its answers can't be used; slices yielded
                before stay.
        """
        self._check_open()
        ids = self._ids(object_ids)
        for object_id in ids:
            self._held(object_id)
        return self._propagate(ids, direction, cancel or CancelToken())

    def results(self, object_id: int) -> dict[int, SliceResult]:
        """The slices streamed so far, by index."""
        kept = self._held(object_id).kept
        return {index: kept[index] for index in sorted(kept)}

    def mask_kji(self, object_id: int) -> BoolArray:
        """The object's mask in the volume, from the slices streamed so far."""
        masks = {index: result.mask_rc for index, result in self.results(object_id).items()}
        return stack_slices(masks, self._options.axis, self._volume.shape_kji)

    def close(self) -> None:
        """Frees what the session holds, on the server too if it can be reached; never raises."""
        if self._closed:
            return
        self._closed = True
        self._objects.clear()
        for job in list(self._jobs):
            job.cancel()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _propagate(
        self, ids: list[int], direction: Direction, cancel: CancelToken
    ) -> Iterator[SliceResult]:
        cancel.check()
        if not ids:
            return
        for held in [self._held(n) for n in ids]:
            for index in [i for i in held.kept if not held.first <= i <= held.last]:
                del held.kept[index]
        digests = self._opened.digests(ids)
        request = JobRequest(self._opened.fingerprint, digests, "propagate", direction.value)
        job = RemoteJob(self._opened, request)
        self._jobs.add(job)
        pump = Pump(job.results, job.finish)
        try:
            while True:
                cancel.check()
                self._check_open()
                try:
                    result = pump.get(_POLL_S)
                except queue.Empty:
                    continue
                except Done:
                    return
                yield self._keep(result)
        finally:
            job.cancel()
            if not pump.join(_GRACE_S):
                job.hang_up()

    def _keep(self, result: SliceResult) -> SliceResult:
        held = self._objects.get(result.object_id)
        if held is not None:
            held.kept[result.index] = result
        return result

    def _check_kinds(self, prompts: ObjectPrompts) -> None:
        used = {_KINDS[type(p)] for p in prompts.prompts} | ({"roi"} if prompts.roi else set())
        model = self._opened.model
        unknown = ", ".join(sorted(used - model.prompts))
        if unknown:
            msg = (
                f"{prompts.name} has prompts that the model {model.name} can't take ({unknown}); it "
                f"takes {', '.join(sorted(model.prompts))}."
            )
            raise UnsupportedPromptError(msg)

    def _check_open(self) -> None:
        if self._closed:
            msg = "The session is closed; open a new one on the volume."
            raise SessionClosedError(msg)

    def _ids(self, object_ids: Collection[int] | None) -> list[int]:
        return sorted(self._objects if object_ids is None else set(object_ids))

    def _held(self, object_id: int) -> Held:
        self._check_open()
        if object_id not in self._objects:
            msg = f"Object {object_id} has no prompt yet; put one first."
            raise NoPromptError(msg)
        return self._objects[object_id]


def _named(error: PromptError, name: str) -> PromptError:
    """The error with the object's own name, which the server never heard."""
    theirs, text = ObjectPrompts().name, str(error)
    if text.startswith(f"{theirs} "):
        return type(error)(f"{name}{text[len(theirs) :]}")
    return error
