"""The worker's side: the backend, and the sessions that are kept open between runs.

A session keeps the features of the slices it has seen, so keeping it makes the next prompt quick. It
is looked up by what its results depend on: the volume's fingerprint, the axis and the window.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsam2.core.backend import Backend, CancelToken, Session
    from medsam2.core.geometry import SliceAxis
    from medsam2.core.intensity import Window
    from medsam2.core.prompts import ObjectPrompts
    from medsam2.core.volume import Volume

    from .Jobs import Job

OPEN_SESSIONS = 2
"""How many sessions are kept; a third closes the one that was used longest ago."""


class Compute:
    """Opens backends and sessions as they are needed.

    Args:
        openBackend: makes the backend; called in the worker, may take long, may raise.
        beforeUse: called in the worker before each use of a backend that is open, to bring back a
            server that has died meanwhile.

    Threading: everything but :meth:`forget` in the worker, one call at a time.
    """

    def __init__(
        self,
        openBackend: Callable[[], Backend],
        beforeUse: Callable[[], object] = lambda: None,
    ) -> None:
        self._openBackend, self._beforeUse = openBackend, beforeUse
        self._backend: Backend | None = None
        self._sessions: dict[Any, Session] = {}
        self._stale = False

    def forget(self) -> None:
        """Opens a new backend for the next job (the settings changed). Any thread."""
        self._stale = True

    @property
    def opened(self) -> Backend | None:
        """The backend, if there is one already that is not given up. Any thread."""
        return None if self._stale else self._backend

    def backend(self) -> Backend:
        """The backend, opened if it is not."""
        if self._stale:
            self.close()
        if self._backend is None:
            self._backend = self._openBackend()
        else:
            self._beforeUse()
        return self._backend

    def session(
        self, key: Any, snapshot: Callable[[], Volume], axis: SliceAxis, window: Window | str
    ) -> Session:
        """The session on a volume, opened if it is not.

        Args:
            key: the volume's fingerprint.
            snapshot: makes the volume; called only when a session must be opened.
            axis: that slices are taken across.
            window: a preset's name, or the window itself.
        """
        from medsam2.core.backend import SessionOptions

        backend = self.backend()
        whole = (key, axis, window)
        session = self._sessions.pop(whole, None)
        if session is None:
            while len(self._sessions) >= OPEN_SESSIONS:
                self._sessions.pop(next(iter(self._sessions))).close()
            session = backend.open(snapshot(), SessionOptions(axis=axis, window=window))
        self._sessions[whole] = session
        return session

    def propagation(
        self, opening: tuple[Any, ...], objects: dict[int, ObjectPrompts], direction: str
    ) -> Callable[[Job], None]:
        """The worker's part of a run: emits how many slices are planned, then each as it is ready.

        Args:
            opening: arguments of :meth:`session`.
            objects: what is propagated; other objects of the session stay as they are.
            direction: ``both``, ``forward`` or ``backward``.
        """

        def work(job: Job) -> None:
            from medsam2.core.backend import Direction

            session = self.session(*opening)
            putObjects(session, {**session.objects(), **objects})
            job.emit(session.plan(list(objects)))
            for result in session.propagate(list(objects), Direction(direction), tokenFor(job)):
                job.emit(result)

        return work

    def close(self) -> None:
        """Closes the sessions and the backend, also one that is broken."""
        self._stale = False
        backend, self._backend = self._backend, None
        sessions, self._sessions = list(self._sessions.values()), {}
        for held in [*sessions, backend]:
            if held is not None:
                with contextlib.suppress(Exception):
                    held.close()


def putObjects(session: Session, objects: dict[int, ObjectPrompts]) -> None:
    """Gives a session the prompts of these objects and no others.

    Raises:
        PromptError: a prompt does not fit the volume or the model.
    """
    for objectId in set(session.objects()) - set(objects):
        session.remove(objectId)
    for objectId, prompts in objects.items():
        session.put(objectId, prompts)


def tokenFor(job: Job) -> CancelToken:
    """The engine's token that a job's cancel sets."""
    from medsam2.core.backend import CancelToken

    token = CancelToken()
    job.onCancel(token.cancel)
    return token
