"""Colour volumes: segmented like grey ones where they are 8-bit red, green, blue."""

from __future__ import annotations

import cine
import numpy as np
import pytest
import standin
from fake_backend import FakeBackend
from module_user import User

import slicer


def colour(dtype=np.uint8, components=3, shape_kji=standin.volumes.SHAPE_KJI):
    noise = np.random.default_rng(1).normal(60, 8, (*shape_kji, components))
    ball = standin.volumes.ball_kji(shape_kji)[..., None]
    return np.clip(noise + ball * np.linspace(100, 140, components), 0, 255).astype(dtype)


def add_colour(scene, voxels):
    volume = slicer.vtkMRMLVectorVolumeNode()
    volume.SetName("colour")
    affine = standin.volumes.affine("axial", voxels.shape[:3])
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    scene.AddNode(volume)
    slicer.util.updateVolumeFromArray(volume, voxels)
    volume.CreateDefaultDisplayNodes()
    return volume


def test_a_colour_volume_is_segmented_with_all_its_colours(a_slicer, a_scene):
    from medsam2.core.prompts import ObjectPrompts, RoiBox

    backend = FakeBackend()
    user = User(a_slicer, lambda: backend)
    user.choose(add_colour(a_scene, colour()))
    user.draw_box(12, (8, 10, 32, 38), (8, 16))
    user.run()
    (session,) = backend.sessions
    assert np.array_equal(session.volume.voxels_kji, colour())
    with FakeBackend().open(session.volume) as again:
        again.put(1, ObjectPrompts(roi=RoiBox(8, 16, (8, 10, 32, 38))))
        wanted = {result.index: result.mask_rc.unpack() for result in again.propagate()}
    masks = user.masks()
    assert masks[12].sum() > 100
    assert all(np.array_equal(masks[index], mask) for index, mask in wanted.items())
    assert user.ui.editorWidget.sourceVolumeNode() is user.logic.parameters.volume


def test_the_voxels_of_a_colour_volume_stay_as_they_are(a_slicer, a_scene):
    user = User(a_slicer, FakeBackend)
    volume = add_colour(a_scene, colour())
    user.choose(volume)
    user.draw_box(12, (8, 10, 32, 38), (8, 16))
    user.run()
    assert np.array_equal(slicer.util.arrayFromVolume(volume), colour())


@pytest.mark.parametrize(("dtype", "components"), [(np.uint16, 3), (np.float32, 3), (np.uint8, 4)])
def test_other_components_are_refused_with_what_to_do(a_slicer, a_scene, dtype, components):
    user = User(a_slicer, FakeBackend)
    user.choose(add_colour(a_scene, colour(dtype, components)))
    user.draw_box(12, (8, 10, 32, 38), (8, 16))
    user.run()
    assert f"has {components} components" in user.ui.statusLabel.text
    assert "Vector to Scalar Volume" in user.ui.statusLabel.text
    assert not any(mask.any() for mask in user.masks().values())


def test_a_colour_cine_is_followed_through_time(a_slicer, a_scene):
    frames = [np.roll(colour(shape_kji=(3, 41, 49))[1:2], n, axis=2) for n in range(5)]
    backend = FakeBackend()
    user = User(a_slicer, lambda: backend)
    user.choose(cine.add_sequence(a_scene, frames))
    selector = user.ui.axisSelector
    selector.setCurrentIndex(selector.findData("time"))
    selector.activated.emit(selector.currentIndex)
    user.press("drawBox")
    user.click(2, (8, 10), (32, 38))
    user.settle()
    user.run()
    assert backend.sessions[-1].volume.voxels_kji.shape == (5, 41, 49, 3)
    assert all(mask.any() for mask in user.masks().values())
