"""What the commands print: data on standard output, all else on standard error."""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from seks_addon.errors import SeksError


def error(message: str, hint: str | None = None) -> None:
    """Say what went wrong and, where there is one, the way out."""
    _line("error", message, fg="red")
    if hint:
        _line("hint", hint, fg="cyan")


def note(message: str) -> None:
    """Say something that a careful person wants to know."""
    _line("note", message, fg="yellow")


def say(message: str) -> None:
    """Say what was done."""
    _tell(printable(message))


def watched() -> bool:
    """Tell whether somebody looks at standard error, which may be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


def data(text: str) -> None:
    """Print a line of data."""
    click.echo(text)


@contextlib.contextmanager
def once(done: str, way_out: str | None) -> Iterator[None]:
    """Print in the block what no command repeats by itself: where standard output can't be written, say what is done.

    Raises `SeksError` then.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield
    except OSError as error:
        raise SeksError(f"{done}, but standard output can't be written: {error.strerror}", hint=way_out) from None


def document(value: Any) -> None:
    """Print the one JSON document of a command with `--json`."""
    click.echo(json.dumps(value, indent=2))


def documents(values: Iterable[Any]) -> None:
    """Print a JSON list, an element a line, without holding all of it in memory."""
    separator = "["
    for value in values:
        click.echo(f"{separator}\n{json.dumps(value)}", nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


def json_line(value: Any) -> None:
    """Print one of many JSON documents, each on its line."""
    click.echo(json.dumps(value))


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print a table; say `empty` where there is nothing in it."""
    if not rows:
        say(empty)
        return
    from tabulate import tabulate

    cells = [[printable(str(cell)) if cell is not None else "-" for cell in row] for row in rows]
    click.echo(tabulate(cells, headers=headers, tablefmt="plain", disable_numparse=True))


def place(path: Path, *, as_json: bool) -> None:
    """Print where a file lies."""
    if as_json:
        document({"path": str(path)})
    else:
        data(str(path))


def fields(values: Mapping[str, Any]) -> None:
    """Print names and values, one pair a line; lists with commas, and nothing as a dash."""
    width = max(map(len, values)) + 1
    for name, value in values.items():
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        click.echo(f"{name + ':':<{width}} {'-' if value is None else printable(text) or '-'}")


def shortened(items: Sequence[str], shown: int = 2) -> str:
    """The first few of a list, and how many there are besides."""
    rest = len(items) - shown
    return ", ".join(items[:shown]) + (f" (+{rest})" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """A number with what it counts: `1 secret`, `2 secrets`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Escape what could control a terminal: names and paths in a log were chosen by others."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """As `printable`, and on one line."""
    return printable(text).replace("\n", "\\n")


def _line(kind: str, message: str, *, fg: str) -> None:
    coloured = watched() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    label = click.style(f"{kind}:", fg=fg, bold=True) if coloured else f"{kind}:"
    _tell(f"seks: {label} {printable(message)}")


def _tell(text: str) -> None:
    """Write to standard error. Where that can't be done the command goes on: what it did is done."""
    try:
        click.echo(text, err=True)
    except OSError:
        # The interpreter writes what is left in the buffer at its end: into nothing, and without an exit code for it.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stderr.fileno())
        os.close(nothing)
