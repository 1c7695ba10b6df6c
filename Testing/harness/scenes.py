"""Pieces of work whose masks must be the same bits wherever and however they are made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence

from phantoms import moving_ball
from server_process import ServerProcess, running
from traps import TRAPS, Traps

from medsam2.client.backend import RemoteBackend
from medsam2.core.backend import Backend, Session, SessionOptions
from medsam2.core.errors import MedSAM2Error
from medsam2.core.prompts import BoxPrompt, ObjectPrompts, RoiBox, mask_on_slice
from medsam2.core.volume import Volume

SLICES = 10
NEVER_STOPS = SessionOptions(stop_after_empty=0)


class Scene:
    """A volume and prompts for two objects.

    Args:
        seed: of the volume's noise.
        slices: of the volume.
    """

    def __init__(self, seed: int = 0, slices: int = SLICES) -> None:
        self.volume: Volume
        self.volume, truth_kji = moving_ball((slices, 64, 64), seed)
        middle = slices // 2
        corrected = mask_on_slice(slices - 2, truth_kji[slices - 2])
        self.objects = {
            1: ObjectPrompts((BoxPrompt(middle, (18, 18, 46, 46)), corrected)),
            2: ObjectPrompts(roi=RoiBox(1, slices - 2, (10, 10, 50, 50))),
        }

    @property
    def count(self) -> int:
        """Slices of both objects together."""
        slices = self.volume.shape_kji[0]
        return slices + slices - 2

    def open(self, backend: Backend) -> Session:
        """Opens a session with all prompts put."""
        session = backend.open(self.volume, NEVER_STOPS)
        for object_id, prompts in self.objects.items():
            session.put(object_id, prompts)
        return session

    def masks(self, backend: Backend) -> str:
        """Propagates everything; returns a digest of all masks."""
        with self.open(backend) as session:
            for _ in session.propagate():
                pass
            return self.digest(session)

    def digest(self, session: Session) -> str:
        """A digest of every slice made: mask, score and origin; and of a prediction of each object."""
        middle = self.volume.shape_kji[0] // 2
        found = hashlib.sha256()
        for object_id in self.objects:
            made = session.results(object_id)
            for result in (*made.values(), session.predict(object_id, middle)):
                known = object_id, result.index, result.score, result.origin.value
                found.update(repr(known).encode() + result.mask_rc.bits.tobytes())
        return found.hexdigest()


@contextlib.contextmanager
def trapped_server(traps: Traps, model: str, **limits: float) -> Iterator[ServerProcess]:
    """A server for two tenants whose worker runs into traps; ``model`` is one of ``traps``'."""
    with running(
        tenants=2,
        factory="traps:TrappedBackend",
        model={"model": model},
        env={**os.environ, TRAPS: str(traps.folder)},
        limits=limits,
    ) as server:
        yield server


@contextlib.contextmanager
def clients(
    url: str, tokens: Sequence[str], patience_s: float = 60.0
) -> Iterator[list[RemoteBackend]]:
    """A client for each token."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                contextlib.closing(RemoteBackend(url, token, patience_s=patience_s))
            )
            for token in tokens
        ]


class Work(threading.Thread):
    """A scene that is propagated in a thread, in a session of its own.

    Args:
        scene: what.
        backend: where.
    """

    def __init__(self, scene: Scene, backend: Backend) -> None:
        super().__init__(daemon=True)
        self._scene = scene
        self._backend = backend
        self._came = threading.Condition()
        self._masks = ""
        self._error: MedSAM2Error | None = None
        self.slices = 0
        self.start()

    def run(self) -> None:
        """Propagates."""
        try:
            with self._scene.open(self._backend) as session:
                for _ in session.propagate():
                    self._note(1)
                self._masks = self._scene.digest(session)
        except MedSAM2Error as error:
            self._error = error
        self._note(0)

    def wait(self, slices: int, seconds: float = 60.0) -> None:
        """Waits until so many slices came in all, or the end."""
        with self._came:
            if not self._came.wait_for(lambda: self.slices >= slices or self._over, seconds):
                msg = f"{self.slices} of {slices} slices came in {seconds} s"
                raise TimeoutError(msg)

    def masks(self, seconds: float = 120.0) -> str:
        """Waits for the end; returns a digest of all masks.

        Raises:
            MedSAM2Error: the propagation ended with it.
        """
        self.join(seconds)
        if self.is_alive():
            msg = f"{self.slices} slices came in {seconds} s, and no end"
            raise TimeoutError(msg)
        if self._error is not None:
            raise self._error
        return self._masks

    @property
    def _over(self) -> bool:
        return bool(self._masks) or self._error is not None

    def _note(self, slices: int) -> None:
        with self._came:
            self.slices += slices
            self._came.notify_all()


def begin(scenes: Sequence[Scene], backends: Sequence[Backend], slices: int = 4) -> list[Work]:
    """Starts a scene on each backend; returns when all are in the middle."""
    works = [Work(scene, backend) for scene, backend in zip(scenes, backends, strict=True)]
    for work in works:
        work.wait(slices)
    return works


def outcomes(works: Sequence[Work]) -> list[str]:
    """The digest of each propagation's masks, or the code of its error."""
    found = []
    for work in works:
        try:
            found.append(work.masks())
        except MedSAM2Error as error:
            found.append(error.code)
    return found


def differing(found: Sequence[str], expected: Sequence[str]) -> int:
    """How many outcomes are not the expected ones."""
    return sum(a != b for a, b in zip(found, expected, strict=True))


def slack(full: bool) -> int:
    """Factor on promised times: they hold on a machine that does nothing else, and CI's does."""
    return 1 if full else 4
