"""Backends for a test server's worker, by name: ``factories:tiny``.

Faults are switched by the environment of the server's process:

* ``FAULT_AT``: the slice at which it happens;
* ``FAULT``: what happens: ``kill``, ``segfault``, ``cuda``, ``memory``, ``hang`` or ``defect``;
* ``FAULT_ONCE``: a file that is made when it happens; while it exists nothing more does;
* ``SLICE_S``: how long each slice takes at least.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from fake_backend import FakeBackend

from medsam2.core.backend import Backend
from medsam2.core.errors import WeightsHashError
from medsam2.server.settings import ModelChoice


def fake(_choice: ModelChoice) -> Backend:
    """Thresholds; no torch."""
    return FakeBackend(on_slice=on_slice)


def tiny(_choice: ModelChoice) -> Backend:
    """The tiny random model with memory."""
    from tiny_engine import backend_for

    return backend_for("tiny-random")


def tiny_chain(_choice: ModelChoice) -> Backend:
    """The tiny random model with box chaining."""
    from tiny_engine import backend_for

    return backend_for("tiny-random-chain")


def on_slice(index: int) -> None:
    """Does what the environment says before a slice is made."""
    time.sleep(float(os.environ.get("SLICE_S", "0")))
    if os.environ.get("FAULT_AT") == str(index) and _first_time():
        _fail(os.environ["FAULT"])


def _first_time() -> bool:
    marker = os.environ.get("FAULT_ONCE")
    if marker is None:
        return True
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _fail(fault: str) -> None:
    match fault:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "cuda":
            raise RuntimeError("CUDA error: device-side assert triggered")
        case "memory":
            import torch

            raise torch.OutOfMemoryError("injected")
        case "hang":
            time.sleep(3600)
        case "defect":
            raise ValueError("a defect")


def slow(choice: ModelChoice) -> Backend:
    """Takes ``START_S`` to load."""
    time.sleep(float(os.environ.get("START_S", "1")))
    return fake(choice)


def unusable(_choice: ModelChoice) -> Backend:
    """Has no model that could be used."""
    raise WeightsHashError("The weights are not those of the registry; download them again.")
