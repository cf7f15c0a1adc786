"""Which run of the proxy owes an outcome, and whether it still lives: a locked file a run."""

import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from seks_addon.errors import HomeError
from seks_addon.home import PRIVATE_FILE
from seks_addon.tokens import new_id

_NAME: Final = re.compile(r"run_[0-9A-Za-z]{12}")


class Run:
    """The run of one process. The kernel drops the lock when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.id = new_id("run")
        self._path = folder / f"{self.id}.lock"
        try:
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_FILE)
        except OSError as error:
            raise HomeError(f"can't write {self._path}: {error.strerror}") from None
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def dead_runs(folder: Path, runs: Iterable[str]) -> list[str]:
    """Give those of `runs` whose process has ended, and remove what they left."""
    # A run that isn't called as one never was; its name is no part of a path.
    return [run for run in runs if not _NAME.fullmatch(run) or _is_dead(folder / f"{run}.lock")]


def _is_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
