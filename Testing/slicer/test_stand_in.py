"""The stand-in behaves as PythonQt does, and mistakes made in a module do not pass."""

from __future__ import annotations

import threading
import time

import pytest
import standin

FORM = """<ui version="4.0"><class>Panel</class>
<widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="panelLayout">
 <item><widget class="ctkCollapsibleButton" name="inputs">
  <property name="text"><string>Inputs</string></property>
  <layout class="QFormLayout" name="inputsLayout">
   <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="selector">
    <property name="nodeTypes"><stringlist>
     <string>vtkMRMLScalarVolumeNode</string></stringlist></property>
    <property name="noneEnabled"><bool>true</bool></property></widget></item>
   <item row="1" column="1"><widget class="ctkSliderWidget" name="slider">
    <property name="maximum"><double>10</double></property>
    <property name="singleStep"><double>0.5</double></property></widget></item>
   <item row="2" column="1"><widget class="ctkPathLineEdit" name="path">
    <property name="filters"><set>ctkPathLineEdit::Files|ctkPathLineEdit::Readable</set></property>
   </widget></item>
  </layout></widget></item>
 <item><widget class="QPushButton" name="go">
  <property name="text"><string>Go</string></property></widget></item>
</layout></widget>
<customwidgets>
 <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget>
 <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><container>1</container></customwidget>
 <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
 <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends></customwidget>
 <customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends></customwidget>
</customwidgets>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
 <receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


@pytest.fixture
def a_form(a_slicer, tmp_path):
    """Loads the text of a .ui file; gives its widgets by name."""
    import slicer

    shown = []

    def load(text=FORM):
        file = tmp_path / "Panel.ui"
        file.write_text(text, "utf-8")
        widget = slicer.util.loadUI(str(file))
        shown.append(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        return slicer.util.childWidgetVariables(widget)

    yield load
    for widget in shown:
        widget.deleteLater()
    standin.pump()


def test_properties_are_attributes(a_slicer):
    import qt

    button = qt.QPushButton("Go")
    assert (button.text, button.enabled, button.isEnabled()) == ("Go", True, True)
    button.enabled, button.text, button.name = False, "Stop", "stopper"
    assert (button.text, button.isEnabled(), button.objectName) == ("Stop", False, "stopper")
    box = qt.QSpinBox()
    box.maximum, box.value = 50, 7
    assert (box.value, box.maximum) == (7, 50)
    assert box.sizeHint.width() > 0


def test_enumerators_equal_their_numbers(a_slicer):
    import qt

    line = qt.QLineEdit()
    line.echoMode = qt.QLineEdit.Password
    assert line.echoMode == qt.QLineEdit.Password
    assert line.echoMode == 2
    assert int(line.echoMode) == 2


def test_a_timer_has_both_meanings_of_single_shot(a_slicer):
    import qt

    rung = []
    qt.QTimer.singleShot(0, lambda: rung.append("static"))
    timer = qt.QTimer()
    timer.interval, timer.singleShot = 5, True
    timer.connect("timeout()", lambda: rung.append("timer"))
    timer.start()
    assert standin.pump(2, lambda: len(rung) == 2)
    assert not standin.pump(0.05, lambda: len(rung) > 2)


def test_a_function_gets_as_many_arguments_as_it_takes(a_slicer):
    import qt

    button, got = qt.QPushButton(), []
    button.checkable = True
    button.connect("clicked(bool)", got.append)
    button.connect("clicked(bool)", lambda: got.append("none"))
    button.connect("clicked()", lambda *arguments: got.append(arguments))
    button.clicked.connect(lambda: got.append("object"))
    button.click()
    assert got == [True, "none", (), "object"]


def test_a_connection_can_be_undone(a_slicer):
    import qt

    button, got = qt.QPushButton(), []
    button.connect("clicked(bool)", got.append)
    assert button.disconnect("clicked(bool)", got.append)
    assert not button.disconnect("clicked(bool)", got.append)
    button.click()
    assert got == []


def test_dynamic_properties_are_attributes(a_slicer):
    import qt

    button = qt.QPushButton()
    button.setProperty("index", 3)
    assert button.index == 3
    button.index = 4
    assert button.property("index") == 4


def test_a_python_class_may_hold_what_it_likes_and_override_events(a_slicer):
    import qt

    class Label(qt.QLabel):
        def __init__(self):
            qt.QLabel.__init__(self)
            self.heard = []

        def sizeHint(self):
            return qt.QSize(123, 45)

        def resizeEvent(self, event):
            self.heard.append(event.size().width())

    label = Label()
    label.adjustSize()
    label.grab()
    assert label.size == qt.QSize(123, 45)
    assert set(label.heard) == {123}


def test_a_form_with_widgets_of_slicer_is_loaded_and_connected(a_form, a_volume):
    import slicer

    ui, got = a_form(), []
    assert ui.selector.mrmlScene() is slicer.mrmlScene
    assert (ui.slider.maximum, ui.slider.singleStep) == (10.0, 0.5)
    assert ui.path.filters == ui.path.Files | ui.path.Readable
    assert ui.inputs.collapsed is False
    ui.slider.connect("valueChanged(double)", got.append)
    ui.slider.value = 3.5
    assert got == [3.5]


def test_a_collapsed_button_hides_its_children(a_form):
    ui, got = a_form(), []
    ui.Panel.show()
    ui.inputs.connect("contentsCollapsed(bool)", got.append)
    tall = ui.inputs.sizeHint.height()
    ui.inputs.collapsed = True
    assert not ui.slider.visible
    assert ui.inputs.sizeHint.height() < tall
    ui.inputs.click()
    assert ui.slider.visible
    assert got == [True, False]


MISTAKES = {
    "a widget's name": lambda ui, _qt: ui.goo,
    "a property's name, read": lambda ui, _qt: ui.go.enabledd,
    "a property's name, set": lambda ui, _qt: setattr(ui.go, "enabledd", False),
    "a property's name, set on a widget of Slicer": lambda ui, _qt: setattr(ui.slider, "max", 3),
    "a property that is called": lambda ui, _qt: ui.go.text(),
    "a value of the wrong type": lambda ui, _qt: setattr(ui.go, "enabled", "no"),
    "a method's name": lambda ui, _qt: ui.selector.setCurrentVolume(None),
    "a method that is assigned to": lambda ui, _qt: setattr(ui.go, "click", None),
    "a signal's name": lambda ui, _qt: ui.go.connect("pressd()", print),
    "a signal's arguments": lambda ui, _qt: ui.go.connect("clicked(int)", print),
    "a signal's name on a widget of Slicer": lambda ui, _qt: ui.slider.connect(
        "valueChange(double)", print
    ),
    "a signal's arguments on a widget of Slicer": lambda ui, _qt: ui.selector.connect(
        "currentNodeChanged(vtkMRMLScene*)", print
    ),
    "the stand-in's own signal": lambda ui, _qt: ui.selector.connect(
        "_currentNodeChanged(PyObject)", print
    ),
    "a receiver that cannot be called": lambda ui, _qt: ui.go.connect("clicked()", None),
    "a name that only PySide has": lambda _ui, qt: qt.Slot,
    "a module of PySide": lambda _ui, qt: qt.QtCore.Qt,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_raises(mistake, a_form):
    import qt

    with pytest.raises((AttributeError, ValueError, TypeError)):
        MISTAKES[mistake](a_form(), qt)


def test_a_widget_class_without_a_double_is_an_error(a_form):
    with pytest.raises(RuntimeError, match="qMRMLMagicWidget"):
        a_form(FORM.replace("ctkSliderWidget", "qMRMLMagicWidget"))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("<sender>Panel", "<sender>NoPanel"),
        ("<receiver>selector", "<receiver>noSelector"),
        ("<slot>setMRMLScene(", "<slot>setScene("),
        ("<signal>mrmlSceneChanged(vtkMRMLScene*)", "<signal>mrmlSceneChanged(vtkMRMLNode*)"),
    ],
)
def test_a_connection_of_a_form_that_leads_nowhere_is_an_error(a_form, right, wrong):
    with pytest.raises(ValueError, match=wrong.split(">")[1].split("(")[0]):
        a_form(FORM.replace(right, wrong))


def errors_of(slicer):
    """The errors that were noted, taken out so that the test may pass."""
    found = list(slicer.errors)
    slicer.errors.clear()
    return found


def test_an_error_in_a_slot_is_kept(a_slicer, capfd):
    import qt

    button = qt.QPushButton()
    button.connect("clicked(bool)", lambda one, two: None)
    button.clicked.connect(lambda: {}["missing"])
    button.click()
    assert [type(error) for error in errors_of(a_slicer)] == [TypeError, KeyError]


def test_an_error_in_a_timer_is_kept(a_slicer, capfd):
    import qt

    qt.QTimer.singleShot(0, lambda: 1 / 0)
    standin.pump(2, lambda: a_slicer.errors)
    assert [type(error) for error in errors_of(a_slicer)] == [ZeroDivisionError]


def test_an_error_in_an_observer_is_kept(a_slicer, capfd):
    a_slicer.scene.AddObserver("ModifiedEvent", lambda *_: 1 / 0)
    a_slicer.scene.Modified()
    a_slicer.scene.RemoveObservers("ModifiedEvent")
    assert [type(error) for error in errors_of(a_slicer)] == [ZeroDivisionError]


def test_an_error_in_an_event_handler_is_kept(a_slicer, capfd):
    import qt

    class Label(qt.QLabel):
        def resizeEvent(self, event):
            raise KeyError("planted")

    label = Label()
    qt.QTimer.singleShot(0, label.show)
    standin.pump(1, lambda: a_slicer.errors)
    assert [type(error) for error in errors_of(a_slicer)] == [KeyError]


def test_what_qt_complains_about_is_kept(a_slicer):
    import qt

    label = qt.QLabel()
    label.setMinimumSize(-5, -5)
    assert "Negative sizes" in str(errors_of(a_slicer)[0])


def test_what_vtk_complains_about_is_kept(a_slicer, capfd):
    import vtk

    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName("/missing.vtp")
    reader.Update()
    assert "/missing.vtp" in str(errors_of(a_slicer)[0])


def test_qt_is_for_the_main_thread_alone(a_slicer):
    import qt

    label, found = qt.QLabel("here"), []

    def read():
        try:
            found.append(label.text)
        except RuntimeError as error:
            found.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert "main thread" in found[0]


def test_a_message_is_noted_and_closed(a_slicer):
    import slicer

    slicer.util.errorDisplay("The file is empty.", windowTitle="Reading")
    assert [(m.title, m.text) for m in a_slicer.messages] == [("Reading", "The file is empty.")]


def test_a_question_takes_the_answer_of_the_test(a_slicer):
    import qt

    import slicer

    a_slicer.answers += [qt.QMessageBox.Yes, qt.QMessageBox.No]
    assert slicer.util.confirmYesNoDisplay("Go on?")
    assert not slicer.util.confirmYesNoDisplay("Go on?")


def test_a_question_without_an_answer_is_refused_and_an_error(a_slicer):
    import slicer

    assert not slicer.util.confirmYesNoDisplay("Delete everything?")
    assert "Delete everything?" in str(errors_of(a_slicer)[0])


def test_the_longest_stay_away_from_the_event_loop_is_measured(a_slicer):
    import qt

    def dawdle():
        time.sleep(0.3)

    with standin.block_meter() as meter:
        standin.pump(0.2)
        assert meter.longest_s < 0.3
        qt.QTimer.singleShot(0, dawdle)
        standin.pump(0.3)
        assert 0.3 <= meter.longest_s < 1.0
    assert "dawdle" in meter.culprit


def test_the_loop_runs_until_a_condition_holds_and_no_longer(a_slicer):
    began = time.monotonic()
    assert standin.pump(30, lambda: time.monotonic() - began > 0.05)
    assert not standin.pump(0.05, lambda: False)
    assert time.monotonic() - began < 5


MODULE = """
import slicer
from slicer.ScriptedLoadableModule import *
from slicer.i18n import tr as _

class Planted(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Planted")

class PlantedWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.told = []
        import qt
        self.button = qt.QPushButton("Go")
        self.layout.addWidget(self.button)

    def enter(self): self.told.append("enter")
    def exit(self): self.told.append("exit")
    def cleanup(self): self.told.append("cleanup")

class PlantedLogic(ScriptedLoadableModuleLogic):
    pass
"""


@pytest.fixture
def a_module(a_slicer, tmp_path):
    file = tmp_path / "Planted.py"
    file.write_text(MODULE, "utf-8")
    return a_slicer.load_module(file)


def test_a_scripted_module_is_loaded_entered_and_left(a_module, a_slicer):
    import slicer

    widget = a_module.widget
    assert slicer.util.modulePath("Planted").endswith("Planted.py")
    assert slicer.util.getModuleWidget("Planted") is widget
    assert "Planted" in slicer.util.moduleNames()
    slicer.util.selectModule("Planted")
    slicer.util.selectModule("Volumes")
    assert widget.told == ["enter", "exit"]
    a_module.enter()
    a_module.cleanup()
    assert widget.told == ["enter", "exit", "enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "planted")


def test_a_module_keeps_its_choices_in_one_node_of_the_scene(a_module, a_slicer):
    logic = a_module.module.PlantedLogic()
    node = logic.getParameterNode()
    node.SetParameter("side", "left")
    assert logic.getParameterNode() is node
    a_slicer.close_scene()
    assert logic.getParameterNode().GetParameter("side") == ""


def test_a_picture_of_the_panel_is_as_wide_as_asked(a_module, tmp_path):
    import qt

    picture = qt.QImage(str(a_module.grab(tmp_path / "panel.png", width=400)))
    assert (picture.width(), picture.height() > 20) == (400, True)


def test_every_start_is_the_same_application(a_slicer):
    import slicer

    assert standin.boot() is a_slicer
    assert standin.boot_headless().scene is slicer.mrmlScene is a_slicer.scene
