"""Asking a person, where there is one."""

import sys

import click

from seks_addon.errors import InputError
from seks_cli.output import say


def interactive() -> bool:
    """Tell whether somebody can answer on standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask_hidden(question: str) -> str:
    """Ask for something that isn't shown; an empty answer is an answer. Raises `InputError` where it isn't text."""
    try:
        answer = str(click.prompt(question, hide_input=True, default="", show_default=False, err=True))
        answer.encode()
    except UnicodeError:
        raise InputError("what was typed is not UTF-8 text", hint="set the terminal to UTF-8") from None
    return answer


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what can't be undone. Without a terminal it isn't asked, as with `rm`: a script knows what it does."""
    if yes or not interactive() or click.confirm(question, err=True):
        return
    say("Nothing was changed.")
    raise click.exceptions.Exit(1)
