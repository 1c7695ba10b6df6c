from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from medsam2.server.refusals import Refused
from medsam2.server.shared import SharedVoxels, shared_volume
from medsam2.wire.volumes import VolumeHeader

HEADER = VolumeHeader("int16", (4, 8, 8))
BLOCKS = Path("/dev/shm")


def test_what_one_process_writes_the_other_reads():
    ours = SharedVoxels(HEADER)
    theirs = SharedVoxels(HEADER, ours.name)
    ours.array_kji[2, 3, 4] = -1000
    assert theirs.array_kji[2, 3, 4] == -1000
    assert theirs.array_kji.sum() == -1000
    theirs.close()
    ours.close()


@pytest.mark.skipif(not BLOCKS.is_dir(), reason="this system shows no shared memory as files")
def test_closing_frees_the_memory_even_while_somebody_holds_a_view():
    voxels = SharedVoxels(HEADER)
    view = voxels.array_kji
    assert (BLOCKS / voxels.name).exists()
    voxels.close()
    assert not (BLOCKS / voxels.name).exists()
    assert view.shape == HEADER.shape
    del view
    gc.collect()
    voxels.close()


def test_a_machine_without_memory_refuses_instead_of_crashing_later(monkeypatch):
    def full(_descriptor: int, _start: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = set(BLOCKS.iterdir()) if BLOCKS.is_dir() else set()
    with pytest.raises(Refused) as refused:
        SharedVoxels(HEADER)
    assert (refused.value.code, refused.value.status) == ("no_memory", 507)
    assert (set(BLOCKS.iterdir()) if BLOCKS.is_dir() else set()) <= before


def test_a_shared_volume_is_known_by_the_hash_it_was_given():
    voxels = SharedVoxels(HEADER)
    volume = shared_volume(voxels, np.diag([0.5, 0.5, 3.0, 1.0]), "salted")
    assert volume.content_hash == "salted"
    assert volume.spacing_ijk == (0.5, 0.5, 3.0)
    assert volume.shape_kji == (4, 8, 8)
    del volume
    voxels.close()
