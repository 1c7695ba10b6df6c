"""The panel as a user sees it: it fits, nothing is cut off, the three clicks are in reach."""

from __future__ import annotations

import math

import pytest
import standin
from fake_backend import FakeBackend
from module_user import User
from PySide6 import QtCore, QtWidgets

PANEL_WIDTH = 400
SCROLL_BAR = 16
SMALL_SCREEN = 600
"""Height that is left for a module on a screen of 768 pixels."""

SECTIONS = ("editorSection", "displaySection", "computeSection", "exportSection")
LONGER = 0.3
"""German texts are that much longer than English ones."""


NEEDED = (
    "volumeSelector",
    "drawBoxButton",
    "segmentButton",
    "cancelButton",
    "progressPlace",
    "statusLabel",
    "segmentsTable",
    "segmentAllButton",
    "insideButton",
)


@pytest.fixture
def an_open_panel(a_user):
    for name in SECTIONS:
        getattr(a_user.ui, name).collapsed = False
    standin.pump(0.1)
    return a_user


def least_width(user) -> int:
    """The width below which something of the panel would be cut off."""
    root = user.panel.root
    root.layout().activate()
    for section in root.findChildren(QtWidgets.QAbstractButton):
        if section.layout() is not None:
            section.layout().activate()
    root.layout().invalidate()
    return root.layout().totalMinimumSize().width()


def bottom(widget, host) -> int:
    """Where a widget ends, in pixels from the top of the module's place."""
    return widget.mapTo(host, QtCore.QPoint(0, 0)).y() + widget.height


def test_the_panel_fits_its_place_with_every_section_open(an_open_panel):
    margins = an_open_panel.loaded.host.layout().contentsMargins
    around = margins.left() + margins.right() + SCROLL_BAR
    assert least_width(an_open_panel) + around <= PANEL_WIDTH


def test_longer_texts_of_other_languages_fit_too(an_open_panel):
    kinds = (QtWidgets.QAbstractButton, QtWidgets.QLabel)
    before = least_width(an_open_panel)
    for kind in kinds:
        for widget in an_open_panel.panel.root.findChildren(kind):
            if widget.text and not widget.objectName.startswith("slice"):
                widget.setText(widget.text + "n" * math.ceil(LONGER * len(widget.text)))
    assert before < least_width(an_open_panel) <= PANEL_WIDTH


def test_a_long_message_wraps(a_user):
    before = least_width(a_user)
    a_user.logic.message.emit("The server at https://segmentation.example:1527 is away. " * 4)
    standin.pump(0.2)
    assert a_user.ui.statusLabel.text.startswith("The server")
    assert least_width(a_user) == before


def test_the_three_clicks_need_no_scrolling(a_user):
    host = a_user.loaded.host
    a_user.slicer.app.mainWindow().modulePanel().takeWidget()
    host.resize(PANEL_WIDTH, SMALL_SCREEN)
    host.show()
    standin.pump(0.1)
    bottoms = {name: bottom(getattr(a_user.ui, name), host) for name in NEEDED}
    host.hide()
    assert max(bottoms.values()) <= SMALL_SCREEN, bottoms


def test_a_run_moves_nothing_in_the_panel(a_user):
    table = a_user.ui.segmentsTable
    before = table.pos
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.ui.progressBar.setVisible(True)
    standin.pump(0.1)
    assert table.pos == before


def test_the_buttons_have_their_pictures_in_the_checkout(a_user, repository):
    from MedSAM2SlicerLib.Icons import ICONS

    drawn = {path.stem for path in (repository / "Resources" / "Icons").glob("*.svg")}
    assert set(ICONS.values()) == drawn - {"MedSAM2Slicer"}
    assert all(not getattr(a_user.ui, f"{name}Button").icon.isNull() for name in ICONS)


def test_a_range_can_be_set_only_where_there_is_a_volume(a_slicer):
    user = User(a_slicer, FakeBackend)
    standin.pump(0.2)
    assert not user.ui.rangeFirst.enabled
    assert not user.ui.clearRangeButton.enabled


def test_the_title_of_compute_is_not_cut_off(a_user):
    title = a_user.ui.computeSection
    a_user.panel.settings.mode = "remote-server"
    a_user.panel.settings.serverUrl = "https://segmentation.radiology.hospital.example:1527"
    a_user.view.refresh()
    assert title.text.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert title.fontMetrics().horizontalAdvance(title.text) < PANEL_WIDTH - 40
    assert title.toolTip.endswith(":1527")


def test_the_line_below_compute_says_what_computes_and_not_what_was_planned(a_user):
    assert a_user.ui.computeLabel.text == "litemedsam on auto, this computer"
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.run()
    a_user.view.refresh()
    assert a_user.ui.computeLabel.text == a_user.ui.computeSection.toolTip
    assert " on auto" not in a_user.ui.computeLabel.text


def test_nothing_of_the_volume_before_stays_in_the_panel(a_user, a_volume):
    a_user.draw_box(12, (8, 10, 32, 38), (8, 16))
    a_user.view.refresh()
    assert a_user.ui.sliceLabel.text
    a_user.choose(a_volume("sagittal"))
    a_user.view.refresh()
    assert a_user.ui.sliceLabel.text == ""
    assert a_user.ui.segmentsTable.rowCount == 0


def test_the_title_of_compute_leaves_its_memory_to_the_tip(a_user, monkeypatch):
    from MedSAM2SlicerLib import Backends

    line = "litemedsam on cpu, this computer"
    whole = f"{line}, 42 MB of features"
    monkeypatch.setattr(Backends, "describePlace", lambda *_: line)
    monkeypatch.setattr(Backends, "describeMemory", lambda _: whole.removeprefix(line))
    a_user.view.refresh()
    assert a_user.ui.computeSection.text == f"Compute: {line}"
    assert a_user.ui.computeSection.toolTip == whole
