"""What a user sees when something goes wrong: one line on stderr and an exit code.

0 done, 2 the input can be mended, 130 cancelled, 1 anything else. ``--debug`` shows the traceback.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from medsam2.core.errors import MedSAM2Error

CANCELLED = 130
_DEBUG = "--debug"

debug_option = click.option(
    _DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error, and warnings."
)


def examples(*lines: str) -> str:
    """Makes the end of a help text: lines that are shown as they are."""
    # click keeps the line breaks of a paragraph that begins with a backspace.
    return "\n".join(("\b", *lines))


class OneLineErrors(click.Group):
    """A group whose commands end in one line and an exit code, whatever happens."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Runs a command and leaves the process; takes what :meth:`click.Command.main` takes."""
        given = args[0] if args else extra.get("args")
        debug = _DEBUG in (sys.argv[1:] if given is None else given)
        extra["standalone_mode"] = False
        try:
            with _quiet_libraries(quiet=not debug):
                code = super().main(*args, **extra)
                sys.stdout.flush()
        except BrokenPipeError:
            _drop_stdout()
            sys.exit(1)
        except Exception as error:  # noqa: BLE001 (the last resort that keeps tracebacks away)
            sys.exit(_report(error, debug=debug))
        sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception, *, debug: bool) -> int:
    """Prints an error and returns the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if debug:
        traceback.print_exception(error)
    message, code = _explained(error)
    click.echo(message, err=True)
    return code


def _explained(error: Exception) -> tuple[str, int]:
    match error:
        case MedSAM2Error():
            return f"Error: {error}", error.exit_code
        case click.Abort():
            return "Error: Cancelled; nothing was written.", CANCELLED
        case click.ClickException():
            return f"Error: {_one_line(error)}", error.exit_code
        case ModuleNotFoundError(name=str(name)):
            hint = "install it with: pip install 'medsam2-slicer[cli]'"
            return f"Error: The Python package {name} is missing; {hint}", 1
        case _:
            kind = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            return f"Unexpected error ({kind}); run again with {_DEBUG} to see where.", 1


def _one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return text if context is None else f"{text} See: {context.command_path} --help"


def _drop_stdout() -> None:
    """Keeps the interpreter from failing again when it flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _quiet_libraries(*, quiet: bool) -> Iterator[None]:
    """Keeps warnings and logs of other people's libraries off the terminal."""
    if not quiet:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
