"""The Slicer module's rooms for computing, and what their tests share: stores, servers, lies.

The library of the module is no installed package; importing this file makes it importable. Nothing
of Slicer or Qt is needed.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

HARNESS = Path(__file__).resolve().parent
REPOSITORY = HARNESS.parents[1]
MODULE = REPOSITORY / "MedSAM2Slicer"
SOURCE = REPOSITORY / "server" / "src"

if str(MODULE) not in sys.path:
    sys.path.append(str(MODULE))

(
    Backends,
    Installer,
    Messages,
    ModelCache,
    Paths,
    Processes,
    PythonRunner,
    ServerProcess,
    Settings,
) = (
    importlib.import_module(f"MedSAM2SlicerLib.{name}")
    for name in (
        "Backends",
        "Installer",
        "Messages",
        "ModelCache",
        "Paths",
        "Processes",
        "PythonRunner",
        "ServerProcess",
        "Settings",
    )
)
ServerRun = importlib.import_module("MedSAM2SlicerLib.ServerRun").ServerRun


class TextStore:
    """A store that gives everything back as text, as a QSettings does that has read a file."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def value(self, key: str, default: Any) -> Any:
        return self.held.get(key, default)

    def setValue(self, key: str, value: Any) -> None:
        self.held[key] = str(value)

    def contains(self, key: str) -> bool:
        return key in self.held

    def remove(self, key: str) -> None:
        self.held.pop(key, None)


def settings_for(mode: str, **values: Any) -> Any:
    """Settings in memory, with these values."""
    made = Settings.Settings(TextStore())
    made.mode = mode
    for name, value in values.items():
        setattr(made, name, value)
    return made


def process_with(python: str | Path = sys.executable, **changes: str) -> Any:
    """A bundled server that is not started yet; ``changes`` are of its environment."""
    return ServerProcess.ServerProcess(Path(python), changes={"OMP_NUM_THREADS": "1", **changes})


def launcher(folder: Path) -> Path:
    """An interpreter like PythonSlicer: a program that starts the real one and waits for it."""
    path = folder / "PythonSlicer"
    path.write_text(
        f"#!{sys.executable}\nimport subprocess, sys\n"
        "sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))\n"
    )
    path.chmod(0o755)
    return path


def alive(processes: Iterable[psutil.Process]) -> bool:
    """Whether any of them still runs."""
    return any(_is_alive(process) for process in processes)


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


Handle = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def answering(handle: Handle) -> Iterator[str]:
    """A web server on a loopback port that answers every GET as told; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            handle(self)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, **headers: str) -> None:
    """Answers 200 with a body; underscores in the names of headers become hyphens."""
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
