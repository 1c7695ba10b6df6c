from __future__ import annotations

import numpy as np
import pytest

from medsam2.core.errors import InputError
from medsam2.core.intensity import PRESETS, Window, resolve_window
from medsam2.core.volume import Volume

RNG = np.random.default_rng(1)


def volume(voxels: np.ndarray, modality: str = "") -> Volume:
    return Volume(voxels, np.eye(4), modality)


CT = RNG.integers(-1000, 1500, (8, 9, 10)).astype(np.int16)
MR = np.where(RNG.random((8, 9, 10)) < 0.3, 0, RNG.normal(500, 50, (8, 9, 10))).astype(np.float32)


def test_a_window_maps_its_ends_to_black_and_white_and_clips_beyond():
    window = Window.level_width(40, 400)
    values = window.apply(np.array([-1000, -160, 40, 240, 3000], np.int16))
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1], atol=1e-6)
    assert values.dtype == np.float32


def test_applying_a_window_leaves_the_voxels_alone():
    voxels = CT.astype(np.float32)
    before = voxels.copy()
    Window(0, 1).apply(voxels)
    np.testing.assert_array_equal(voxels, before)


@pytest.mark.parametrize(
    ("voxels", "modality", "name"),
    [
        (CT, "CT", "abdomen"),
        (CT, "", "abdomen"),
        (MR, "MR", "percentile"),
        (MR, "", "percentile"),
        (np.abs(MR), "PT", "pet"),
        (RNG.integers(0, 255, (4, 5, 6)).astype(np.uint8), "CT", "8-bit"),
        (np.zeros((4, 5, 6, 3), np.uint8), "", "8-bit"),
    ],
)
def test_auto_decides_from_the_image_and_says_what_it_chose(voxels, modality, name):
    assert resolve_window(volume(voxels, modality)).name == name


def test_percentiles_ignore_the_black_background():
    window = resolve_window(volume(MR, "MR"))
    expected = np.percentile(MR[MR != 0], (0.5, 99.5))
    np.testing.assert_allclose((window.low, window.high), expected, rtol=1e-5)


def test_pet_starts_at_zero_uptake():
    window = resolve_window(volume(np.abs(MR), "PT"))
    assert window.low == 0.0
    assert window.high > 0


def test_presets_are_level_and_width_in_hounsfield_units():
    assert (PRESETS["lung"].low, PRESETS["lung"].high) == (-1350, 150)
    assert resolve_window(volume(CT), "brain") is PRESETS["brain"]


def test_a_window_may_be_typed_as_its_two_ends():
    assert resolve_window(volume(CT), "-160:240") == Window(-160, 240)


@pytest.mark.parametrize("name", ["sepia", "1:2:3", "a:b", "240:-160", "5:5"])
def test_nonsense_windows_are_refused(name):
    with pytest.raises(InputError):
        resolve_window(volume(CT), name)


def test_a_constant_volume_has_nothing_to_show():
    with pytest.raises(InputError, match="constant"):
        resolve_window(volume(np.full((3, 3, 3), 7.0), "MR"))
