"""What a user sees when something goes wrong."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from medsam2.cli.failures import OneLineErrors, debug_option
from medsam2.core.errors import CancelledError, DeviceError, OutOfMemoryError, PromptError


def a_command(action: Callable[[], None]) -> click.Command:
    @click.group(cls=OneLineErrors)
    def group() -> None:
        """A group."""

    @group.command()
    @click.option("--number", type=int)
    @debug_option
    def act(number: int | None) -> None:
        action()

    return group


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (PromptError("The box is off; move it."), 2, "Error: The box is off; move it."),
        (DeviceError("No such device."), 2, "Error: No such device."),
        (OutOfMemoryError("No memory."), 1, "Error: No memory."),
        (CancelledError("Cancelled."), 130, "Error: Cancelled."),
        (KeyboardInterrupt(), 130, "Error: Cancelled; nothing was written."),
        (ModuleNotFoundError("No module", name="torch"), 1, "package torch is missing"),
        (ZeroDivisionError("by\nzero"), 1, "Unexpected error (ZeroDivisionError: by zero)"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error: BaseException, code: int, says: str) -> None:
    result = CliRunner().invoke(a_command(raising(error)), ["act"])
    assert result.exit_code == code
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_debug_shows_the_traceback_and_keeps_the_exit_code() -> None:
    result = CliRunner().invoke(a_command(raising(PromptError("No."))), ["act", "--debug"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.rstrip().endswith("Error: No.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["act", "--number", "x"], "'x' is not a valid integer"),
        (["act", "--wrong"], "--wrong"),
        (["other"], "other"),
    ],
)
def test_a_wrong_call_is_one_line_too(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(a_command(lambda: None), arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_success_is_silent() -> None:
    result = CliRunner().invoke(a_command(lambda: None), ["act"])
    assert (result.exit_code, result.stderr) == (0, "")


def test_other_peoples_warnings_stay_off_the_terminal() -> None:
    def noisy() -> None:
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        logging.getLogger("some.library").warning("noise")

    result = CliRunner().invoke(a_command(noisy), ["act"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert logging.root.manager.disable == 0


def test_a_closed_pipe_is_no_failure_to_talk_about() -> None:
    result = CliRunner().invoke(a_command(raising(BrokenPipeError())), ["act"])
    assert result.exit_code == 1
    assert result.stderr == ""
