"""The doubles of CTK's and Slicer's widgets do what a module relies on."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import standin


def select(box, text):
    """Chooses an entry of a combo box as a user does."""
    place = box.findText(text)
    assert place >= 0, [box.itemText(n) for n in range(box.count)]
    box.setCurrentIndex(place)
    box.activated.emit(place)


def test_nodes_are_selected_created_and_lost_in_a_node_selector(a_slicer, a_volume):
    import slicer

    box, got = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.setMRMLScene(a_slicer.scene)
    box.connect("currentNodeChanged(vtkMRMLNode*)", got.append)
    volume = a_volume()
    assert (box.currentNode(), box.nodeCount()) == (None, 1)
    box.setCurrentNode(volume)
    assert box.currentNodeID == volume.GetID()
    a_slicer.scene.RemoveNode(volume)
    assert got == [volume, None]
    added = box.addNode()
    assert box.currentNode() is added
    a_slicer.close_scene()
    assert (box.currentNode(), box.nodeCount()) == (None, 0)


def test_a_node_selector_without_none_takes_the_first_node(a_slicer, a_volume):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(a_slicer.scene)
    first, second = a_volume(name="first"), a_volume(name="second")
    assert box.currentNode() is first
    a_slicer.scene.RemoveNode(first)
    assert box.currentNode() is second


def test_a_node_selector_lists_nodes_with_an_attribute_alone(a_slicer, a_volume):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.addAttribute("vtkMRMLScalarVolumeNode", "Modality", "CT")
    a_volume()
    scan, hidden = a_volume(), a_volume()
    for volume in (scan, hidden):
        volume.SetAttribute("Modality", "CT")
    hidden.SetHideFromEditors(True)
    box.setMRMLScene(a_slicer.scene)
    assert box.nodes() == [scan]


def test_a_user_creates_and_deletes_nodes_in_the_list_of_a_node_selector(a_slicer):
    import qt

    import slicer

    box, created = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes, box.noneEnabled = ["vtkMRMLSegmentationNode"], True
    box.setMRMLScene(a_slicer.scene)
    box.connect("nodeAddedByUserAction(vtkMRMLNode*)", created.append)
    (entries,) = box.findChildren(qt.QComboBox)
    select(entries, "Create new Segmentation")
    assert created == [box.currentNode()]
    select(entries, "Delete current")
    assert a_slicer.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert box.currentNode() is None


def test_a_widget_that_is_gone_hears_no_more_of_the_scene(a_slicer, a_volume):
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setMRMLScene(a_slicer.scene)
    box.delete()
    a_volume()
    del box
    gc.collect()
    a_volume()
    assert a_slicer.errors == []


def test_a_slider_keeps_its_value_within_its_range_and_steps(a_slicer):
    import ctk

    slider, got = ctk.ctkSliderWidget(), []
    slider.connect("valueChanged(double)", got.append)
    slider.minimum, slider.maximum, slider.singleStep, slider.decimals = 0, 4, 0.5, 1
    slider.value = 2.5
    slider.value = 9
    assert got == [2.5, 4.0]
    assert slider.value == 4.0


def test_the_ends_of_a_range_never_cross(a_slicer):
    import ctk

    box, got = ctk.ctkRangeWidget(), []
    box.setRange(-100, 400)
    box.setValues(0, 50)
    box.connect("valuesChanged(double,double)", lambda low, high: got.append((low, high)))
    box.minimumValue = 80
    assert (box.minimumValue, box.maximumValue) == (80.0, 80.0)
    box.maximumValue = 60
    assert got[-1] == (60.0, 60.0)
    box.maximumValue = 999
    assert box.maximumValue == 400.0


def test_a_path_is_typed_or_chosen(a_slicer):
    import ctk
    import qt

    edit, got = ctk.ctkPathLineEdit(), []
    edit.connect("currentPathChanged(QString)", got.append)
    edit.currentPath = "/data/ca.pem"
    a_slicer.answers.append("/data/other.pem")
    edit.findChild(qt.QToolButton).click()
    assert got == ["/data/ca.pem", "/data/other.pem"]
    assert edit.currentPath == "/data/other.pem"


@pytest.fixture
def an_editor(a_slicer, a_volume):
    """The Segment Editor's panel, and a segmentation that is not edited yet."""
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLSegmentEditorNode(a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setMRMLScene(a_slicer.scene)
    node = a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume())
    yield editor, node
    editor.delete()


def test_segments_are_added_selected_and_removed_in_the_editor(an_editor):
    import qt

    editor, node = an_editor
    editor.setSegmentationNode(node)
    told = []
    editor.connect("currentSegmentIDChanged(QString)", told.append)
    add, remove = (
        editor.findChild(qt.QPushButton, f"{what}SegmentButton") for what in ("Add", "Remove")
    )
    add.click()
    add.click()
    first, second = node.GetSegmentation().GetSegmentIDs()
    assert editor.currentSegmentID() == second
    table = editor.findChild(qt.QTableWidget)
    table.selectRow(0)
    assert editor.currentSegmentID() == first
    remove.click()
    assert node.GetSegmentation().GetSegmentIDs() == (second,)
    assert told[0] == first, "what a button selects is not told"


def test_the_editor_selects_the_first_segment_of_a_segmentation_whatever_its_node_says(an_editor):
    editor, node = an_editor
    told = []
    editor.connect("currentSegmentIDChanged(QString)", told.append)
    for name in ("one", "two"):
        node.GetSegmentation().AddEmptySegment(name)
    editor.mrmlSegmentEditorNode().SetSelectedSegmentID("two")
    editor.setSegmentationNode(node)
    assert editor.currentSegmentID() == "one"
    assert told == ["one"]
    editor.setCurrentSegmentID("two")
    assert told == ["one"]


def test_the_editor_follows_its_node(an_editor):
    editor, node = an_editor
    told = []
    editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", told.append)
    node.GetSegmentation().AddEmptySegment("one")
    editor.mrmlSegmentEditorNode().SetAndObserveSegmentationNode(node)
    assert editor.segmentationNode() is node
    assert told == [node]
    assert editor.currentSegmentID() == "one"


def test_the_editor_outlives_its_node_and_its_segmentation(an_editor, a_slicer):
    editor, node = an_editor
    editor.setSegmentationNode(node)
    editor.setActiveEffectByName("Paint")
    a_slicer.scene.RemoveNode(node)
    assert editor.segmentationNode() is None
    a_slicer.close_scene()
    assert editor.mrmlSegmentEditorNode() is None
    editor.setActiveEffectByName("")


def test_effects_are_chosen_by_button_and_by_name(an_editor):
    import qt

    editor, node = an_editor
    editor.setSegmentationNode(node)
    paint, none = (editor.findChild(qt.QPushButton, name) for name in ("Paint", "NullEffect"))
    paint.click()
    assert editor.activeEffect().name == "Paint"
    none.click()
    assert editor.activeEffect() is None
    editor.setActiveEffectByName("Erase")
    assert (paint.checked, editor.activeEffect().name) == (False, "Erase")
    assert editor.effectByName("Telepathy") is None


USE = """
import standin
slicer = standin.boot()
from standin import mouse, volumes
volume = volumes.add_volume(slicer.scene)
volumes.show(slicer, volume)
assert slicer.sliceWidget("Red").image().std() > 1
mouse.click(slicer.sliceWidget("Red"), volumes.CENTRE_RAS)
slicer.app.mainWindow().show()
standin.pump(0.1)
assert not slicer.errors
"""


def test_processes_that_use_it_side_by_side_end_quietly(a_slicer):
    harness = Path(standin.__file__).parents[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", USE],
            cwd=harness,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    said = "".join(text for output in outputs for text in output)
    assert not [word for word in ("Fatal", "leak", "Traceback", "ERR|") if word in said], said


HEADLESS = """
import sys
import standin
assert not {"vtk", "slicer", "numpy", "PySide6"} & set(sys.modules)
scene = standin.boot_headless().scene
import slicer
assert slicer.app.mrmlScene() is scene
assert slicer.modules.segmentations.logic() is not None
assert "PySide6" not in sys.modules
standin.boot()
assert slicer.mrmlScene is scene is slicer.app.mrmlScene()
"""


def test_the_scene_alone_needs_no_qt(a_slicer):
    harness = Path(standin.__file__).parents[1]
    subprocess.run([sys.executable, "-c", HEADLESS], cwd=harness, check=True, timeout=120)
