"""Slices that stream in are seen at once, and Slicer knows that there is something to save."""

from __future__ import annotations

import numpy as np
import pytest

import slicer


def a_mask(user):
    mask_rc = np.zeros(user.workspace.shape_rc, dtype=bool)
    mask_rc[10:20, 12:30] = True
    return mask_rc


def test_every_slice_asks_all_views_to_draw_anew(a_user):
    segment_id, views = a_user.segment_id, a_user.slicer.layoutManager.viewWidgets()
    a_user.workspace.writeModelSlice(segment_id, 11, a_mask(a_user))
    for index in (12, 13):
        for widget in views:
            widget.image()
        assert not any(widget.canvas.view.stale for widget in views)
        a_user.workspace.writeModelSlice(segment_id, index, a_mask(a_user))
        stale = [widget.canvas.view.stale for widget in views]
        assert stale[:3] == [True] * 3, index


def test_a_slice_is_seen_in_the_view_that_shows_it(a_user):
    widget = a_user.view_showing(12)
    before = widget.image()
    a_user.workspace.writeModelSlice(a_user.segment_id, 12, a_mask(a_user))
    assert (widget.image() != before).any()


def test_a_slice_that_came_after_saving_is_to_be_saved(a_user, tmp_path):
    segment_id = a_user.segment_id
    a_user.workspace.writeModelSlice(segment_id, 11, a_mask(a_user))
    node = a_user.workspace.segmentation.node
    assert slicer.util.saveNode(node, str(tmp_path / "case.seg.nrrd"))
    assert not node.GetModifiedSinceRead()
    a_user.workspace.writeModelSlice(segment_id, 12, a_mask(a_user))
    assert node.GetModifiedSinceRead()


def test_the_fill_of_a_segment_lets_the_volume_show_through_in_every_view(a_user):
    for index in range(8, 17):
        a_user.workspace.writeModelSlice(a_user.segment_id, index, a_mask(a_user))
    node = a_user.workspace.segmentation.node
    point_ras = a_user.point(12, 15, 20)
    for name in a_user.slicer.layoutManager.sliceViewNames():
        widget = a_user.slicer.sliceWidget(name)
        widget.mrmlSliceNode().JumpSliceByOffsetting(*point_ras)
        node.SetDisplayVisibility(True)
        filled = widget.image().astype(int)
        node.SetDisplayVisibility(False)
        changed = (abs(widget.image() - filled) > 3).any(axis=2)
        assert np.ptp(filled[changed].sum(axis=1)) > 20, name


def surface_height(user):
    """How tall the shown surface is in mm; 0 without one."""
    import vtk

    node, surface = user.workspace.segmentation.node, vtk.vtkPolyData()
    if not node.GetSegmentation().ContainsRepresentation("Closed surface"):
        return 0.0
    node.GetClosedSurfaceRepresentation(user.segment_id, surface)
    bounds = surface.GetBounds()
    return bounds[5] - bounds[4]


def test_a_surface_that_is_shown_follows_runs_and_undo(a_user):
    a_user.draw_box(12, (8, 10, 32, 38), (11, 13))
    a_user.run()
    assert surface_height(a_user) == 0, "nobody asked for one"
    a_user.workspace.segmentation.node.CreateClosedSurfaceRepresentation()
    low = surface_height(a_user)
    assert low > 0
    a_user.draw_box(12, (8, 10, 32, 38), (6, 18))
    a_user.run()
    tall = surface_height(a_user)
    assert tall > 2 * low
    a_user.press("undo")
    a_user.settle()
    assert surface_height(a_user) == low
    a_user.press("redo")
    a_user.settle()
    assert surface_height(a_user) == tall


def test_surfaces_of_other_segments_are_not_computed_anew(a_user):
    other = a_user.segment_id
    a_user.draw_box(12, (8, 10, 20, 20), (11, 13))
    a_user.run()
    a_user.press("addSegment")
    a_user.draw_box(12, (22, 22, 32, 38), (11, 13))
    a_user.run()
    node = a_user.workspace.segmentation.node
    node.CreateClosedSurfaceRepresentation()
    before = [surface_of(node, one) for one in (other, a_user.segment_id)]
    a_user.draw_box(12, (22, 22, 32, 38), (6, 18))
    a_user.run()
    after = [surface_of(node, one) for one in (other, a_user.segment_id)]
    assert [one is another for one, another in zip(before, after, strict=True)] == [True, False]
    a_user.press("undo")
    a_user.settle()
    assert surface_of(node, other) is before[0]


@pytest.mark.parametrize("index", [0, 12])
def test_a_surface_of_a_stroke_that_is_undone_leaves_no_error(a_user, index):
    import standin

    a_user.press("addSegment")
    a_user.settle()
    widget = a_user.view_showing(index)
    a_user.ui.editorWidget.setActiveEffectByName("Paint")
    standin.mouse.click(widget, a_user.point(index, 20, 20))
    a_user.ui.editorWidget.setActiveEffectByName("")
    a_user.settle()
    node = a_user.workspace.segmentation.node
    node.CreateClosedSurfaceRepresentation()
    assert surface_of(node, a_user.segment_id).GetNumberOfPoints() > 0
    a_user.press("undo")
    a_user.settle()
    assert surface_of(node, a_user.segment_id).GetNumberOfPoints() == 0
    a_user.press("redo")
    a_user.settle()
    assert surface_of(node, a_user.segment_id).GetNumberOfPoints() > 0


def surface_of(node, segment_id):
    return node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface")
