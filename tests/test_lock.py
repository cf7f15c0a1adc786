"""Locks between processes and threads."""

import contextlib
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from seks_addon.errors import DatabaseBusyError, HomeError
from seks_addon.lock import locked


def is_free(folder: Path) -> bool:
    """Tell whether another thread could have it."""
    found = []

    def attempt() -> None:
        with contextlib.suppress(DatabaseBusyError), locked(folder, 0):
            found.append(folder)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(found)


def hold(folder: Path, pipe: Connection) -> None:
    with locked(folder, 10):
        pipe.send("locked")
        pipe.recv()


def test_one_at_a_time(tmp_path: Path) -> None:
    """Another thread is kept out until the block ends; the same one isn't, and lets go once, at the end of all."""
    with locked(tmp_path, 0):
        with locked(tmp_path, 0):
            assert not is_free(tmp_path)
        assert not is_free(tmp_path)

    assert is_free(tmp_path)


def test_a_block_that_fails(tmp_path: Path) -> None:
    """The lock goes with it."""
    with pytest.raises(ValueError, match="half way"), locked(tmp_path, 0):
        raise ValueError("half way")

    assert is_free(tmp_path)


def test_another_process(tmp_path: Path) -> None:
    """It is kept out too, told so in time, and a holder that is killed lets go."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == "locked"

    with pytest.raises(DatabaseBusyError, match="locked by another process"), locked(tmp_path, 0.05):
        pass

    process.kill()
    process.join(60)
    with locked(tmp_path, 0):
        pass


def test_a_child_does_not_keep_it(tmp_path: Path) -> None:
    """One that was forked meanwhile, and lives longer, is in nobody's way."""
    waits, ends = os.pipe()
    with locked(tmp_path, 0):
        child = os.fork()
        if child == 0:
            os.close(ends)
            os.read(waits, 1)
            os._exit(0)

    assert is_free(tmp_path)
    os.close(waits)
    os.close(ends)
    os.waitpid(child, 0)


@pytest.mark.parametrize("there", ["nothing", "file"])
def test_what_is_no_folder(tmp_path: Path, there: str) -> None:
    path = tmp_path / "place"
    if there == "file":
        path.touch()

    with pytest.raises(HomeError, match="can't open"), locked(path, 0):
        pass
