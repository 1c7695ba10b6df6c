"""From the settings to a backend: the only file of the module that imports the engine.

Nothing is imported before it is needed; where images go to a server, torch never is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import Installer
from .Messages import inWordsOfThePanel
from .ServerProcess import ServerOptions, ServerProcess
from .Settings import BUNDLED_SERVER, REMOTE_SERVER, THIS_COMPUTER, Settings

if TYPE_CHECKING:
    from medsam2.client.backend import RemoteBackend
    from medsam2.core.backend import Backend

REMOTE_PATIENCE_SECONDS = 60.0
BUNDLED_PATIENCE_SECONDS = 20.0
"""How long to go on without progress; a server of our own that has ended is told at once."""
TEST_PATIENCE_SECONDS = 4.0

_PLACES = {
    THIS_COMPUTER: "this computer",
    BUNDLED_SERVER: "the bundled server",
    REMOTE_SERVER: "a remote server",
}


def describeCompute(settings: Settings, backend: Backend | None = None) -> str:
    """One line for the status bar: :func:`describePlace` and :func:`describeMemory`. Any thread."""
    return describePlace(settings, backend) + describeMemory(backend)


def describePlace(settings: Settings, backend: Backend | None = None) -> str:
    """Where, with which model, on which device. Any thread.

    Args:
        settings: the user's.
        backend: once there is one; before, the line says what is planned.
    """
    if settings.mode == REMOTE_SERVER:
        place = settings.serverUrl or "a server still to be chosen"
        planned = "its model"
    else:
        place = _PLACES[settings.mode]
        model, checkpoint = settings.chosenModel()
        planned = f"{model} (own weights)" if checkpoint is not None else model
    if backend is None:
        device = "" if settings.mode == REMOTE_SERVER else f" on {settings.device}"
        return f"{planned}{device}, {place}"
    return f"{backend.model.name} on {backend.model.device}, {place}"


def describeMemory(backend: Backend | None) -> str:
    """The end of that line: what a backend's features take; empty where there are none here."""
    features = getattr(backend, "features", None)
    return f", {features.used_bytes / 1e6:.0f} MB of features" if features is not None else ""


def openBackend(
    settings: Settings,
    serverProcess: ServerProcess | None = None,
    report: Callable[[str], None] | None = None,
    *,
    cancelled: Callable[[], bool] | None = None,
    patienceSeconds: float | None = None,
) -> Backend:
    """Makes a backend ready; worker thread, for it may take long.

    Args:
        settings: a snapshot of the user's.
        serverProcess: started if the bundled server is chosen, and needed then.
        report: called with a line for the user at each stage.
        cancelled: asked while the bundled server starts.
        patienceSeconds: how long a server may take without any progress.

    Raises:
        MedSAM2Error: in words of the panel, with what to do.
    """
    report = report or (lambda _: None)
    with inWordsOfThePanel():
        settings.check()
        if settings.mode == THIS_COMPUTER:
            return _local(settings, report)
        if settings.mode == REMOTE_SERVER:
            report(f"Connecting to {settings.serverUrl}...")
            return _remote(settings, patienceSeconds or REMOTE_PATIENCE_SECONDS)
        if serverProcess is None:
            msg = "The bundled server needs a ServerProcess."
            raise TypeError(msg)
        model, checkpoint = settings.chosenModel()
        options = ServerOptions(model, checkpoint, settings.device, settings.featureCacheMegabytes)
        serverProcess.start(options, report, cancelled)
        return _bundled(serverProcess, patienceSeconds or BUNDLED_PATIENCE_SECONDS)


def testConnection(settings: Settings) -> str:
    """Asks the remote server what it is; one line for the panel. Worker thread, for some seconds.

    Raises:
        MedSAM2Error: in words of the panel, with what to do.
    """
    with inWordsOfThePanel():
        if settings.mode != REMOTE_SERVER:
            return describeCompute(settings)
        settings.check()
        backend = _remote(settings, TEST_PATIENCE_SECONDS)
        with contextlib.closing(backend):
            model, server = backend.model, backend.server
            return (
                f"{settings.serverUrl}: {model.name} on {model.device}, protocol {server.protocol}, "
                f"MedSAM2 {server.version}"
            )


def missingRequirements(settings: Settings) -> list[Installer.Requirement]:
    """The packages that the chosen mode still needs; a remote server needs none. Any thread."""
    return Installer.missing(settings.mode)


def _local(settings: Settings, report: Callable[[str], None]) -> Backend:
    model, checkpoint = settings.chosenModel()
    report(f"Loading {model}...")
    from medsam2.engine.backend import LocalBackend
    from medsam2.models.load import load_model

    kept = settings.featureCacheMegabytes << 20
    loaded = load_model(model, checkpoint=checkpoint)
    return LocalBackend(loaded, settings.device, feature_bytes=kept or None)


def _remote(settings: Settings, patienceSeconds: float) -> RemoteBackend:
    from medsam2.client.backend import RemoteBackend

    return RemoteBackend(
        settings.serverUrl,
        settings.token,
        ca_file=Path(settings.caFile) if settings.caFile else None,
        patience_s=patienceSeconds,
        allow_http=settings.allowPlainHttp,
    )


def _bundled(serverProcess: ServerProcess, patienceSeconds: float) -> RemoteBackend:
    from medsam2.client.backend import RemoteBackend

    return RemoteBackend(
        serverProcess.url,
        serverProcess.token,
        patience_s=patienceSeconds,
        is_alive=lambda: serverProcess.running,
    )
