from __future__ import annotations

import time

import numpy as np
import pytest

from medsam2.core.backend import SessionOptions
from medsam2.core.errors import ShearedGeometryError
from medsam2.core.intensity import Window
from medsam2.server.jobs import Job
from medsam2.server.refusals import Refused
from medsam2.server.sessions import OpenSession, SessionStore, salted
from medsam2.server.settings import Limits
from medsam2.server.shared import SharedVoxels
from medsam2.server.volumes import StoredVolume
from medsam2.wire.messages import JobRequest, SessionRequest
from medsam2.wire.volumes import VolumeHeader

KEY, OTHER = "a" * 32, "b" * 32


def a_request(affine=None) -> SessionRequest:
    affine = np.eye(4) if affine is None else affine
    return SessionRequest.of("0" * 64, affine, SessionOptions(), Window(0, 1))


@pytest.fixture
def a_volume():
    voxels = SharedVoxels(VolumeHeader("uint8", (4, 8, 8)))
    yield StoredVolume("tenant", "0" * 64, voxels)
    voxels.close()


@pytest.fixture
def a_store():
    store = SessionStore(Limits())
    yield store
    for session in store:
        session.close()


def opened(store, volume, key=KEY, tenant="tenant") -> OpenSession:
    session = OpenSession(tenant, key, a_request(), volume, "f" * 64, salted(b"salt", volume))
    store.add(session)
    return session


def refusal(store, tenant, key) -> str:
    with pytest.raises(Refused) as refused:
        store.get(tenant, key)
    return refused.value.code


def test_a_session_is_found_by_its_tenant_alone(a_store, a_volume):
    session = opened(a_store, a_volume)
    assert a_store.get("tenant", KEY) is session
    assert refusal(a_store, "another", KEY) == "unknown_session"
    assert refusal(a_store, "tenant", OTHER) == "unknown_session"


def test_two_tenants_may_choose_the_same_identifier(a_store, a_volume):
    same = StoredVolume("another", a_volume.sha256, a_volume.voxels)
    mine, theirs = opened(a_store, a_volume), opened(a_store, same, tenant="another")
    assert a_store.get("tenant", KEY) is mine
    assert a_store.get("another", KEY) is theirs
    assert mine.name != theirs.name
    assert mine.opening()["known_hash"] != theirs.opening()["known_hash"]


def test_a_closed_session_says_why_and_only_to_its_tenant(a_store, a_volume):
    session = opened(a_store, a_volume)
    a_store.remove(session, "evicted")
    session.close()
    assert refusal(a_store, "tenant", KEY) == "evicted"
    assert refusal(a_store, "another", KEY) == "unknown_session"
    opened(a_store, a_volume)
    assert a_store.get("tenant", KEY).objects == {}


def test_a_session_keeps_its_volume_until_it_is_closed(a_store, a_volume):
    session = opened(a_store, a_volume)
    assert len(a_volume.users) == 1
    session.close()
    assert a_volume.users == set()


def test_idle_sessions_come_oldest_first_and_busy_ones_not_at_all(a_store, a_volume):
    first, second = opened(a_store, a_volume), opened(a_store, a_volume, OTHER)
    busy = opened(a_store, a_volume, "c" * 32)
    request = JobRequest("f" * 64, {"1": "0" * 64}, "propagate")
    busy.jobs["k"] = Job("k", "tenant", busy.name, request, {}, 1)
    first.touched = time.monotonic() + 10
    assert a_store.idle() == [second, first]


def test_a_sheared_volume_is_refused(a_volume):
    sheared = np.eye(4)
    sheared[0, 2] = 0.4
    with pytest.raises(ShearedGeometryError):
        OpenSession("tenant", KEY, a_request(sheared), a_volume, "f" * 64, "0")
