"""Copies of a vault: one file, as safe to lose as the vault itself, and the way back."""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from seks_addon.database import open_database, translated
from seks_addon.errors import DatabaseError, ExistsError, HomeError, SeksError, VaultError
from seks_addon.home import PRIVATE_FILE, TEMPORARY, Home, sync
from seks_addon.vault import epoch, keysource
from seks_addon.vault.check import check
from seks_addon.vault.keysource import Ask, KeySource
from seks_addon.vault.rotation import Progress
from seks_addon.vault.schema import migrations
from seks_addon.vault.store import Vault

_PAGES: Final = 256


def backup(vault: Vault, target: Path, progress: Progress) -> None:
    """Write a copy of the vault as it is at one moment to `target`, which must not exist, while others work with it."""
    if target.exists():
        raise ExistsError(f"{target} exists already", hint="name a new file")
    with _temporary(target.parent) as copy, _named(copy, target):
        with translated(copy), contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            vault.connection.backup(connection, pages=_PAGES, progress=_shown(progress))
            # One file, without a log beside it.
            connection.execute("PRAGMA journal_mode=DELETE")
        sync(copy)
        try:
            os.link(copy, target)
        except OSError as error:
            raise HomeError(f"can't write {target}: {error.strerror}") from None
    sync(target.parent)


def restore(home: Home, source: Path, *, ask: Ask | None, accept_older: bool, progress: Progress) -> int:
    """Put the vault back as it was when `source` was made; gives its new epoch.

    The copy is checked whole first. It takes the vault's place in one step; a running proxy sees it from the next
    request on. Raises `SeksError`, for one that is older than this home has seen the vault too, unless it is accepted.
    """
    if not source.is_file():
        raise HomeError(f"there is no file {source}")
    with home.exclusive(), _temporary(home.root) as copy, _named(copy, source):
        _copy_in(source, copy)
        with Vault.open(home, ask=ask, accept_older=accept_older, path=copy) as restored:
            if epoch.known(home)[0] not in {None, restored.id}:
                raise VaultError(f"{source} is a copy of another vault", hint="name its own home with --home")
            problems = check(restored, lambda *_: None)
            if problems:
                raise DatabaseError(f"{source} is damaged: {problems[0]}", hint="take another backup")
            # It begins a new epoch, above all that this home has seen: nothing of before can be put back unnoticed.
            with restored.change(remember=False):
                pass
            number = restored.epoch
            with translated(home.vault):
                try:
                    _copy_over(restored, home.vault, progress)
                except sqlite3.OperationalError:
                    raise
                except sqlite3.DatabaseError:
                    # What is there is no database any more; its log must not be taken for that of the new one.
                    home.vault.replace(home.damaged_vault)
                    for suffix in ("-wal", "-shm"):
                        home.vault.with_name(home.vault.name + suffix).unlink(missing_ok=True)
                    _copy_over(restored, home.vault, progress)
            epoch.remember(restored, number)
    return number


def rebuild(
    home: Home, source: Path, choose: Callable[[str], KeySource], *, ask: Ask | None, progress: Progress
) -> KeySource:
    """Put the vault of a backup into `home`, which has none; gives its key source, that `choose` is asked for by kind.

    Raises `SeksError`; what is in `home` then is of no use. The copy is checked whole.
    """
    if not source.is_file():
        raise HomeError(f"there is no file {source}")
    with _named(home.vault, source):
        home.vault.touch(PRIVATE_FILE)
        _copy_in(source, home.vault)
        key_source = choose(_kind(home.vault))
        keysource.remember(home, key_source)
        with Vault.open(home, ask=ask) as vault:
            problems = check(vault, progress)
            if problems:
                raise DatabaseError(f"{source} is damaged: {problems[0]}", hint="take another backup")
            # It begins a new epoch: nothing of before can be put back unnoticed.
            with vault.change():
                pass
    return key_source


def _copy_in(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HomeError(f"can't write to {target.parent}: {error.strerror}", hint="free some space") from None
        raise HomeError(f"can't read {source}: {error.strerror}") from None


def _kind(path: Path) -> str:
    """The kind of key source that a vault names; whether it is the truth, opening the vault shows."""
    with translated(path), contextlib.closing(open_database(path, migrations)) as db:
        row = db.conn.execute("SELECT value FROM meta WHERE key = 'source'").fetchone()
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return str(json.loads(row[0])["kind"])
    raise DatabaseError(f"{path} is no vault, or a damaged one", hint="take another backup")


@contextlib.contextmanager
def _named(copy: Path, source: Path) -> Iterator[None]:
    """Let errors speak of the file that somebody named, not of the copy that is looked at."""
    try:
        yield
    except SeksError as error:
        raise type(error)(error.message.replace(str(copy), str(source)), hint=error.hint) from None


def _copy_over(vault: Vault, target: Path, progress: Progress) -> None:
    target.touch(PRIVATE_FILE)
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        vault.connection.backup(connection, pages=-1, progress=_shown(progress))


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """An empty private file that is gone afterwards, with what SQLite puts beside it."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    except OSError as error:
        raise HomeError(f"can't write to {folder}: {error.strerror}") from None
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _shown(progress: Progress):  # type: ignore[no-untyped-def]
    def shown(_status: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    return shown
