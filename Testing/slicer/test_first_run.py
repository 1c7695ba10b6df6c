"""A first run on a computer where nothing is installed: one button, the size, and on it goes."""

from __future__ import annotations

import sys

import pytest
import standin
from compute_rooms import Backends, Installer
from fake_backend import FakeBackend
from module_user import User


class Pip:
    """Stands for pip: installs when it is told that it is done."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.busy = False

    def __call__(self, module, arguments, onLine, onDone):
        self.asked.append((module, *arguments))
        self.busy, self._line, self._done = True, onLine, onDone

    def say(self, line):
        self._line(line)

    def end(self, code=0):
        self.busy = False
        self._done(code)

    def poll(self):
        pass


@pytest.fixture
def missing(monkeypatch):
    held = [Installer.Requirement("torch", ">=2.6")]
    monkeypatch.setattr(Installer, "missing", lambda _mode: list(held))
    monkeypatch.setattr(Backends, "missingRequirements", lambda _settings: list(held))
    return held


@pytest.fixture
def a_user(a_slicer, a_volume, missing):
    user = User(a_slicer, FakeBackend)
    user.pip = Pip()
    user.panel.compute._runner = user.pip
    user.panel.compute._installer = Installer.Installer(user.pip, user.panel.settings)
    user.choose(a_volume("axial"))
    return user


def test_the_main_button_sets_up_what_is_missing_and_says_how_much_first(a_user, missing, a_slicer):
    assert a_user.ui.segmentButton.text == "Set up..."
    assert "torch" in a_user.ui.statusLabel.text
    a_slicer.answers.append(sys.modules["qt"].QMessageBox.Ok)
    a_user.press("segment")
    assert "740 MB" in a_slicer.messages[-1].text
    assert a_user.pip.asked
    a_user.pip.say("Collecting torch")
    standin.pump(0.2)
    assert "Collecting torch" in a_user.ui.statusLabel.text
    missing.clear()
    while a_user.pip.busy:
        a_user.pip.end()
    a_user.settle()
    assert a_user.ui.segmentButton.text == "Segment"


def test_a_user_who_says_no_has_nothing_installed(a_user, a_slicer):
    a_slicer.answers.append(sys.modules["qt"].QMessageBox.Cancel)
    a_user.press("segment")
    assert a_user.pip.asked == []


def test_the_path_of_a_ca_file_can_be_typed(a_user, tmp_path):
    file = tmp_path / "own.pem"
    file.write_text("")
    line = a_user.ui.caFile.comboBox().lineEdit()
    for letter in str(file):
        line.insert(letter)
    assert a_user.panel.settings.caFile == str(file)
    line.backspace()
    assert a_user.ui.caFile.currentPath == str(file)[:-1]
    assert a_user.ui.computeLabel.text == f"There is no file {str(file)[:-1]}."
    assert a_user.panel.settings.caFile == str(file)
    line.clear()
    assert a_user.panel.settings.caFile == ""


def test_why_a_set_up_failed_stays_in_sight_until_the_next_one(a_user, a_slicer):
    ok = sys.modules["qt"].QMessageBox.Ok
    a_slicer.answers.append(ok)
    a_user.press("segment")
    a_user.pip.say("ERROR: No space left on device")
    a_user.pip.end(1)
    a_user.settle()
    standin.pump(0.7)
    for label in (a_user.ui.statusLabel, a_user.ui.computeLabel):
        assert "No space left on device" in label.text
    a_slicer.answers.append(ok)
    a_user.press("segment")
    a_user.pip.say("Collecting torch")
    standin.pump(0.2)
    assert "Collecting torch" in a_user.ui.statusLabel.text


def test_that_slicer_must_be_restarted_stays_in_sight(a_user, a_slicer, missing, monkeypatch):
    monkeypatch.setattr(Installer, "restartNeeded", lambda: True)
    a_slicer.answers.append(sys.modules["qt"].QMessageBox.Ok)
    a_user.press("segment")
    missing.clear()
    while a_user.pip.busy:
        a_user.pip.end()
    a_user.settle()
    standin.pump(0.7)
    for label in (a_user.ui.statusLabel, a_user.ui.computeLabel):
        assert "Restart Slicer" in label.text


def test_what_can_not_be_set_up_here_is_said_without_asking(a_user, a_slicer, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Installer.platform, "machine", lambda: "x86_64")
    a_user.press("segment")
    standin.pump(0.7)
    assert "choose a remote server" in a_user.ui.statusLabel.text
    assert not a_slicer.messages
    assert not a_user.pip.asked


@pytest.mark.parametrize(
    ("mode", "ends"), [("this-computer", 1), ("remote-server", 1), ("bundled-server", 0)]
)
def test_the_bundled_server_ends_once_another_place_is_used(a_slicer, monkeypatch, mode, ends):
    panel, stopped = User(a_slicer).panel, []
    monkeypatch.setattr(Backends, "openBackend", lambda *_: "a backend")
    monkeypatch.setattr(panel.server, "stop", lambda: stopped.append(True))
    panel.settings.mode = mode
    panel._onSettings()
    assert panel._openBackend() == "a backend"
    assert len(stopped) == ends
