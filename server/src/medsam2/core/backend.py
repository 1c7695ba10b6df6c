"""The seam: all that Slicer, the web app, the benchmark and the server's worker see of the engine.

A *backend* has a model; it opens a *session* on one volume. A session is declarative: the caller
puts an object's prompts, all of them, whenever they change, and asks for slices. Results depend on
(volume, options, prompts) alone, so putting the same prompts again costs nothing, a lost session is
restored by opening it again and putting the prompts that the caller holds, and every host gives the
same masks: :class:`medsam2.engine.backend.LocalBackend` in this process, the client's backend over
HTTP, the fake of the tests.

Typical use::

    with backend.open(volume, SessionOptions(axis=SliceAxis.K)) as session:
        session.put(1, ObjectPrompts(roi=box_3d((40, 52, 10, 90, 99, 31), volume, SliceAxis.K)))
        for result in session.propagate():
            show(result.index, result.mask_rc.unpack())

Threading: a backend and its sessions may be called from any thread, one call at a time;
:class:`CancelToken` may be set from any other thread while :meth:`Session.propagate` runs.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from .errors import CancelledError
from .geometry import SliceAxis
from .intensity import AUTO, Window
from .masks import BoolArray, PackedMask
from .prompts import ObjectPrompts
from .volume import Volume


class Direction(enum.Enum):
    """Which way to propagate from the prompted slices."""

    BOTH = "both"
    FORWARD = "forward"
    BACKWARD = "backward"


class Origin(enum.Enum):
    """Why a slice's mask is what it is."""

    LOCKED = "locked"
    """The user's own mask, bit for bit."""
    PROMPTED = "prompted"
    """Made from the prompts on this slice."""
    TRACKED = "tracked"
    """Followed from one neighbouring piece of evidence."""
    BLENDED = "blended"
    """Followed from two, one on each side, and weighted by distance."""


@dataclasses.dataclass(frozen=True, eq=False)
class SliceResult:
    """One object's mask on one slice.

    Args:
        object_id: as given to :meth:`Session.put`.
        index: the slice, along the session's axis.
        mask_rc: at the volume's own resolution.
        score: the model's own confidence, 0 to 1; 1 for locked slices.
        origin: how the mask came about.
    """

    object_id: int
    index: int
    mask_rc: PackedMask
    score: float
    origin: Origin


@dataclasses.dataclass(frozen=True)
class SessionOptions:
    """What a session can't change once it is open.

    Args:
        axis: the slices' axis; propagation goes along it.
        window: how intensities are shown to the model (see :mod:`medsam2.core.intensity`).
        crop: whether the model sees a crop around the ROI when that is small.
        stop_after_empty: how many slices without the object end an open-ended propagation;
            0 never does.
    """

    axis: SliceAxis = SliceAxis.K
    window: Window | str = AUTO
    crop: bool = True
    stop_after_empty: int = 3


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What a caller needs to know of a backend's model."""

    name: str
    prompts: frozenset[str]
    """Kinds it takes: ``box``, ``point``, ``mask``, ``line``, ``roi``."""
    device: str
    weights_sha256: str
    license: str


class CancelToken:
    """A flag that ends a propagation within one slice; safe to set from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Asks for the end; what was streamed before stays."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises :class:`~medsam2.core.errors.CancelledError` once cancelled."""
        if self.cancelled:
            msg = "Cancelled; the slices made so far were kept."
            raise CancelledError(msg)


class Session(Protocol):
    """One volume, its objects and their masks."""

    @property
    def volume(self) -> Volume:
        """The volume it was opened on."""
        ...

    @property
    def options(self) -> SessionOptions:
        """The options it was opened with."""
        ...

    @property
    def window(self) -> Window:
        """The intensity window in force (what ``auto`` decided)."""
        ...

    def put(self, object_id: int, prompts: ObjectPrompts) -> None:
        """Sets all prompts of one object, replacing what was put before.

        Raises:
            PromptError: a prompt does not fit the volume or the model; nothing was changed.
            SessionClosedError: the session was closed.
        """
        ...

    def remove(self, object_id: int) -> None:
        """Forgets an object and its masks; unknown ids are ignored."""
        ...

    def objects(self) -> dict[int, ObjectPrompts]:
        """The prompts of every object, as last put."""
        ...

    def predict(self, object_id: int, index: int) -> SliceResult:
        """Segments one slice from the prompts alone, without propagating: the live preview.

        Raises:
            NoPromptError: the object is unknown, or the model needs a prompt on this slice.
        """
        ...

    def propagate(
        self,
        object_ids: Collection[int] | None = None,
        direction: Direction = Direction.BOTH,
        cancel: CancelToken | None = None,
    ) -> Iterator[SliceResult]:
        """Yields every slice of the given (default: all) objects, each once, as it is ready.

        Slices come outward from the prompts. Slices whose evidence has not changed since they were
        last made come from memory. A slice that is streamed is also kept (:meth:`mask_kji`).

        Raises:
            CancelledError: ``cancel`` was set; at most one further slice was computed.
            OutOfMemoryError: the device's memory did not suffice, even with less batching.
        """
        ...

    def plan(self, object_ids: Collection[int] | None = None) -> int:
        """Returns how many slices :meth:`propagate` will yield at most, for a progress bar."""
        ...

    def results(self, object_id: int) -> dict[int, SliceResult]:
        """The slices streamed so far, by index."""
        ...

    def mask_kji(self, object_id: int) -> BoolArray:
        """The object's mask in the volume ``[K, J, I]``, from the slices streamed so far."""
        ...

    def close(self) -> None:
        """Frees what the session holds; closing twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Backend(Protocol):
    """A model that is ready to open sessions."""

    @property
    def model(self) -> ModelInfo:
        """Which model it is and what it takes."""
        ...

    def open(self, volume: Volume, options: SessionOptions | None = None) -> Session:
        """Opens a session.

        Raises:
            VolumeError: the volume can't be segmented.
        """
        ...

    def close(self) -> None:
        """Frees the model; closing twice is fine."""
        ...
