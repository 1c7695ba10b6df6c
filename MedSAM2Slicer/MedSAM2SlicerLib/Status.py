"""What happened last, in one line; what is wrong goes there too, not into a popup."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any


class Status:
    """Holds the line until something else is to be said.

    Args:
        onChanged: called when it is another one.

    Threading: main thread only.
    """

    def __init__(self, onChanged: Callable[[], None]) -> None:
        self._onChanged = onChanged
        self.text, self.isError = "", False

    def say(self, text: str, isError: bool = False) -> None:
        """Shows a text."""
        self.text, self.isError = text, isError
        self._onChanged()

    def fail(self, error: BaseException) -> None:
        """Shows an error; one that is no fault of the user's goes to Slicer's log as well."""
        from medsam2.core.errors import MedSAM2Error

        text = str(error)
        if not isinstance(error, MedSAM2Error):
            logging.getLogger("MedSAM2Slicer").error("unexpected", exc_info=error)
            text = (
                f"Something went wrong inside ({type(error).__name__}: {text}); see Slicer's log."
            )
        self.say(text, isError=True)

    def attempt(self, action: Callable[..., Any], *args: Any) -> Any:
        """Does what a button asks for; None where it fails."""
        from medsam2.core.errors import MedSAM2Error

        self.say("")
        try:
            return action(*args)
        except MedSAM2Error as error:
            self.fail(error)
            return None
