"""The table of segments: what it shows, and what is chosen and typed in it."""

from __future__ import annotations

import numpy as np
import pytest
import standin
from PySide6 import QtCore, QtTest, QtWidgets


@pytest.fixture
def a_user(a_user_with_a_mask):
    return a_user_with_a_mask


def texts(user, row=0):
    table = user.ui.segmentsTable
    return [table.item(row, column).text() for column in range(table.columnCount)]


def type_name(user, text):
    """Opens the name's cell and types, without finishing."""
    table = user.ui.segmentsTable
    table.editItem(table.item(0, 0))
    (line,) = table.findChildren(QtWidgets.QLineEdit)
    line.setText(text)
    return line


def test_a_row_tells_volume_and_longest_diameter_as_numpy_finds_them(a_user):
    masks = np.array([a_user.masks()[n] for n in range(a_user.workspace.sliceCount)])
    i, j, k = a_user.workspace.spacing_ijk
    millilitres = masks.sum() * i * j * k / 1000
    longest = 0.0
    for mask_rc in masks:
        places_mm = np.argwhere(mask_rc) * (j, i)
        for place_mm in places_mm:
            longest = max(longest, np.linalg.norm(places_mm - place_mm, axis=1).max())
    a_user.view.refresh()
    _, prompts, ml, mm = texts(a_user)
    assert prompts == "box"
    assert float(ml) == pytest.approx(millilitres, abs=0.05 + 0.005 * millilitres)
    assert float(mm) == pytest.approx(longest + (i + j) / 2, abs=0.1)


def test_the_colour_of_the_chosen_segment_is_shown_as_it_is(a_user):
    a_user.workspace.segmentation.segment(a_user.segment_id).SetColor(1.0, 0.5, 0.0)
    a_user.view.refresh()
    table = a_user.ui.segmentsTable
    place = table.visualItemRect(table.item(0, 0))
    seen = table.viewport().grab(place).toImage()
    colours = {seen.pixelColor(x, seen.height() // 2).getRgb()[:3] for x in range(seen.width())}
    assert (255, 128, 0) in colours


@pytest.mark.parametrize(
    ("side", "figures"), [(0, ["0", "0"]), (2, ["0.005", "1.9"]), (8, ["0.082", "8.7"])]
)
def test_small_lesions_have_figures_too(a_user, side, figures):
    a_user.press("addSegment")
    mask_rc = np.zeros(a_user.workspace.shape_rc, dtype=bool)
    mask_rc[5 : 5 + side, 5 : 5 + side] = True
    a_user.paint(3, mask_rc)
    a_user.view.refresh()
    assert texts(a_user, 1)[2:] == figures


def test_a_name_is_typed_to_its_end_while_the_figures_change(a_user):
    line = type_name(a_user, "Lesion")
    a_user.logic.useSlice(3)
    a_user.paint(20, a_user.masks()[12])
    a_user.view.refresh()
    assert texts(a_user)[0] != "Lesion"
    assert a_user.ui.segmentsTable.findChildren(QtWidgets.QLineEdit) == [line]
    QtTest.QTest.keyClicks(line, " in segment 4")
    QtTest.QTest.keyClick(line, QtCore.Qt.Key.Key_Return)
    standin.pump(0.7)
    assert a_user.workspace.nameOf(a_user.segment_id) == "Lesion in segment 4"
    assert texts(a_user)[0] == "Lesion in segment 4"


def test_a_click_on_a_row_makes_its_segment_the_current_one(a_user):
    first = a_user.segment_id
    second = a_user.logic.addSegment("second")
    a_user.view.refresh()
    a_user.ui.segmentsTable.selectRow(0)
    assert a_user.segment_id == first
    a_user.ui.segmentsTable.selectRow(1)
    assert a_user.segment_id == second
