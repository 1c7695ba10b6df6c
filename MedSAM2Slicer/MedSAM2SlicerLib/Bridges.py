"""What a workspace works through: bridges in space, or bridges through time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vtk

import slicer

from . import SegmentTags
from .CineBridge import CineBridge, Plane, browserOf, planeNamed
from .CinePrompts import CinePrompts
from .CineSegmentation import CineSegmentation, createCineSegmentation
from .PromptStore import PromptStore
from .SceneNodes import nodesOf
from .SegmentationBridge import SegmentationBridge, createSegmentation
from .VolumeBridge import VolumeBridge

if TYPE_CHECKING:
    from medsam2.core.geometry import SliceAxis
    from medsam2.core.intensity import Window

    from .ParameterNode import ParameterNode

TIME = "time"
"""The axis of :class:`ParameterNode` that means frames."""


def chosen(parameters: ParameterNode) -> tuple[Any, ...]:
    """All that a workspace is made of; equal for the same choices."""
    axis = chosenAxis(parameters)
    return parameters.volume, parameters.segmentation, parameters.editor, axis


def chosenVolume(parameters: ParameterNode) -> vtk.vtkObject:
    """The volume that is worked on.

    Raises:
        NoPromptError: none is selected, or it has no voxels.
    """
    from medsam2.core.errors import NoPromptError

    volume = parameters.volume
    if volume is None or volume.GetImageData() is None:
        msg = "Load a volume and select it first."
        raise NoPromptError(msg)
    return volume


def chosenAxis(parameters: ParameterNode) -> SliceAxis | Plane | None:
    """What is propagated along: an axis, a plane through time, or None for the usual axis.

    Time counts only while a sequence browser shows its frames in the volume.
    """
    from medsam2.core.geometry import SliceAxis

    if parameters.axis == TIME:
        volume = parameters.volume
        return planeNamed(parameters.plane, volume) if browserOf(volume) is not None else None
    return None if parameters.axis == "auto" else SliceAxis.parse(parameters.axis)


def chosenWindow(parameters: ParameterNode) -> Window | str:
    """How intensities are seen: a preset's name, or the window that the volume is displayed with."""
    from medsam2.core.intensity import Window

    chosen = parameters.window
    if chosen != "display":
        return chosen
    display = parameters.volume.GetDisplayNode()
    return Window.level_width(display.GetLevel(), display.GetWindow(), "display")


def newSegmentation(volume: vtk.vtkObject, axis: SliceAxis | Plane | None) -> vtk.vtkObject:
    """Adds an empty segmentation on a volume, for one or for all frames.

    Raises:
        VolumeError: the volume's voxels are no right-angled boxes.
    """
    _checkVoxels(volume)
    if isinstance(axis, Plane):
        return createCineSegmentation(volume, browserOf(volume))
    return createSegmentation(volume)


def workedOn(volume: vtk.vtkObject | None) -> vtk.vtkObject | None:
    """The latest segmentation on a volume that was worked on with the module; None without one.

    Those for all frames of a sequence are left out.
    """
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    sequences = slicer.modules.sequences.logic()
    scene = volume.GetScene() if volume is not None else None
    for node in reversed(nodesOf(scene, "vtkMRMLSegmentationNode") if scene is not None else []):
        isOfVolume = node.GetNodeReference(role) is volume
        if isOfVolume and _isMarked(node) and not sequences.GetFirstBrowserNodeForProxyNode(node):
            return node
    return None


def _isMarked(node: vtk.vtkObject) -> bool:
    """Whether a segmentation has prompts, or facts about its slices."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetSegment(one) for one in segmentation.GetSegmentIDs()]
    facts = [SegmentTags.readAll(segment, tag) for segment in segments for tag in SegmentTags.TAGS]
    return any(facts) or bool(PromptStore(node).nodes())


def bridges(
    volume: vtk.vtkObject,
    segmentation: vtk.vtkObject,
    editorNode: vtk.vtkObject,
    axis: SliceAxis | Plane | None,
) -> tuple[Any, Any, PromptStore, SliceAxis]:
    """The volume, the masks, the prompts, and the engine's axis.

    Raises:
        OutputError: the segmentation does not fit the volume or the axis.
        VolumeError: the volume's voxels are no right-angled boxes.
    """
    _checkVoxels(volume)
    if isinstance(axis, Plane):
        return _throughTime(volume, segmentation, editorNode, axis)
    _checkInSpace(segmentation)
    inSpace = VolumeBridge(volume)
    masks = SegmentationBridge(segmentation, inSpace, editorNode)
    return inSpace, masks, PromptStore(segmentation), axis or inSpace.defaultAxis()


def _throughTime(
    volume: vtk.vtkObject, segmentation: vtk.vtkObject, editorNode: vtk.vtkObject, plane: Plane
) -> tuple[CineBridge, CineSegmentation, CinePrompts, SliceAxis]:
    frames = CineBridge(volume, plane)
    try:
        masks = CineSegmentation(segmentation, frames, editorNode)
    except Exception:
        frames.close()
        raise
    prompts = CinePrompts(segmentation, frames)
    frames.leaving.connect(masks.keep)
    frames.moved.connect(prompts.showFrame)
    return frames, masks, prompts, frames.defaultAxis()


def _checkVoxels(volume: vtk.vtkObject) -> None:
    """Refuses a volume at once that the engine would refuse once there is a prompt."""
    from medsam2.core.geometry import check_affine

    check_affine(VolumeBridge(volume).affine_ijk_to_ras)


def _checkInSpace(segmentation: vtk.vtkObject) -> None:
    from medsam2.core.errors import OutputError

    logic = slicer.modules.sequences.logic()
    if logic.GetFirstBrowserNodeForProxyNode(segmentation) is not None:
        msg = (
            f"{segmentation.GetName()} holds masks of all frames; choose the axis Time for it, or "
            "a new segmentation."
        )
        raise OutputError(msg)
