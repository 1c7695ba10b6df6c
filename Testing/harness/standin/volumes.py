"""Volume nodes that stand for how scanners lay out voxels, with a ball in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import slicer

SHAPE_KJI = (25, 41, 49)
SPACING_IJK = (0.8, 0.8, 2.0)
CENTRE_RAS = (12.0, -8.0, 30.0)
"""Where the middle of every volume lies."""

KINDS = ("axial", "oblique", "anisotropic", "lps-flipped", "sagittal", "left-handed")


def rotation(degrees: float, axis: str) -> np.ndarray:
    """A rotation about the ``x``, ``y`` or ``z`` axis ``[3, 3]``."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, other = [place for place in range(3) if place != "xyz".index(axis)]
    matrix = np.eye(3)
    matrix[[one, other], [one, other]] = cos
    matrix[one, other], matrix[other, one] = -sin, sin
    return matrix


def directions(kind: str) -> np.ndarray:
    """The directions of the index axes in RAS, as columns ``[3, 3]``."""
    match kind:
        case "oblique":
            return rotation(20, "z") @ rotation(-15, "x")
        case "lps-flipped":
            return np.diag([-1.0, -1.0, 1.0])
        case "left-handed":
            return np.diag([1.0, 1.0, -1.0])
        case "sagittal":  # columns run to posterior, rows to inferior, slices to the right
            return np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return np.eye(3)


def affine(kind: str, shape_kji: Sequence[int] = SHAPE_KJI) -> np.ndarray:
    """Voxel indices to RAS of a volume of that kind ``[4, 4]``."""
    spacing_ijk = (0.6, 1.1, 5.0) if kind == "anisotropic" else SPACING_IJK
    affine_ijk_to_ras = np.eye(4)
    affine_ijk_to_ras[:3, :3] = directions(kind) * spacing_ijk
    middle_ijk = (np.array(shape_kji[::-1]) - 1) / 2
    affine_ijk_to_ras[:3, 3] = np.array(CENTRE_RAS) - affine_ijk_to_ras[:3, :3] @ middle_ijk
    return affine_ijk_to_ras


def ball_kji(shape_kji: Sequence[int] = SHAPE_KJI, radius: float = 0.3) -> np.ndarray:
    """A ball in the middle in voxels, as large as that share of the sides; booleans."""
    k, j, i = (np.linspace(-0.5, 0.5, count) for count in shape_kji)
    distance = np.sqrt(k[:, None, None] ** 2 + j[:, None] ** 2 + i**2)
    return np.asarray(distance < radius)


def add_volume(
    scene: Any,
    kind: str = "axial",
    voxels_kji: np.ndarray | None = None,
    transform: Any = None,
    name: str = "",
) -> Any:
    """Adds a scalar volume node.

    Args:
        scene: the vtkMRMLScene.
        kind: one of :data:`KINDS`.
        voxels_kji: its voxels; a bright ball in noise if none.
        transform: a transform node above it.
        name: of the node; the kind if none.
    """
    if voxels_kji is None:
        noise = np.random.default_rng(0).normal(60, 8, SHAPE_KJI)
        voxels_kji = (noise + 120 * ball_kji()).astype(np.int16)
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetName(name or kind)
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine(kind, voxels_kji.shape)))
    scene.AddNode(volume)
    slicer.util.updateVolumeFromArray(volume, voxels_kji)
    volume.CreateDefaultDisplayNodes()
    if transform is not None:
        volume.SetAndObserveTransformNodeID(transform.GetID())
    return volume


def add_transform(scene: Any, degrees: float = 25.0, shift_mm: float = 7.0) -> Any:
    """Adds a rigid transform node: a turn about two axes and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees, "x") @ rotation(-degrees / 2, "y")
    matrix[:3, 3] = shift_mm, -2 * shift_mm, 3 * shift_mm
    transform = slicer.vtkMRMLLinearTransformNode()
    transform.SetName("transform")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return scene.AddNode(transform)


def show(standin: Any, volume: Any) -> None:
    """Shows a volume in all slice views, whole, at its middle."""
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    middle_ras = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    for name in standin.layoutManager.sliceViewNames():
        standin.sliceWidget(name).mrmlSliceNode().JumpSliceByOffsetting(*middle_ras)
