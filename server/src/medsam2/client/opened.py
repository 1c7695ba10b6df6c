"""A session as a server holds it, opened again whenever the server has forgotten it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection
from typing import TypeVar

from medsam2.core.backend import ModelInfo, SessionOptions
from medsam2.core.errors import MessageTooLargeError, PromptError, ServerAnswerError
from medsam2.core.intensity import Window
from medsam2.core.prompts import ObjectPrompts, RoiBox
from medsam2.core.volume import Volume
from medsam2.wire import prompts as wire_prompts
from medsam2.wire import routes, strict
from medsam2.wire.limits import MOST_OBJECT_JSON
from medsam2.wire.messages import ObjectState, SessionRequest, SessionState, fingerprint
from medsam2.wire.names import new_id

from .host import Host
from .http import SOON, Call
from .link import Forgotten, Link
from .retry import Replays
from .upload import check_size, narrowed, upload

Got = TypeVar("Got")


@dataclasses.dataclass(frozen=True)
class Sent:
    """An object's prompts as they are sent.

    Args:
        body: the message.
        digest: of what it means.
    """

    body: bytes
    digest: str

    @classmethod
    def of(cls, prompts: ObjectPrompts) -> Sent:
        """Encodes checked prompts.

        Raises:
            PromptError: a coordinate is no number.
            MessageTooLargeError: there are too many.
        """
        roi, span = prompts.roi, prompts.slice_range
        plain = dataclasses.replace(
            prompts,
            roi=None if roi is None else RoiBox(int(roi.first), int(roi.last), roi.box_rc),
            slice_range=None if span is None else (int(span[0]), int(span[1])),
        )
        try:
            made = cls(wire_prompts.encode(plain), wire_prompts.digest(plain))
        except (ValueError, OverflowError, TypeError):
            msg = f"{prompts.name} has a coordinate that is no number; remove that prompt."
            raise PromptError(msg) from None
        if len(made.body) > MOST_OBJECT_JSON:
            msg = f"{prompts.name} has more prompts than fit into one message; remove some."
            raise MessageTooLargeError(msg)
        return made


class Opened:
    """One session on a server; may be used from several threads at once.

    Args:
        host: the server.
        volume: the user's.
        options: as the user gave them.
        window: worked out on the user's own voxels.

    Raises:
        MedSAM2Error: it can't be opened.
    """

    def __init__(self, host: Host, volume: Volume, options: SessionOptions, window: Window) -> None:
        self.name = new_id()
        self.slice_count = volume.count(options.axis)
        self.shape_rc = volume.shape_rc(options.axis)
        self._host = host
        self._volume = narrowed(volume)
        self._request = SessionRequest.of(
            self._volume.content_hash, volume.affine_ijk_to_ras, options, window
        )
        self._lock = threading.Lock()
        self._opening = threading.RLock()
        self._generation = 0
        self._run = host.info.run
        self._model: ModelInfo | None = None
        self._fingerprint = ""
        self._objects: dict[int, Sent] = {}
        check_size(volume, host.info.most_volume_bytes)
        try:
            self._open(None)
        except Forgotten:
            self._insist(lambda: None, forgotten=0)

    @property
    def link(self) -> Link:
        """To the server."""
        return self._host.link

    @property
    def model(self) -> ModelInfo:
        """The model that the session was opened with."""
        return self._model or self._host.info.model.info()

    @property
    def fingerprint(self) -> str:
        """Of everything that results depend on but the prompts."""
        return self._fingerprint

    @property
    def generation(self) -> int:
        """Counts how often it was opened; taken before a request, it tells :meth:`restore` which."""
        with self._lock:
            return self._generation

    @property
    def headers(self) -> dict[str, str]:
        """For every request about the session."""
        with self._lock:
            return {routes.SESSION_ID: self.name, routes.RUN: self._run}

    def digests(self, object_ids: Collection[int]) -> dict[str, str]:
        """The digests of those objects that the server has, as a job names them."""
        with self._lock:
            held = {n: self._objects[n].digest for n in sorted(object_ids) if n in self._objects}
        return {str(n): digest for n, digest in held.items()}

    def put(self, object_id: int, sent: Sent) -> None:
        """Sets an object's prompts.

        Raises:
            PromptError: the server refuses them; nothing was changed.
            ServerError: it can't be reached.
        """
        self._insist(lambda: self._put(object_id, sent))
        with self._lock:
            self._objects[object_id] = sent

    def remove(self, object_id: int) -> None:
        """Forgets an object; the server is told, and it does not matter if it can't be."""
        with self._lock:
            if self._objects.pop(object_id, None) is None:
                return
        path = routes.OBJECT.format(session=self.name, object_id=object_id)
        self.link.tell(Call("DELETE", path, expects="", headers=self.headers, timeout_s=SOON))

    def close(self) -> None:
        """Tells the server that nobody needs the session any more, if it can be told."""
        path = routes.SESSION.format(session=self.name)
        self.link.tell(Call("DELETE", path, expects="", headers=self.headers, timeout_s=SOON))

    def restore(self, generation: int, stop: threading.Event | None = None) -> None:
        """Sends volume, options and all prompts again, unless another thread has done it since.

        Args:
            generation: what :attr:`generation` was before the request that failed.
            stop: ends waiting.

        Raises:
            CancelledError: stopped.
            Forgotten: the server forgot again.
            ServerAnswerError: it runs another model by now.
            ServerError: it can't be reached.
        """
        with self._opening:
            if generation != self.generation:
                return
            self._host.refresh(stop)
            self._open(stop)

    def _insist(self, action: Callable[[], Got], forgotten: int | None = None) -> Got:
        """Does what the server may have forgotten the session for.

        Args:
            action: raises :class:`Forgotten` then.
            forgotten: the generation that is known to be lost.
        """
        replays = Replays()
        while True:
            generation = self.generation
            try:
                if forgotten is not None:
                    self.restore(forgotten)
                    generation, forgotten = self.generation, None
                return action()
            except Forgotten as gone:
                replays.again(gone.code)
                forgotten = generation

    def _open(self, stop: threading.Event | None) -> None:
        """Brings the server to what is known here; one thread at a time."""
        info = self._host.info
        model = info.model.info()
        if self._model is not None and (
            (model.name, model.weights_sha256) != (self._model.name, self._model.weights_sha256)
        ):
            msg = "The server now runs another model; open the volume again."
            raise ServerAnswerError(msg)
        with self._lock:
            self._run = info.run
            objects = dict(self._objects)
        upload(self.link, self._volume, self._host.codec, stop)
        path = routes.SESSION.format(session=self.name)
        call = Call("PUT", path, strict.to_json(self._request), headers=self.headers)
        state = self.link.ask(SessionState, call, stop)
        if state.run != info.run:
            code = "restarted"
            raise Forgotten(code)
        expected = fingerprint(self._request, model)
        if state.fingerprint != expected:
            msg = "The server's session has another volume, other options or another model."
            raise ServerAnswerError(msg)
        self._fingerprint, self._model = expected, self._model or model
        for object_id, sent in objects.items():
            if state.objects.get(str(object_id)) != sent.digest:
                self._put(object_id, sent, stop)
        with self._lock:
            self._generation += 1

    def _put(self, object_id: int, sent: Sent, stop: threading.Event | None = None) -> None:
        path = routes.OBJECT.format(session=self.name, object_id=object_id)
        call = Call("PUT", path, sent.body, headers=self.headers)
        if self.link.ask(ObjectState, call, stop).digest != sent.digest:
            msg = "The server understood the prompts differently; nothing of its answer was used."
            raise ServerAnswerError(msg)
