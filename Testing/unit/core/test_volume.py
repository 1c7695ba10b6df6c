from __future__ import annotations

import numpy as np
import pytest

from medsam2.core.errors import NonFiniteVoxelsError, NotAVolumeError, ShearedGeometryError
from medsam2.core.geometry import SliceAxis
from medsam2.core.volume import Volume

AFFINE = np.diag([0.5, 0.7, 3.0, 1.0])


def test_slices_have_the_shape_and_spacing_of_their_axis():
    volume = Volume(np.zeros((4, 5, 6), np.int16), AFFINE)
    assert [volume.shape_rc(a) for a in (SliceAxis.K, SliceAxis.J, SliceAxis.I)] == [
        (5, 6), (4, 6), (4, 5),
    ]  # fmt: skip
    assert volume.spacing_rc(SliceAxis.J) == (3.0, 0.5)
    assert volume.spacing_across(SliceAxis.I) == 0.5
    assert all(volume.slice_rc(a, 0).shape == volume.shape_rc(a) for a in SliceAxis)


def test_colour_volumes_keep_their_channels():
    volume = Volume(np.zeros((4, 5, 6, 3), np.uint8), AFFINE)
    assert volume.is_color
    assert volume.slice_rc(SliceAxis.J, 2).shape == (4, 6, 3)


@pytest.mark.parametrize(
    "voxels",
    [np.zeros((5, 6)), np.zeros((1, 2, 3, 4)), np.zeros((0, 4, 4)), np.zeros((2, 2, 2), complex)],
)
def test_arrays_that_are_no_volume_are_refused(voxels):
    with pytest.raises(NotAVolumeError):
        Volume(voxels, AFFINE)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_number_are_counted_in_the_message(bad):
    voxels = np.zeros((3, 3, 3), np.float32)
    voxels[1, 1, 1:] = bad
    with pytest.raises(NonFiniteVoxelsError, match="2 NaN or infinite"):
        Volume(voxels, AFFINE)


def test_a_sheared_volume_is_refused():
    sheared = AFFINE.copy()
    sheared[0, 2] = 1.0
    with pytest.raises(ShearedGeometryError):
        Volume(np.zeros((3, 3, 3)), sheared)


def test_the_content_hash_tells_voxels_types_and_shapes_apart_but_not_names():
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = Volume(voxels, AFFINE, name="a")
    assert volume.content_hash == Volume(np.asfortranarray(voxels), AFFINE, name="b").content_hash
    others = [voxels + 1, voxels.astype(np.int32), voxels.reshape(2, 4, 3)]
    hashes = {Volume(other, AFFINE).content_hash for other in others}
    assert len(hashes | {volume.content_hash}) == 4
