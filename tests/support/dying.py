"""Runs `seks` and kills it at a chosen instant: `python -m tests.support.dying N FILE WORD...`.

The instants are before and after each call that makes something durable or visible to others: a file's flush, its new
name or its end, a statement that changes a database, a commit, a copy. With N = 0 it isn't killed, and FILE gets the
list of them, a line each; the first one has the number 1.
"""

import os
import runpy
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("fsync", "link", "rename", "replace", "unlink")
#: What changes nothing by itself.
READS = ("SELECT", "PRAGMA", "WITH")


class Instants:
    """Counts, and kills this process when it is time."""

    def __init__(self, fatal: int) -> None:
        self.seen: list[str] = []
        self._fatal = fatal

    def pass_by(self, what: str) -> None:
        self.seen.append(what)
        if len(self.seen) == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self.pass_by(f"before {what}")
        result = call(*args, **options)
        self.pass_by(f"after {what}")
        return result


def watch(instants: Instants) -> None:
    """Put the counting in place of the calls."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            word = sql.split(maxsplit=1)[0].upper()
            if word in READS and "checkpoint" not in sql:
                return super().execute(sql, *parameters)
            cursor: sqlite3.Cursor = instants.around(word, super().execute, sql, *parameters)
            return cursor

        def backup(self, *args: Any, **options: Any) -> None:
            instants.around("copy", super().backup, *args, **options)

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(os, name)
        return lambda *args, **options: instants.around(name, original, *args, **options)

    for name in CALLS:
        setattr(os, name, counted(name))
    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, **{"factory": Connection, **options})  # type: ignore[assignment]


if __name__ == "__main__":
    number, file, *words = sys.argv[1:]
    counter = Instants(int(number))
    watch(counter)
    sys.argv = ["seks", *words]
    try:
        runpy.run_module("seks_cli.main", run_name="__main__")
    finally:
        Path(file).write_text("\n".join(counter.seen))
