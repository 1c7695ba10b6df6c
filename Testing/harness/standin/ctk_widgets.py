"""Doubles of CTK's widgets, with the properties and signals of CTK's own headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from .doubles import as_wide_as_there_is_room, stored
from .uiloader import register

Signal, Property, Qt = QtCore.Signal, QtCore.Property, QtCore.Qt


@register
class ctkSliderWidget(QtWidgets.QWidget):
    """A slider beside a spin box."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    tracking, setTracking = stored("tracking", bool, True)
    pageStep, setPageStep = stored("pageStep", float, 10.0)
    tickInterval, setTickInterval = stored("tickInterval", float, 0.0)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._spin = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self.setRange(0.0, 99.0)
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self._spun)

    def _fit(self) -> None:
        """Gives the slider the spin box's range and value, counted in steps."""
        spin, step = self._spin, self._spin.singleStep or 1.0
        self._slider.blockSignals(True)
        self._slider.setRange(0, round((spin.maximum - spin.minimum) / step))
        self._slider.setValue(round((spin.value - spin.minimum) / step))
        self._slider.blockSignals(False)

    def _slid(self, place: int) -> None:
        self._spin.setValue(self._spin.minimum + place * self._spin.singleStep)

    def _spun(self, value: float) -> None:
        self._fit()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:
        """Sets the value."""
        self._spin.setValue(value)

    def setMinimum(self, value: float) -> None:
        """Sets the lowest value."""
        self._spin.setMinimum(value)
        self._fit()

    def setMaximum(self, value: float) -> None:
        """Sets the highest value."""
        self._spin.setMaximum(value)
        self._fit()

    def setRange(self, minimum: float, maximum: float) -> None:
        """Sets the lowest and the highest value."""
        self._spin.setRange(minimum, maximum)
        self._fit()

    def setSingleStep(self, value: float) -> None:
        """Sets the step."""
        self._spin.setSingleStep(value)
        self._fit()

    def setDecimals(self, count: int) -> None:
        """Sets how many decimals are shown."""
        self._spin.setDecimals(count)
        self._fit()

    value = Property(float, lambda self: self._spin.value, setValue)
    minimum = Property(float, lambda self: self._spin.minimum, setMinimum)
    maximum = Property(float, lambda self: self._spin.maximum, setMaximum)
    singleStep = Property(float, lambda self: self._spin.singleStep, setSingleStep)
    decimals = Property(int, lambda self: self._spin.decimals, setDecimals)
    suffix = Property(
        str, lambda self: self._spin.suffix, lambda self, text: self._spin.setSuffix(text)
    )
    prefix = Property(
        str, lambda self: self._spin.prefix, lambda self, text: self._spin.setPrefix(text)
    )


@register
class ctkRangeWidget(QtWidgets.QWidget):
    """Two spin boxes for the ends of a range; CTK's slider between them is left out."""

    minimumValueChanged = Signal(float)
    minimumValueIsChanging = Signal(float)
    maximumValueChanged = Signal(float)
    maximumValueIsChanging = Signal(float)
    valuesChanged = Signal(float, float)
    rangeChanged = Signal(float, float)

    tracking, setTracking = stored("tracking", bool, True)
    symmetricMoves, setSymmetricMoves = stored("symmetricMoves", bool, False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._low, self._high = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        bar = QtWidgets.QProgressBar()
        bar.setTextVisible(False)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._low)
        layout.addWidget(bar, 1)
        layout.addWidget(self._high)
        self._low.valueChanged.connect(self._lowChanged)
        self._high.valueChanged.connect(self._highChanged)
        self.setRange(0.0, 99.0)
        self.setValues(33.0, 66.0)

    def _lowChanged(self, value: float) -> None:
        if value > self._high.value:
            self._high.setValue(value)
        self.minimumValueIsChanging.emit(value)
        self.minimumValueChanged.emit(value)
        self.valuesChanged.emit(value, self._high.value)

    def _highChanged(self, value: float) -> None:
        if value < self._low.value:
            self._low.setValue(value)
        self.maximumValueIsChanging.emit(value)
        self.maximumValueChanged.emit(value)
        self.valuesChanged.emit(self._low.value, value)

    def setRange(self, minimum: float, maximum: float) -> None:
        """Sets the lowest and the highest value."""
        for spin in (self._low, self._high):
            spin.setRange(minimum, maximum)
        self.rangeChanged.emit(minimum, maximum)

    def setMinimum(self, value: float) -> None:
        """Sets the lowest value."""
        self.setRange(value, max(value, self._high.maximum))

    def setMaximum(self, value: float) -> None:
        """Sets the highest value."""
        self.setRange(min(value, self._low.minimum), value)

    def setMinimumValue(self, value: float) -> None:
        """Sets the range's lower end."""
        self._low.setValue(value)

    def setMaximumValue(self, value: float) -> None:
        """Sets the range's upper end."""
        self._high.setValue(value)

    def setValues(self, low: float, high: float) -> None:
        """Sets both ends."""
        self._high.setValue(max(low, high))
        self._low.setValue(min(low, high))
        self._high.setValue(max(low, high))

    def setSingleStep(self, value: float) -> None:
        """Sets the step."""
        self._low.setSingleStep(value)
        self._high.setSingleStep(value)

    def setDecimals(self, count: int) -> None:
        """Sets how many decimals are shown."""
        self._low.setDecimals(count)
        self._high.setDecimals(count)

    minimum = Property(float, lambda self: self._low.minimum, setMinimum)
    maximum = Property(float, lambda self: self._high.maximum, setMaximum)
    minimumValue = Property(float, lambda self: self._low.value, setMinimumValue)
    maximumValue = Property(float, lambda self: self._high.value, setMaximumValue)
    singleStep = Property(float, lambda self: self._low.singleStep, setSingleStep)
    decimals = Property(int, lambda self: self._low.decimals, setDecimals)


@register
class ctkPathLineEdit(QtWidgets.QWidget):
    """A path, typed or chosen in a dialog."""

    Dirs, Files, Drives, NoSymLinks = 0x001, 0x002, 0x004, 0x008
    Readable, Writable, Executable, Hidden = 0x010, 0x020, 0x040, 0x100

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    label, setLabel = stored("label", str, "")
    filters, setFilters = stored("filters", int, 0x007)
    options, setOptions = stored("options", int, 0)
    settingKey, setSettingKey = stored("settingKey", str, "")
    nameFilters, setNameFilters = stored("nameFilters", "QStringList", [])
    showHistoryButton, setShowHistoryButton = stored("showHistoryButton", bool, True)
    showBrowseButton, setShowBrowseButton = stored("showBrowseButton", bool, True)
    sizeAdjustPolicy, setSizeAdjustPolicy = stored("sizeAdjustPolicy", int, 1)
    minimumContentsLength, setMinimumContentsLength = stored("minimumContentsLength", int, 0)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QComboBox()
        self._box.setEditable(True)
        as_wide_as_there_is_room(self, self._box)
        self._browse = QtWidgets.QToolButton()
        self._browse.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box, 1)
        layout.addWidget(self._browse)
        self._box.editTextChanged.connect(self.currentPathChanged)
        self._browse.clicked.connect(self.browse)

    def propertyChanged(self, name: str) -> None:
        """Shows or hides the button."""
        if name == "showBrowseButton":
            self._browse.setVisible(self.showBrowseButton)

    def setCurrentPath(self, path: str) -> None:
        """Sets the path."""
        self._box.setEditText(path)

    currentPath = Property(str, lambda self: self._box.currentText, setCurrentPath)

    def browse(self) -> None:
        """Asks the user for a path."""
        dialog = QtWidgets.QFileDialog
        folders = self.filters & self.Files == 0
        ask = dialog.getExistingDirectory if folders else dialog.getOpenFileName
        path = ask(self, self.label, str(Path(self.currentPath).parent))
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        """Keeps the path for another time; there is none here."""

    def comboBox(self) -> QtWidgets.QComboBox:
        """Where the path is typed."""
        return self._box


@register
class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for no choice."""

    defaultText, setDefaultText = stored("defaultText", str, "")


@register
class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A spin box for decimals."""


@register
class ctkPushButton(QtWidgets.QPushButton):
    """A push button."""


@register
class ctkMenuButton(QtWidgets.QPushButton):
    """A push button with a menu beside it."""


@register
class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be told not to come again."""

    dontShowAgainVisible, setDontShowAgainVisible = stored("dontShowAgainVisible", bool, False)
    dontShowAgainSettingsKey, setDontShowAgainSettingsKey = stored(
        "dontShowAgainSettingsKey", str, ""
    )
