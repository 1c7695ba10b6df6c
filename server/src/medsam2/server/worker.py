"""The worker process: the engine's only home in a server, and the only place where torch is.

The main thread owns the model and computes. A second thread reads the pipe, so that a cancel takes
effect in mid-slice work. When the pipe breaks, the API process is gone, and so is this one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from medsam2.core.backend import Backend, CancelToken
from medsam2.core.errors import MedSAM2Error
from medsam2.wire import strict
from medsam2.wire.messages import WireModel

from . import link
from .link import Header
from .settings import ModelChoice
from .turns import Turns


def local_backend(choice: ModelChoice) -> Backend:
    """Loads a model in this process.

    Raises:
        ModelError: its weights can't be used.
        DeviceError: the device isn't there.
    """
    from medsam2.engine.backend import LocalBackend
    from medsam2.models.load import load_model

    loaded = load_model(choice.model, checkpoint=choice.checkpoint, image_size=choice.image_size)
    megabytes = choice.feature_megabytes
    feature_bytes = None if megabytes is None else megabytes << 20
    return LocalBackend(loaded, choice.device, choice.precision, feature_bytes)


def work(connection: Connection, factory: str, choice: ModelChoice) -> None:
    """Serves one API process until it is gone.

    Args:
        connection: to the API process.
        factory: ``module:function`` that makes the backend from ``choice``.
        choice: the model.
    """
    no_core_dumps()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the API process decides when to end
    inbox: queue.SimpleQueue[tuple[Header, bytes]] = queue.SimpleQueue()
    tokens: dict[str, CancelToken] = {}
    reader = threading.Thread(target=_read, args=(connection, inbox, tokens), daemon=True)
    reader.start()
    try:
        backend = _backend(factory, choice)
    except MedSAM2Error as error:
        link.send(connection, {"kind": "unusable", "code": error.code, "message": str(error)})
        return
    model = strict.parse(strict.to_json(WireModel.of(backend.model)))
    link.send(connection, {"kind": "ready", "model": model})
    with contextlib.suppress(BrokenPipeError), contextlib.closing(backend):
        Turns(
            backend, inbox, tokens, lambda header, body: link.send(connection, header, body)
        ).run()


def no_core_dumps() -> None:
    """Keeps voxels out of files that the system would write when the process crashes."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _backend(factory: str, choice: ModelChoice) -> Backend:
    module, _, name = factory.partition(":")
    make: Callable[[ModelChoice], Backend] = getattr(importlib.import_module(module), name)
    return make(choice)


def _read(
    connection: Connection,
    inbox: queue.SimpleQueue[tuple[Header, bytes]],
    tokens: dict[str, CancelToken],
) -> None:
    """Passes messages on; a cancel takes effect here, whatever the engine does."""
    try:
        while True:
            header, body = link.receive(connection)
            if header["kind"] == "job":
                tokens[header["job"]] = CancelToken()
            elif header["kind"] == "cancel":
                token = tokens.get(header["job"])
                if token is not None:
                    token.cancel()
                continue
            inbox.put((header, body))
    except (EOFError, OSError):
        os._exit(0)
