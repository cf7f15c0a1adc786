"""Locks between processes, on directories: the kernel lets go of one when its holder ends, however that was."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from seks_addon.errors import DatabaseBusyError, HomeError

#: How long a command waits for another process, in seconds.
COMMAND_TIMEOUT: Final = 10.0
#: How long between two looks at a lock that is taken, in seconds: about as long as a change takes.
_PAUSE: Final = 0.002


class _Held(threading.local):
    """The directories that this thread has locked, by device and inode."""

    def __init__(self) -> None:
        self.places: set[tuple[int, int]] = set()


_held = _Held()


@contextlib.contextmanager
def locked(folder: Path, timeout: float) -> Iterator[None]:
    """Keep other processes and threads out of the block; a thread that has the lock already goes on.

    Raises `DatabaseBusyError` where it isn't to be had within `timeout` seconds.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise HomeError(f"can't open {folder}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        place = (status.st_dev, status.st_ino)
        if place in _held.places:
            yield
            return
        _take(descriptor, folder, timeout)
        _held.places.add(place)
        try:
            yield
        finally:
            _held.places.discard(place)
            # A process that was forked meanwhile has the descriptor too: closing it wouldn't let go.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def busy(path: Path) -> DatabaseBusyError:
    """What to say where another process was waited for in vain."""
    return DatabaseBusyError(f"{path} is locked by another process", hint="end the other process, or try again")


def _take(descriptor: int, folder: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise busy(folder) from None
            time.sleep(_PAUSE)
        except OSError as error:
            raise HomeError(f"can't lock {folder}: {error.strerror}") from None
        else:
            return
