"""The stand-in's mouse does in slice views what a user's does in Slicer's."""

from __future__ import annotations

import numpy as np
import pytest
from standin import mouse, volumes

PIXEL_MM = 0.2
"""Nothing is placed more exactly than the pixel that was hit: half its diagonal, and room."""


@pytest.fixture
def a_view(a_slicer, a_shown_volume):
    """The axial view of a volume, and the volume."""
    volume = a_shown_volume()
    return a_slicer.sliceWidget("Red"), volume


def start_placing(slicer, kind, *, persistent=False):
    """Adds a markups node and lets clicks place it."""
    node = slicer.scene.AddNewNodeByClass(kind)
    node.CreateDefaultDisplayNodes()
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName(kind)
    logic.GetSelectionNode().SetActivePlaceNodeID(node.GetID())
    interaction = logic.GetInteractionNode()
    interaction.SetPlaceModePersistence(int(persistent))
    interaction.SetCurrentInteractionMode(interaction.Place)
    return node


def placed_ras(node):
    """The defined control points in world RAS."""
    defined = node.PositionDefined
    return [
        node.GetNthControlPointPositionWorld(n)
        for n in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(n) == defined
    ]


def near(offset_i, offset_j):
    """A point so many mm beside the middle of the volumes."""
    right, anterior, superior = volumes.CENTRE_RAS
    return right + offset_i, anterior + offset_j, superior


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_a_click_places_a_point_where_it_was_made(name, a_slicer, a_shown_volume):
    a_shown_volume()
    node = start_placing(a_slicer, "vtkMRMLMarkupsFiducialNode")
    mouse.click(a_slicer.sliceWidget(name), volumes.CENTRE_RAS)
    (found,) = placed_ras(node)
    np.testing.assert_allclose(found, volumes.CENTRE_RAS, atol=PIXEL_MM)


def test_a_point_goes_no_further_with_the_mouse_once_placing_ended(a_slicer, a_view):
    view, _ = a_view
    node = start_placing(a_slicer, "vtkMRMLMarkupsFiducialNode")
    mouse.click(view, near(3, 3))
    interaction = a_slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    mouse.move(view, near(-8, 5))
    np.testing.assert_allclose(placed_ras(node), [near(3, 3)], atol=PIXEL_MM)


def test_clicks_go_on_placing_points_where_placing_persists(a_slicer, a_view):
    view, _ = a_view
    node = start_placing(a_slicer, "vtkMRMLMarkupsFiducialNode", persistent=True)
    points = [near(0, 0), near(9, 4), near(-6, 7)]
    for point in points:
        mouse.click(view, point)
    np.testing.assert_allclose(placed_ras(node), points, atol=PIXEL_MM)


def test_two_clicks_place_a_line(a_slicer, a_view):
    view, _ = a_view
    node = start_placing(a_slicer, "vtkMRMLMarkupsLineNode")
    mouse.click(view, near(-6, 0))
    mouse.click(view, near(6, 2))
    np.testing.assert_allclose(placed_ras(node), [near(-6, 0), near(6, 2)], atol=PIXEL_MM)


def test_two_clicks_place_a_box(a_slicer, a_view):
    view, _ = a_view
    node = start_placing(a_slicer, "vtkMRMLMarkupsROINode")
    mouse.click(view, near(-6, -4))
    mouse.click(view, near(6, 4))
    np.testing.assert_allclose(node.GetCenterWorld(), volumes.CENTRE_RAS, atol=PIXEL_MM)
    np.testing.assert_allclose(node.GetSize()[:2], (12, 8), atol=2 * PIXEL_MM)


def add_box(slicer, size):
    node = slicer.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.CreateDefaultDisplayNodes()
    node.SetCenterWorld(volumes.CENTRE_RAS)
    node.SetSize(*size)
    return node


def test_dragging_a_handle_of_a_box_moves_that_side_alone(a_slicer, a_view):
    view, _ = a_view
    node = add_box(a_slicer, (12, 10, 20))
    node.GetDisplayNode().SetHandlesInteractive(True)
    mouse.drag(view, [near(6, 0), near(10, 0)])
    np.testing.assert_allclose(node.GetSize(), (16, 10, 20), atol=2 * PIXEL_MM)
    np.testing.assert_allclose(node.GetCenterWorld(), near(2, 0), atol=PIXEL_MM)


def test_dragging_a_point_moves_it(a_slicer, a_view):
    view, _ = a_view
    node = start_placing(a_slicer, "vtkMRMLMarkupsFiducialNode")
    mouse.click(view, near(3, 3))
    mouse.drag(view, [near(3, 3), near(-5, 1)])
    np.testing.assert_allclose(placed_ras(node), [near(-5, 1)], atol=2 * PIXEL_MM)


def test_the_mouse_tells_the_crosshair_where_it_is(a_slicer, a_view):
    view, _ = a_view
    mouse.move(view, near(4, -2))
    found = [0.0] * 3
    a_slicer.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCursorPositionRAS(found)
    np.testing.assert_allclose(found, near(4, -2), atol=PIXEL_MM)


def test_nobody_can_click_what_is_not_in_view(a_slicer, a_view):
    view, _ = a_view
    right, anterior, superior = volumes.CENTRE_RAS
    with pytest.raises(ValueError, match="not to be seen"):
        mouse.click(view, (right, anterior, superior + 6))
    with pytest.raises(ValueError, match="not to be seen"):
        mouse.click(view, (right + 500, anterior, superior))
    mouse.jump(view, (right, anterior, superior + 6))
    mouse.click(view, (right, anterior, superior + 6))


def test_keys_reach_the_view_and_the_shortcuts_of_what_has_the_focus(a_slicer, a_view):
    import qt

    view, _ = a_view
    pressed, elsewhere = [], qt.QLineEdit()
    a_slicer.app.mainWindow().statusBar().addWidget(elsewhere)
    shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Z"), view)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", lambda: pressed.append("shortcut"))
    interactor = view.sliceView().interactor()
    tag = interactor.AddObserver(
        "KeyPressEvent", lambda caller, _event: pressed.append(caller.GetKeySym())
    )
    mouse.key(view, "n")
    mouse.key(view, "Ctrl+Z")
    mouse.key(elsewhere, "Ctrl+Z")
    assert a_slicer.app.keyboardModifiers() == qt.Qt.NoModifier
    interactor.RemoveObserver(tag)
    shortcut.delete()
    elsewhere.delete()
    assert pressed == ["n", "Control_L", "shortcut"]


@pytest.fixture
def an_editor(a_slicer, a_view):
    """The Segment Editor's panel on an empty segment, in the axial view."""
    import slicer

    view, volume = a_view
    node = a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("one", "two"):
        node.GetSegmentation().AddEmptySegment(name, name)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(a_slicer.scene)
    editor.setMRMLSegmentEditorNode(a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.setupViewObservations()

    def mask_kji(segment="one"):
        return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume) > 0

    yield editor, view, mask_kji
    editor.removeViewObservations()
    editor.delete()


def paint(editor, view, start, end, effect="Paint", diameter=4):
    editor.setActiveEffectByName(effect)
    editor.activeEffect().setParameter("BrushAbsoluteDiameter", diameter)
    mouse.drag(view, [start, end])


def test_a_drag_with_the_brush_paints_the_current_segment_on_that_slice(an_editor):
    editor, view, mask_kji = an_editor
    editor.setCurrentSegmentID("one")
    paint(editor, view, near(-6, 0), near(6, 0))
    painted = mask_kji()
    (slices,) = np.nonzero(painted.any(axis=(1, 2)))
    assert len(slices) == 1
    area_mm2 = painted.sum() * 0.8 * 0.8
    assert area_mm2 == pytest.approx(12 * 4 + np.pi * 4, rel=0.15)
    assert not mask_kji("two").any()


def test_the_brush_paints_under_the_mouse_in_a_tilted_and_moved_volume(a_slicer, a_shown_volume):
    import slicer

    volume = a_shown_volume("oblique", transformed=True)
    node = a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("one")
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(a_slicer.scene)
    editor.setMRMLSegmentEditorNode(a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.setupViewObservations()
    view = a_slicer.sliceWidget("Red")
    centre_ras = [view.mrmlSliceNode().GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
    paint(editor, view, centre_ras, centre_ras, diameter=6)
    editor.removeViewObservations()
    painted_kji = np.argwhere(slicer.util.arrayFromSegmentBinaryLabelmap(node, "one", volume))
    middle_ijk = [*painted_kji.mean(axis=0)[::-1], 1.0]
    found_ras = (
        volumes.add_transform(a_slicer.scene)
        .GetMatrixTransformToParent()
        .MultiplyPoint((volumes.affine("oblique") @ middle_ijk).tolist())
    )
    np.testing.assert_allclose(found_ras[:3], centre_ras, atol=0.5)
    editor.delete()


def test_the_eraser_takes_away_what_it_passes_over(an_editor):
    editor, view, mask_kji = an_editor
    paint(editor, view, near(-6, 0), near(6, 0))
    before = mask_kji()
    paint(editor, view, near(0, -6), near(0, 6), "Erase")
    after = mask_kji()
    assert 0 < after.sum() < before.sum()
    assert not (after & ~before).any()


def test_without_an_effect_the_mouse_paints_nothing(an_editor):
    editor, view, mask_kji = an_editor
    paint(editor, view, near(-6, 0), near(6, 0))
    before = mask_kji()
    editor.setActiveEffectByName("")
    mouse.drag(view, [near(-6, 5), near(6, 5)])
    np.testing.assert_array_equal(mask_kji(), before)


def test_a_segment_that_may_not_be_overwritten_keeps_its_voxels(an_editor):
    editor, view, mask_kji = an_editor
    node = editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(node.OverwriteNone)
    paint(editor, view, near(-6, 0), near(6, 0))
    one = mask_kji("one")
    editor.setCurrentSegmentID("two")
    paint(editor, view, near(0, -6), near(0, 6))
    np.testing.assert_array_equal(mask_kji("one"), one)
    assert mask_kji("two").any()


def test_strokes_are_undone_and_redone(an_editor):
    editor, view, mask_kji = an_editor
    paint(editor, view, near(-6, 0), near(6, 0))
    first = mask_kji()
    paint(editor, view, near(-6, 6), near(6, 6))
    second = mask_kji()
    assert (first != second).any()
    editor.undo()
    np.testing.assert_array_equal(mask_kji(), first)
    editor.undo()
    assert not mask_kji().any()
    editor.redo()
    editor.redo()
    np.testing.assert_array_equal(mask_kji(), second)


def test_an_editor_that_hides_undo_keeps_states_until_it_may_keep_none(an_editor):
    editor, view, mask_kji = an_editor
    editor.undoEnabled = False
    paint(editor, view, near(-6, 0), near(6, 0))
    editor.undo()
    assert not mask_kji().any()
    editor.maximumNumberOfUndoStates = 0
    paint(editor, view, near(-6, 0), near(6, 0))
    painted = mask_kji()
    editor.undo()
    np.testing.assert_array_equal(mask_kji(), painted)


def test_what_lies_under_the_brush_is_not_dragged(an_editor, a_slicer):
    editor, view, _ = an_editor
    node = start_placing(a_slicer, "vtkMRMLMarkupsFiducialNode")
    mouse.click(view, near(3, 3))
    paint(editor, view, near(3, 3), near(-5, 1))
    np.testing.assert_allclose(placed_ras(node), [near(3, 3)], atol=PIXEL_MM)


def test_whoever_places_markups_does_not_paint(an_editor, a_slicer):
    editor, view, mask_kji = an_editor
    editor.setActiveEffectByName("Paint")
    node = start_placing(a_slicer, "vtkMRMLMarkupsFiducialNode")
    assert editor.activeEffect() is None
    mouse.click(view, near(0, 0))
    assert len(placed_ras(node)) == 1
    assert not mask_kji().any()


def test_selectors_of_the_editor_are_hidden_where_the_module_has_its_own(an_editor):
    editor, _, _ = an_editor
    editor.segmentationNodeSelectorVisible = False
    editor.sourceVolumeNodeSelectorVisible = False
    editor.show()
    assert not editor.findChild(type(editor), "nothing")
    import slicer

    shown = [box.visible for box in editor.findChildren(slicer.qMRMLNodeComboBox)]
    assert shown == [False, False]


def test_the_place_widget_starts_and_ends_placing(a_slicer, a_view):
    import slicer

    view, _ = a_view
    widget, told = slicer.qSlicerMarkupsPlaceWidget(), []
    widget.setMRMLScene(a_slicer.scene)
    node = a_slicer.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.CreateDefaultDisplayNodes()
    widget.setCurrentNode(node)
    widget.connect("activeMarkupsPlaceModeChanged(bool)", told.append)
    widget.placeButton().click()
    assert widget.placeModeEnabled
    mouse.click(view, near(0, 0))
    assert not widget.placeModeEnabled
    assert told == [True, False]
    np.testing.assert_allclose(placed_ras(node), [near(0, 0)], atol=PIXEL_MM)
    widget.delete()
