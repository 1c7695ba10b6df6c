"""Masks lie where the voxels lie, however the volume is oriented, turned or moved."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from hypothesis import HealthCheck, settings
from module_script import Script, noise

KINDS = ["axial", "oblique", "anisotropic", "lps-flipped", "sagittal", "left-handed"]
BOX = (3, 2, 2, 12, 10, 11)
"""Inclusive ``i0, j0, k0, i1, j1, k1``."""

several = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def vtk_matrix(matrix):
    import slicer

    return slicer.util.vtkMatrixFromArray(np.asarray(matrix))


def corrected_masks(script, axis):
    """A run in a box, a painted slice, a point, another run."""
    script.logic.parameters.axis = axis
    script.box(BOX)
    script.run()
    painted_rc = np.zeros(script.workspace.shape_rc, dtype=bool)
    painted_rc[1:4, 2:9] = True
    script.paint(7, painted_rc)
    script.points("inside", (5.2, 4.4, 4.0), (8.0, 6.7, 9.3))
    script.points("line", (4.0, 5.0, 8.0), (9.0, 6.0, 8.0))
    script.run()
    assert script.failures == []
    script.close()
    return script.mask_kji()


def expected_kji(scene, axis):
    """The same on the same voxels, in a volume that lies as plainly as a volume can."""
    plain = noise(scene)
    plain.SetIJKToRASMatrix(vtk_matrix(np.diag([*plain.GetSpacing(), 1.0])))
    return corrected_masks(Script(scene, plain), axis)


@pytest.mark.parametrize("axis", "kji")
@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_the_same_voxels_however_the_volume_lies(a_scene, kind, transformed, axis):
    if kind == "anisotropic":  # where millimetres decide, the spacing must be the same
        pytest.skip("the ball around a diameter reaches over other slices") if axis else None
    expected = expected_kji(a_scene, axis)
    a_scene.Clear(0)
    transform = standin.volumes.add_transform(a_scene) if transformed else None
    found = corrected_masks(Script(a_scene, noise(a_scene, kind=kind, transform=transform)), axis)
    assert found.any()
    assert np.array_equal(found, expected)
