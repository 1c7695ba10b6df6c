"""The picture of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phantoms import moving_ball

from medsam2.cli.picture import Picture, write_picture
from medsam2.core.errors import UnwritableOutputError
from medsam2.core.geometry import SliceAxis
from medsam2.core.intensity import Window
from medsam2.core.prompts import RoiBox
from medsam2.core.volume import Volume


def a_picture(axis: SliceAxis = SliceAxis.K) -> Picture:
    volume, mask_kji = moving_ball()
    roi = RoiBox(1, volume.count(axis) - 2, (2, 2, 8, 40))
    return Picture(volume, axis, Window(0, 255), roi, mask_kji, np.roll(mask_kji, 3, 2), "A title")


@pytest.mark.parametrize("axis", list(SliceAxis))
def test_a_picture_shows_box_result_and_reference(axis: SliceAxis, tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = tmp_path / "a.png"
    write_picture(path, a_picture(axis))
    pixels = imread(path)[..., :3]
    assert pixels.shape[1] > 1000
    for colour in ((1.0, 0.82, 0.4), (0.18, 0.77, 0.71), (1.0, 0.36, 0.56)):
        near = np.abs(pixels - colour).max(axis=2) < 0.05
        assert np.count_nonzero(near) > 100, colour
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_empty_masks_and_colour_volumes_can_be_drawn(tmp_path: Path) -> None:
    volume = Volume(np.full((8, 9, 10, 3), 90, dtype=np.uint8), np.diag([1.0, 1, 3, 1]))
    none = np.zeros(volume.shape_kji, dtype=bool)
    roi = RoiBox(3, 3, (1, 1, 4, 4))
    picture = Picture(volume, SliceAxis.K, Window(0, 255), roi, none, none, "Empty")
    write_picture(tmp_path / "a.png", picture, slices=2)
    assert (tmp_path / "a.png").is_file()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnwritableOutputError):
        write_picture(tmp_path / "no" / "a.png", a_picture())
