from __future__ import annotations

import asyncio

import numpy as np
import pytest

from medsam2.core.errors import NonFiniteVoxelsError, WireError
from medsam2.core.volume import Volume
from medsam2.server.budget import Budget
from medsam2.server.refusals import Refused
from medsam2.server.settings import Limits
from medsam2.server.volumes import VolumeStore
from medsam2.wire import arrays, volumes


def a_volume(seed: int = 0, dtype: str = "int16", shape=(9, 512, 512)) -> Volume:
    voxels = np.random.default_rng(seed).integers(-900, 900, shape).astype(dtype)
    return volumes.wire_volume(Volume(voxels, np.eye(4)))


@pytest.fixture
def a_budget():
    return Budget(Limits())


@pytest.fixture
def a_store(a_budget):
    store = VolumeStore(Limits(memory_bytes=16 << 20), a_budget)
    yield store
    store.close()


def chunks(volume: Volume):
    header = volumes.header_of(volume)
    for number in range(header.chunk_count):
        yield number, arrays.encode(volume.voxels_kji[header.chunk(number)], "zlib")


def upload(store, volume, numbers=None, tenant="a"):
    async def run():
        stored = await store.create(tenant, volume.content_hash, volumes.header_of(volume))
        for number, frame in chunks(volume):
            if numbers is None or number in numbers:
                await stored.write(number, frame)
        return stored

    return asyncio.run(run())


def test_a_volume_in_chunks_arrives_as_it_was(a_store):
    volume = a_volume(shape=(40, 512, 512))
    assert volumes.header_of(volume).chunk_count > 2
    stored = upload(a_store, volume)
    assert stored.state() == volumes.UploadState(complete=True, missing=())
    assert (stored.voxels.array_kji == volume.voxels_kji).all()


def test_an_upload_that_broke_off_tells_what_is_missing(a_store):
    stored = upload(a_store, a_volume(shape=(40, 512, 512)), numbers={0, 2})
    assert stored.state() == volumes.UploadState(complete=False, missing=(1,))


def test_chunks_may_come_in_any_order_and_twice_at_once(a_store):
    volume = a_volume(shape=(40, 512, 512))

    async def run():
        stored = await a_store.create("a", volume.content_hash, volumes.header_of(volume))
        frames = list(chunks(volume))[::-1]
        await asyncio.gather(*(stored.write(n, f) for n, f in [*frames, *frames]))
        return stored

    assert asyncio.run(run()).complete


def test_voxels_that_are_not_those_named_are_refused(a_store):
    volume, other = a_volume(0), a_volume(1)

    async def run():
        stored = await a_store.create("a", volume.content_hash, volumes.header_of(volume))
        for number, frame in chunks(other):
            await stored.write(number, frame)

    with pytest.raises(Refused) as refused:
        asyncio.run(run())
    assert refused.value.code == "volume_hash"


def test_a_damaged_chunk_is_refused_and_can_be_sent_again(a_store):
    volume = a_volume()

    async def run():
        stored = await a_store.create("a", volume.content_hash, volumes.header_of(volume))
        frames = dict(chunks(volume))
        with pytest.raises(WireError):
            await stored.write(0, frames[0][:-7])
        for number, frame in frames.items():
            await stored.write(number, frame)
        return stored

    assert asyncio.run(run()).complete


def test_a_volume_with_a_voxel_that_is_no_number_is_refused(a_store):
    voxels = np.zeros((2, 8, 8), np.float32)
    volume = Volume(voxels, np.eye(4))
    header = volumes.header_of(volume)
    voxels[1, 2, 3] = np.nan

    async def run():
        stored = await a_store.create("a", "0" * 64, header)
        await stored.write(0, arrays.encode(voxels, "raw"))

    with pytest.raises(NonFiniteVoxelsError):
        asyncio.run(run())


def test_memory_is_counted_and_given_back(a_budget):
    store = VolumeStore(Limits(), a_budget)
    volume = a_volume()
    stored = upload(store, volume)
    assert a_budget.of("a") == volume.voxels_kji.nbytes
    store.drop(stored)
    assert (a_budget.total, len(store)) == (0, 0)


def test_an_upload_that_is_begun_twice_at_once_is_one_upload(a_store, a_budget):
    volume = a_volume()
    header = volumes.header_of(volume)

    async def run():
        begin = [a_store.create("a", volume.content_hash, header) for _ in range(2)]
        return await asyncio.gather(*begin)

    first, second = asyncio.run(run())
    assert first is second
    assert a_budget.total == header.size_bytes


def test_a_volume_in_use_is_not_dropped(a_store):
    stored = upload(a_store, a_volume())
    stored.users.add("session")
    a_store.drop(stored)
    assert len(a_store) == 1
    stored.users.clear()
    a_store.drop(stored)
    assert len(a_store) == 0


def test_tenants_do_not_see_each_others_volumes(a_store):
    volume = a_volume()
    upload(a_store, volume, tenant="a")
    assert a_store.find("b", volume.content_hash) is None


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(tenant_bytes=1 << 20), "quota"),
        (Limits(memory_bytes=1 << 20), "no_memory"),
    ],
)
def test_a_volume_beyond_the_budget_is_refused_before_memory_is_taken(limits, code):
    store = VolumeStore(limits, Budget(limits))
    with pytest.raises(Refused) as refused:
        asyncio.run(store.create("a", "0" * 64, volumes.header_of(a_volume())))
    assert refused.value.code == code
