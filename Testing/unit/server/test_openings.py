from __future__ import annotations

import numpy as np
import pytest
from fake_backend import FakeBackend
from tiny_engine import backend_for

from medsam2.core.backend import SessionOptions
from medsam2.core.intensity import Window
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.server.openings import Openings
from medsam2.server.shared import SharedVoxels
from medsam2.wire import strict
from medsam2.wire.messages import SessionRequest
from medsam2.wire.volumes import VolumeHeader


@pytest.fixture
def voxels():
    block = SharedVoxels(VolumeHeader("uint8", (4, 8, 8)))
    yield block
    block.close()


def opening(voxels, name):
    request = SessionRequest.of("0" * 64, np.eye(4), SessionOptions(), Window(0, 1))
    return {
        "name": name,
        "block": voxels.name,
        "dtype": "uint8",
        "shape": [4, 8, 8],
        "known_hash": "h",
        "request": strict.parse(strict.to_json(request)),
    }


def test_a_session_is_opened_once(voxels):
    openings = Openings(FakeBackend())
    first = openings.open(opening(voxels, "s"))
    assert openings.open(opening(voxels, "s")) is first
    openings.close("s")


def test_a_closed_session_is_closed_and_others_of_the_volume_are_not(voxels):
    backend = FakeBackend()
    openings = Openings(backend)
    openings.open(opening(voxels, "s"))
    other = openings.open(opening(voxels, "t"))
    openings.close("s")
    openings.close("s")
    other.put(1, ObjectPrompts((BoxPrompt(1, (1, 1, 4, 4)),)))
    assert other.predict(1, 1).mask_rc.unpack().sum() == 0
    assert openings.open(opening(voxels, "s")) is not backend.sessions[0]
    openings.close("s")
    openings.close("t")


def test_removing_an_object_of_a_session_that_is_not_open_does_nothing(voxels):
    Openings(FakeBackend()).remove("s", 1)


def test_what_is_kept_of_a_dropped_volume_is_freed(voxels):
    backend = backend_for("tiny-random")
    openings = Openings(backend)
    session = openings.open(opening(voxels, "s"))
    session.put(1, ObjectPrompts((BoxPrompt(1, (1, 1, 4, 4)),)))
    session.predict(1, 1)
    assert backend.features.used_bytes
    openings.close("s")
    openings.forget("another")
    assert backend.features.used_bytes
    openings.forget("h")
    assert (backend.features.used_bytes, len(backend.features)) == (0, 0)
