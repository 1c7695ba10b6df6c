"""Modal boxes: nobody is there to click, so each is noted and answered from a queue."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from PySide6 import QtGui, QtWidgets

Buttons = QtWidgets.QMessageBox.StandardButton
REFUSALS = (Buttons.Cancel, Buttons.No, Buttons.Abort, Buttons.Close)


class Message(NamedTuple):
    """A modal box that would have been shown."""

    title: str
    text: str
    detail: str = ""


class Unanswered(AssertionError):
    """A box asked something and the test had put no answer into the queue."""


class Dialogs:
    """Replaces what would wait for a user.

    A box with one button is noted and closed. One that asks takes the next answer of the queue: a
    button, a path, a text, whatever the box gives back. Without an answer it is refused, and that is
    noted as an error.

    Args:
        errors: takes an :class:`Unanswered` for every question without an answer.
    """

    def __init__(self, errors: list[BaseException]) -> None:
        self.messages: list[Message] = []
        self.answers: deque[Any] = deque()
        self._errors = errors

    def install(self) -> None:
        """Takes over Qt's message boxes, file dialogs, input dialogs and other modal dialogs."""
        box = QtWidgets.QMessageBox
        box.exec = box.exec_ = _on_instance(self._box)
        QtWidgets.QDialog.exec = QtWidgets.QDialog.exec_ = _on_instance(self._dialog)
        for name in ("information", "warning", "critical", "question", "about"):
            setattr(box, name, staticmethod(self._static_box))
        for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
            setattr(QtWidgets.QFileDialog, name, staticmethod(self._asking("")))
        for name in ("getText", "getItem", "getInt", "getDouble"):
            setattr(QtWidgets.QInputDialog, name, staticmethod(self._asking("")))
        QtGui.QDesktopServices.openUrl = staticmethod(self._open)

    def _open(self, url: Any) -> bool:
        """A page in the user's browser, or a folder."""
        self.messages.append(Message("opened", url.toString()))
        return True

    def clear(self) -> None:
        """Forgets all messages and answers."""
        self.messages.clear()
        self.answers.clear()

    def _box(self, box: Any) -> Any:
        title, text = box.windowTitle.strip(), box.text
        self.messages.append(Message(title, text, box.detailedText))
        return self._choice(box.standardButtons)

    def _static_box(self, *arguments: Any) -> Any:
        _parent, title, text, *rest = arguments
        self.messages.append(Message(title, text))
        return self._choice(rest[0] if rest else Buttons.Ok)

    def _choice(self, buttons: Any) -> Any:
        offered = [button for button in Buttons if button.value and buttons & button == button]
        if self.answers:
            return self.answers.popleft()
        if len(offered) <= 1:
            return offered[0] if offered else Buttons.Ok
        self._note()
        return next((button for button in REFUSALS if button in offered), offered[-1])

    def _dialog(self, dialog: Any) -> Any:
        self.messages.append(Message(dialog.windowTitle, ""))
        return self._answer(0)

    def _asking(self, refusal: Any) -> Any:
        def ask(*arguments: Any, **_options: Any) -> Any:
            texts = [text for text in arguments if isinstance(text, str)]
            self.messages.append(Message(texts[0] if texts else "", " ".join(texts[1:])))
            return self._answer(refusal)

        return ask

    def _answer(self, refusal: Any) -> Any:
        if self.answers:
            return self.answers.popleft()
        self._note()
        return refusal

    def _note(self) -> None:
        message = self.messages[-1]
        self._errors.append(Unanswered(f"{message.title}: {message.text}"))


def _on_instance(method: Any) -> Any:
    """A function for a class, which hands over the object on which it is called."""

    def call(shown: Any) -> Any:
        return method(shown)

    return call
