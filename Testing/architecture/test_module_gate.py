"""The module's files against what real Slicer offers, and the gate against planted mistakes."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from module_gate import check_module
from module_types import dotted
from slicer_api import Api, slicer_api
from ui_gate import check_ui, widgets_of

UI = """
<ui version="4.0">
 <widget class="qMRMLWidget" name="Panel">
  <layout class="QVBoxLayout" name="rows">
   <item>
    <widget class="QPushButton" name="goButton">
     <property name="text"><string>Go</string></property>
    </widget>
   </item>
   <item><widget class="qMRMLNodeComboBox" name="volumeSelector"/></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>qMRMLNodeComboBox.h</header></customwidget>
 </customwidgets>
 <connections>
  <connection>
   <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>volumeSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
 </connections>
</ui>
"""

RIGHT = """
import qt, ctk, slicer
from .Signal import Signal


class Shown(qt.QObject):
    def __init__(self, label: qt.QLabel, ui):
        qt.QObject.__init__(self, label)
        self.ui, self.label = ui, label
        self.clicked = Signal()
        self.timer = None
        self.timer = qt.QTimer()
        self.timer.setInterval(20)
        self.timer.connect("timeout()", self.tick)
        self.clicked.connect(self.tick)
        ui.goButton.connect("clicked(bool)", lambda _: self.tick())

    def tick(self):
        self.label.text = self.ui.goButton.text
        self.label.setAlignment(qt.Qt.AlignLeft | qt.Qt.AlignTop)
        qt.QTimer.singleShot(0, self.tick)
        for name in slicer.app.layoutManager().sliceViewNames():
            slicer.app.layoutManager().sliceWidget(name).sliceView().setViewCursor(None)
        slicer.util.setSliceViewerLayers(background=None, fit=True)
        item = qt.QTableWidgetItem("a")
        return item.text(), slicer.vtkMRMLSliceNode(), slicer.mrmlScene.GetNodeByID("a")
"""

AROUND = """
import qt, ctk, slicer

class A:
    def f(self, unknown, f):
        return {}
"""

WRONG = [
    ("qt.QLabell()", "qt.QLabell is not in the table"),
    ("qt.Qt.AlignmentFlag.AlignLeft", "PySide's spelling; write qt.Qt.AlignLeft"),
    ("qt.Qt.AlignLeftt", "qt.Qt.AlignLeftt is not in the table"),
    ("qt.Signal(int)", "qt.Signal is PySide's"),
    ("qt.Slot()", "qt.Slot is PySide's"),
    ("qt.Property(int)", "qt.Property is PySide's"),
    ("qt.QLabel(text='a')", "takes no keywords"),
    ("ctk.ctkPathLineEdit(parent=None)", "takes no keywords"),
    ("qt.QComboBox().addItem(text='a')", "takes no keywords"),
    ("qt.QLabel('a').text()", "QLabel.text is a property"),
    ("self.ui.goButton.text()", "QPushButton.text is a property"),
    ("self.ui.goButton.checked()", "QPushButton.checked is a property"),
    ("unknown.currentText()", "currentText is a property"),
    ("self.ui.goBotton.show()", "no .ui file has a widget goBotton"),
    ("self.ui.goButton.setLabel('a')", "QPushButton.setLabel is not in the table"),
    ("self.ui.volumeSelector.setNodeTypes(['a'])", "setNodeTypes is not in the table"),
    ("self.ui.goButton.clicked.connect(f)", "is PySide's; connect('clicked(...)', f)"),
    ("unknown.timeout.connect(f)", "is PySide's"),
    ("self.ui.goButton.connect('clicked(int)', f)", "QPushButton has no signal clicked(int)"),
    ("self.ui.goButton.connect('clicked', f)", "has no signal clicked"),
    ("unknown.connect('nothing()', f)", "no class has no signal nothing()"),
    ("unknown.connect(f'{a}()', f)", "name the signal in plain text"),
    ("self.ui.goButton.connect(signal, f)", "name the signal in plain text"),
    ("slicer.app.settingsFile", "qSlicerApplication.settingsFile is not in the table"),
    ("slicer.app.slicerHome()", "slicerHome is a property"),
    ("slicer.app.processEvents()", "waits in a nested event loop"),
    ("qt.QDialog().exec_()", "waits in a nested event loop"),
    ("slicer.util.loadVolumes('a')", "slicer.util.loadVolumes is not in the table"),
    ("slicer.application", "slicer.application is not in the table"),
    ("slicer.app.layoutManager().sliceWidgets()", "qSlicerLayoutManager.sliceWidgets"),
]

WRONG_IMPORTS = [
    ("from PySide6 import QtCore", "is not what Slicer has"),
    ("import PySide6.QtWidgets", "is not what Slicer has"),
    ("from qt import QLabel", "import qt and write qt.Name"),
    ("import qt as q", "under its own name"),
    ("from slicer.util import loadVolumes", "slicer.util.loadVolumes is not in the table"),
    ("def f():\n    import PyQt5", "is not what Slicer has"),
]

WRONG_UI = [
    ('class="QPushButton"', 'class="QPushBotton"', "the unannounced class QPushBotton"),
    ('class="QVBoxLayout"', 'class="QVLayout"', "the layout class QVLayout is not in the table"),
    ('name="text"', 'name="label"', "QPushButton has no property label"),
    ("qMRMLNodeComboBox", "qMRMLNodeBox", "the custom widget qMRMLNodeBox is not in the table"),
    ("<header>qMRMLWidget.h", "<header>qMRMLWidgets.h", "is not declared in qMRMLWidgets.h"),
    ("<extends>QWidget", "<extends>QLabel", "does not extend QLabel"),
    ("mrmlSceneChanged(", "sceneChanged(", "qMRMLWidget has no signal sceneChanged(vtkMRMLScene*)"),
    ("<slot>setMRMLScene", "<slot>setScene", "has no slot setScene(vtkMRMLScene*)"),
    ("<receiver>volumeSelector", "<receiver>selector", "names selector, which is no widget"),
    ('name="goButton"', 'name="volumeSelector"', "two things are called volumeSelector"),
]


@pytest.fixture(scope="module")
def api() -> Api:
    return slicer_api()


@pytest.fixture(scope="module")
def ui_files(repository) -> list[Path]:
    return sorted((repository / "Resources" / "UI").glob("*.ui"))


@pytest.fixture(scope="module")
def module_files(repository) -> list[Path]:
    return sorted((repository / "MedSAM2Slicer").rglob("*.py"))


@pytest.fixture(scope="module")
def panel(ui_files) -> dict[str, str]:
    """The class of every widget of the module by its name."""
    found = [widgets_of(file.read_text("utf-8")) for file in ui_files]
    return {name: kind for one in found for name, kind in one.items()}


def slicer_chains(files: list[Path]) -> Iterator[str]:
    """What the files use of ``slicer.util`` and of MRML's classes, ``util.loadVolume`` say."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            parts = dotted(node) if isinstance(node, ast.Attribute) else []
            mrml = len(parts) > 1 and parts[0] == "slicer" and parts[1].startswith("vtk")
            if mrml or (len(parts) > 2 and parts[:2] == ["slicer", "util"]):
                yield ".".join(parts[1:3])


def ask(program: list[str], folder: Path) -> list[str]:
    """The words that a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, *program], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.split()


def needs(package: str) -> None:
    """Skips where a package is not installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the package {package} is not installed")


def test_the_modules_files_use_only_what_slicer_offers(module_files, api, panel):
    found = {file.name: check_module(file.read_text("utf-8"), api, panel) for file in module_files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_ui_files_use_only_what_slicers_loader_knows(ui_files, api):
    assert ui_files
    found = {file.name: check_ui(file.read_text("utf-8"), api) for file in ui_files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_what_is_right_passes(api):
    assert check_ui(UI, api) == []
    assert check_module(RIGHT, api, widgets_of(UI)) == []


@pytest.mark.parametrize(("expression", "complaint"), WRONG)
def test_a_mistake_is_found(api, expression, complaint):
    [found] = check_module(AROUND.format(expression), api, widgets_of(UI))
    assert found.startswith("line 6: ")
    assert complaint in found


@pytest.mark.parametrize(("text", "complaint"), WRONG_IMPORTS)
def test_a_wrong_import_is_found(api, text, complaint):
    [found] = check_module(text, api, {})
    assert complaint in found


@pytest.mark.parametrize(("right", "wrong", "complaint"), WRONG_UI)
def test_a_mistake_in_a_ui_file_is_found(api, right, wrong, complaint):
    assert right in UI
    found = check_ui(UI.replace(right, wrong), api)
    assert any(complaint in line for line in found), found


def test_a_widget_handed_on_keeps_its_class(api):
    text = (
        "import qt\n\n\nclass A:\n    def __init__(self, ui):\n        self.button = ui.goButton\n\n"
        "    def f(self):\n        button = self.button\n        return button.text()\n"
    )
    assert check_module(text, api, widgets_of(UI)) == [
        "line 10: QPushButton.text is a property; read it without ()"
    ]


def test_every_entry_of_the_table_names_the_file_that_says_so(api):
    for name, source in api.sources.items():
        assert source.startswith(("qtbase/", "commontk/CTK ", "Slicer/Slicer ")), name
        assert source.endswith((".h", ".py")), name


def test_what_is_used_of_mrml_and_slicers_functions_exists_in_the_slicer_core_package(
    module_files, api, tmp_path
):
    needs("slicer-core")
    used = set(slicer_chains(module_files)) - {f"util.{name}" for name in api.later["slicer.util"]}
    used |= {f"util.{name}" for name in api.modules["slicer.util"] - api.later["slicer.util"]}
    code = (
        "import operator, sys, slicer.util\n"
        "for name in sys.argv[1:]:\n"
        "    try: operator.attrgetter(name)(slicer)\n"
        "    except AttributeError: print(name)"
    )
    assert len(used) > 30
    assert ask(["-c", code, *sorted(used)], tmp_path) == []


def test_the_tables_qt_is_qts_own(repository):
    needs("PySide6-Essentials")
    assert ask(["qt_facts.py"], repository / "Testing" / "harness") == []
