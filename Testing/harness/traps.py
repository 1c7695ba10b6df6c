"""A worker's backend that fails on purpose: the engine, with traps before its slices."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from fake_backend import FakeBackend

from medsam2.core.backend import (
    Backend,
    CancelToken,
    Direction,
    Session,
    SessionOptions,
    SliceResult,
)
from medsam2.core.prompts import ObjectPrompts
from medsam2.core.volume import Volume
from medsam2.server.settings import ModelChoice

TRAPS = "MEDSAM2_TEST_TRAPS"
"""The environment variable that names the folder of traps."""

POISON = 666
"""An object whose slices kill the process that makes them."""

CURSE = 667
"""An object whose prompts kill the process that takes them."""


class Traps:
    """Faults that wait in a folder, a small file each, and happen once each time they are armed.

    ``segv`` crashes the process that is about to make a slice, ``cuda`` spoils its GPU, ``hang``
    stops it; ``oom`` makes the next decodings fail for want of memory, as many as its file says,
    once as many as the file ``oom_after`` says have passed.
    ``pace`` stays and holds the seconds that every slice takes longer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arm(self, name: str, number: float = 1) -> None:
        """Sets a trap."""
        part = self.folder / f".{name}"
        part.write_text(str(number), encoding="ascii")
        part.rename(self.folder / name)

    def armed(self, name: str) -> bool:
        """Whether a trap still waits."""
        return (self.folder / name).exists()

    def number(self, name: str) -> float:
        """What a trap holds, 0 for none."""
        with contextlib.suppress(FileNotFoundError):
            return float((self.folder / name).read_text(encoding="ascii"))
        return 0

    def sprung(self, name: str) -> bool:
        """Whether a trap was set; it isn't any more."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / name).unlink()
            return True
        return False

    def step(self, object_ids: Collection[int]) -> None:
        """Called before each slice."""
        if POISON in object_ids:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.sprung("segv"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.sprung("cuda"):
            raise RuntimeError("CUDA error: device-side assert triggered")
        if self.sprung("hang"):
            time.sleep(600)
        time.sleep(self.number("pace"))

    def decode(self) -> None:
        """Called before each decoding."""
        passing = int(self.number("oom_after"))
        if passing:
            self.arm("oom_after", passing - 1)
            return
        left = int(self.number("oom"))
        if left > 1:
            self.arm("oom", left - 1)
        elif left:
            self.sprung("oom")
        if left:
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 EiB.")


def untrapped(model: str) -> Backend:
    """The same backend where nothing fails."""
    if model == "fake":
        return FakeBackend()
    from tiny_engine import backend_for

    return backend_for(model)


class TrappedSession:
    """A session of the engine that runs into traps."""

    def __init__(self, session: Session, traps: Traps) -> None:
        self._session = session
        self._traps = traps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def put(self, object_id: int, prompts: ObjectPrompts) -> None:
        """Takes prompts."""
        if object_id == CURSE:
            os.kill(os.getpid(), signal.SIGKILL)
        self._session.put(object_id, prompts)

    def propagate(
        self, object_ids: Collection[int], direction: Direction, cancel: CancelToken
    ) -> Iterator[SliceResult]:
        """Springs the traps before each slice."""
        results = self._session.propagate(object_ids, direction, cancel)
        while True:
            self._traps.step(object_ids)
            result = next(results, None)
            if result is None:
                return
            yield result


class TrappedBackend:
    """A backend with traps.

    Args:
        choice: ``tiny-random``, ``tiny-random-chain``, or ``fake`` for one that is there at once.
    """

    def __init__(self, choice: ModelChoice) -> None:
        self._backend = untrapped(choice.model)
        self._traps = Traps(Path(os.environ[TRAPS]))
        self.model = self._backend.model
        if choice.model != "fake":
            _trap_decoding(self._traps)

    def open(self, volume: Volume, options: SessionOptions) -> TrappedSession:
        """Opens a session."""
        return TrappedSession(self._backend.open(volume, options), self._traps)

    def close(self) -> None:
        """Frees the model."""
        self._backend.close()


def _trap_decoding(traps: Traps) -> None:
    from medsam2.engine.sam1_model import SAM1Model
    from medsam2.engine.sam2_model import SAM2Model

    for kind in (SAM1Model, SAM2Model):

        def decode(self: Any, *args: Any, original: Any = kind.decode, **extra: Any) -> Any:
            traps.decode()
            return original(self, *args, **extra)

        kind.decode = decode
