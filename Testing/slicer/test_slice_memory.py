from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from module_script import Script, noise


@pytest.fixture
def a_script(a_scene):
    script = Script(a_scene, noise(a_scene, (6, 7, 8)))
    yield script
    script.close()


def changed(memory, segment_id):
    return [change[0] for change in memory.changes(segment_id) if change is not None]


def a_mask(seed, shape_rc=(7, 8)):
    return np.random.default_rng(seed).random(shape_rc) < 0.5


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_a_mask_is_kept_exactly_and_equal_masks_are_kept_equally(mask):
    from MedSAM2SlicerLib.SliceMemory import checksum, freeze, thaw

    assert np.array_equal(thaw(freeze(mask), mask.shape), mask)
    assert freeze(mask) == freeze(np.asfortranarray(mask.copy()))
    assert checksum(freeze(mask)) == checksum(freeze(mask.copy()))
    assert (freeze(mask) == b"") is not bool(mask.any())


@given(first=st.integers(0, 99), second=st.integers(0, 99))
def test_different_masks_are_kept_differently(first, second):
    from MedSAM2SlicerLib.SliceMemory import freeze

    same = np.array_equal(a_mask(first), a_mask(second))
    assert (freeze(a_mask(first)) == freeze(a_mask(second))) is same


def test_what_was_painted_is_found_once(a_script):
    memory, segment_id = a_script.workspace.memory, a_script.segment_id
    a_script.paint(2, a_mask(1))
    a_script.paint(4, a_mask(2))
    assert changed(memory, segment_id) == [2, 4]
    assert changed(memory, segment_id) == []
    assert memory.occupied(segment_id) == [2, 4]
    a_script.paint(4, np.zeros((7, 8), dtype=bool))
    assert changed(memory, segment_id) == [4]
    assert memory.occupied(segment_id) == [2]


def test_what_was_written_and_learnt_is_no_change_but_what_was_painted_before_it_is(a_script):
    workspace, segment_id = a_script.workspace, a_script.segment_id
    a_script.settle()
    workspace.writeModelSlice(segment_id, 1, a_mask(1))
    assert changed(workspace.memory, segment_id) == []
    a_script.paint(4, a_mask(2))
    workspace.writeModelSlice(segment_id, 2, a_mask(3))
    assert changed(workspace.memory, segment_id) == [4]


def test_what_was_painted_on_is_not_written_over_before_it_was_looked_at(a_script):
    workspace, segment_id = a_script.workspace, a_script.segment_id
    a_script.settle()
    workspace.writeModelSlice(segment_id, 1, a_mask(1))
    a_script.paint(1, a_mask(2))
    assert workspace.writeModelSlice(segment_id, 1, a_mask(3)) is None
    assert np.array_equal(a_script.slices()[1], a_mask(2))


def test_the_version_grows_with_every_change_and_only_then(a_script):
    memory, segment_id = a_script.workspace.memory, a_script.segment_id
    versions = [memory.version(segment_id)]
    for mask_rc in (a_mask(1), a_mask(1), a_mask(2)):
        a_script.paint(3, mask_rc)
        a_script.settle()
        versions.append(memory.version(segment_id))
    assert versions[1] > versions[0]
    assert versions[2] == versions[1]
    assert versions[3] > versions[2]
