"""The one place where what went wrong becomes a message and an exit code."""

import os
import sqlite3
import sys
import traceback
from typing import Final, NoReturn

import click

from seks_addon.errors import SeksError, UsageError
from seks_cli import output

FAILED: Final = 1
WRONG_USAGE: Final = 2
#: The command ran and found a problem.
FOUND: Final = 3
#: As a shell reports a program that SIGINT ended.
INTERRUPTED: Final = 130


class CommandError(SeksError):
    """The command that was to be started can't be; `exit_code` is the one that shells give."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def run(command: click.Command, name: str) -> NoReturn:
    """Run a program's command line, and exit."""
    try:
        code = command.main(prog_name=name, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = FAILED
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - nobody is above; a traceback could quote anything
        code = _report(error)
    _let_output_go()
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            output.say(error.format_message())
            return WRONG_USAGE
        case click.ClickException():
            usage = isinstance(error, click.UsageError) and error.ctx
            message = error.format_message()
            if isinstance(error, click.MissingParameter):
                # The choices, a line each.
                message = " ".join(message.split())
            output.error(message, f"see `{usage.command_path} --help`" if usage else None)
            return error.exit_code
        case SeksError():
            output.error(error.message, error.hint)
            return _exit_code(error)
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            output.error(f"{error.strerror or type(error).__name__}{where}")
        case sqlite3.Error():
            output.error(f"the database refused: {type(error).__name__}", "check the disk, or restore from a backup")
        case _:
            # The type and the place, never the message: it may quote what it was about.
            place = traceback.extract_tb(error.__traceback__)[-1]
            output.error(
                f"internal error: {type(error).__name__} in {place.name} ({place.filename}:{place.lineno})",
                "this is a bug in SEKS; please report it with this line",
            )
    return FAILED


def _exit_code(error: SeksError) -> int:
    match error:
        case UsageError():
            return WRONG_USAGE
        case CommandError():
            return error.exit_code
        case _:
            return FAILED


def _let_output_go() -> None:
    """Throw away what can't be written: the interpreter would try once more, and end with a code of its own."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
