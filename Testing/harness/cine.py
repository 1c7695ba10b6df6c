"""Sequences of volumes in the scene, as a cine loop or a 4D scan is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import standin

import slicer

CINE_SHAPE_KJI = (1, 41, 49)
SCAN_SHAPE_KJI = (9, 33, 37)


def beating(shape_kji: Sequence[int], count: int) -> list[np.ndarray]:
    """Frames of a bright ball in noise that moves along the columns, ``[K, J, I]`` int16 each."""
    frames = []
    for number in range(count):
        noise = np.random.default_rng(number).normal(60, 8, tuple(shape_kji))
        ball = standin.volumes.ball_kji(shape_kji)
        if shape_kji[0] == 1:
            ball = standin.volumes.ball_kji((3, *shape_kji[1:]))[1:2]
        frames.append((noise + 120 * np.roll(ball, number // 2, axis=2)).astype(np.int16))
    return frames


def add_sequence(
    scene: Any, frames: Sequence[np.ndarray], kind: str = "axial", transform: Any = None
) -> Any:
    """Adds a sequence and its browser; returns the volume node that shows the frames."""
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName("cine")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    scene.AddNode(sequence)
    color = frames[0].ndim == 4
    for number, voxels_kji in enumerate(frames):
        volume = slicer.vtkMRMLVectorVolumeNode() if color else slicer.vtkMRMLScalarVolumeNode()
        affine = standin.volumes.affine(kind, voxels_kji.shape[:3])
        volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
        slicer.util.updateVolumeFromArray(volume, voxels_kji)
        sequence.SetDataNodeAtValue(volume, f"{number * 0.04:.2f}")
    browser = slicer.vtkMRMLSequenceBrowserNode()
    scene.AddNode(browser)
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    proxy = browser.GetProxyNode(sequence)
    if transform is not None:
        proxy.SetAndObserveTransformNodeID(transform.GetID())
    return proxy


def browser_of(volume: Any) -> Any:
    """The browser that shows its frames in a volume node."""
    return slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volume)
