"""A progress bar for what takes more than a second, where somebody looks."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from seks_cli import output

#: Before that, in seconds, nothing is shown.
_PATIENCE: Final = 1.0


@contextmanager
def shown(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that is told how many of how many are done."""
    began = time.monotonic()
    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if bar is None and output.watched() and time.monotonic() - began > _PATIENCE:
            bar = click.progressbar(length=total, label=label, file=sys.stderr)
            bar.__enter__()
        if bar is not None:
            bar.update(done - bar.pos)

    try:
        yield update
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)
