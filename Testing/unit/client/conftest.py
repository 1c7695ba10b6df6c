from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_backend import FakeBackend
from phantoms import moving_ball

from medsam2.client.backend import RemoteBackend
from medsam2.core.volume import Volume

from .losses import BOX, ROI, masks
from .scripted import TOKEN, Script, serving


@pytest.fixture
def script() -> Iterator[Script]:
    """A running server."""
    with serving(Script()) as running:
        yield running
    assert running.errors == []


@pytest.fixture
def connect(script: Script) -> Iterator[Callable[..., RemoteBackend]]:
    """Makes backends of the server, and closes them."""
    made: list[RemoteBackend] = []

    def connect(patience_s: float = 5.0, **given: Any) -> RemoteBackend:
        made.append(RemoteBackend(script.url, TOKEN, patience_s=patience_s, **given))
        return made[-1]

    yield connect
    for backend in made:
        backend.close()


@pytest.fixture
def backend(connect: Callable[..., RemoteBackend]) -> RemoteBackend:
    """A backend of the server."""
    return connect()


@pytest.fixture
def volume() -> Volume:
    return moving_ball()[0]


@pytest.fixture
def expected(volume: Volume) -> list[tuple[int, int, bytes]]:
    """The masks of two objects, made in this process."""
    with FakeBackend().open(volume) as session:
        session.put(1, ROI)
        session.put(2, BOX)
        return masks(session.propagate())
