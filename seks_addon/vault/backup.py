"""Copies of a vault: one file, as safe to lose as the vault itself, and the way back."""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from seks_addon.database import open_database, translated
from seks_addon.errors import DatabaseError, ExistsError, HomeError, MasterKeyError, SeksError, VaultError
from seks_addon.home import BESIDE, PRIVATE_FILE, TEMPORARY, Home, beside, give_name, move_over, sync
from seks_addon.lock import COMMAND_TIMEOUT, busy
from seks_addon.vault import epoch, keysource
from seks_addon.vault.check import check
from seks_addon.vault.keysource import Ask, Command, KeyFile, KeySource
from seks_addon.vault.rotation import Progress
from seks_addon.vault.schema import migrations
from seks_addon.vault.store import Vault

_PAGES: Final = 256
#: How long between two attempts at a database that is locked, in seconds.
_PAUSE: Final = 0.01

_NAME_KEY: Final = "name the key that the backup was made under with --key-file, or --key-command"


def backup(vault: Vault, target: Path, progress: Progress) -> None:
    """Write a copy of the vault as it is at one moment to `target`, which must not exist, while others work with it."""
    vault.home.require_foreign(target)
    if target.exists():
        raise ExistsError(f"{target} exists already", hint="name a new file")
    with _temporary(target.parent) as copy, _named(copy, target):
        _write_copy(vault, copy, progress, COMMAND_TIMEOUT)
        try:
            give_name(copy, target)
        except OSError as error:
            raise HomeError(f"can't write {target}: {error.strerror}") from None
    sync(target.parent)


def restore(
    home: Home,
    source: Path,
    *,
    ask: Ask | None,
    accept_older: bool,
    progress: Progress,
    timeout: float = COMMAND_TIMEOUT,
    choose: Callable[[str], KeySource] | None = None,
) -> int:
    """Put the vault back as it was when `source` was made; gives its new epoch.

    The copy is checked whole first. It takes the vault's place in one step; a running proxy sees it from the next
    request on. Raises `SeksError`, for one that is older than this home has seen the vault too, unless it is accepted.
    `timeout`: how long to wait for another process, in seconds. `choose` gives, by its kind, the source that has the
    copy's key, where that isn't the vault's of now.
    """
    if not source.is_file():
        raise HomeError(f"there is no file {source}")
    with home.exclusive(timeout), _temporary(home.root) as copy, _named(copy, source):
        _copy_in(source, copy)
        key_source = choose(_kind(copy)) if choose else None
        with _open_copy(home, copy, key_source, ask, accept_older=accept_older) as restored:
            problems = check(restored, lambda *_: None)
            if problems:
                raise DatabaseError(f"{source} is damaged: {problems[0]}", hint="take another backup")
            # What was committed up to here is seen, and nothing is committed until the copy is in place.
            with home.changing(timeout):
                _see_last(restored)
                epoch.check(restored, accept_older=accept_older)
                # A new epoch, above all that this home has seen: nothing of before can be put back unnoticed.
                with restored.change(remember=False):
                    pass
                number = restored.epoch
                epoch.prepare(restored, number)
                try:
                    with _staged(home, key_source):
                        _take_place(restored, progress, timeout)
                except BaseException:
                    epoch.forget(restored)
                    raise
                epoch.settle(restored)
    return number


def _open_copy(home: Home, copy: Path, key_source: KeySource | None, ask: Ask | None, *, accept_older: bool) -> Vault:
    """Open a copy with the key from `key_source`, by default with that of the home."""
    key = key_source.load("") if key_source else None
    try:
        vault = Vault.open(home, ask=ask, key=key, accept_older=accept_older, path=copy)
    except MasterKeyError as error:
        if _kind(copy) in {KeyFile.kind, Command.kind}:
            raise MasterKeyError(error.message, hint=_NAME_KEY) from None
        raise
    if key and vault.master_key != key:
        vault.close()
        raise MasterKeyError("the key that is named is not the backup's", hint=_NAME_KEY)
    return vault


@contextlib.contextmanager
def _staged(home: Home, key_source: KeySource | None) -> Iterator[None]:
    """Let the block put a vault in place whose key is elsewhere: at any instant, the key that is wanted is found."""
    if key_source is None:
        yield
        return
    _bring_to_its_end(home)
    keysource.remember(home, key_source, staged=True)
    try:
        yield
    except BaseException:
        _bring_to_its_end(home)
        keysource.forget_staged(home)
        raise
    keysource.settle(home, key_source)


def _bring_to_its_end(home: Home) -> None:
    """Settle what is staged where it is the only word on the key of the vault that is there: opening that does it."""
    with contextlib.suppress(SeksError), Vault.open(home):
        pass


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


def _see_last(restored: Vault) -> None:
    """Take notice of the vault that is to go: a crash may have come before its last epoch was written down.

    Its word is taken unauthenticated, as its keys may be lost. One that somebody made up makes the home stricter.
    """
    home = restored.home
    if not (last := _claims(home.vault)):
        return
    vault_id, number = last
    if vault_id == restored.id:
        epoch.remember(restored, number)
    elif epoch.known(home)[0] is None:
        raise VaultError(
            f"{restored.path} is another vault than {home.vault}",
            hint="name its own home with --home; if it is to be the one here, move that file away",
        )


def _claims(path: Path) -> tuple[str, int] | None:
    """The id and the epoch that a database gives itself; None where it can't be read."""
    try:
        with contextlib.closing(_connect(path, COMMAND_TIMEOUT)) as connection:
            meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        number = int(bytes(meta["epoch"]).partition(b":")[0])
        return (bytes(meta["vault_id"]).decode(), number) if 0 <= number < epoch.LIMIT // 2 else None
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        return None


def _take_place(restored: Vault, progress: Progress, timeout: float) -> None:
    """Put what was restored where the vault is, or was."""
    home = restored.home
    with translated(home.vault):
        if home.vault.exists() and home.vault.stat().st_size > 0:
            try:
                _copy(restored, home.vault, progress, timeout)
                return
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # It is no database any more, or half of one.
                pass
    with _temporary(home.root) as fresh:
        _write_copy(restored, fresh, progress, timeout)
        _set_aside(home)
        move_over(fresh, home.vault)


def _set_aside(home: Home) -> None:
    """Take a vault that can't be read away. Its log must not be taken for that of the next one."""
    try:
        with contextlib.suppress(FileNotFoundError):
            home.vault.chmod(PRIVATE_FILE)
            home.vault.replace(home.damaged_vault)
        for suffix in BESIDE:
            beside(home.vault, suffix).unlink(missing_ok=True)
    except OSError as error:
        raise HomeError(f"can't move {home.vault} away: {error.strerror}") from None


@contextlib.contextmanager
def _named(copy: Path, source: Path) -> Iterator[None]:
    """Let errors speak of the file that somebody named, not of the copy that is looked at."""
    try:
        yield
    except SeksError as error:
        raise type(error)(error.message.replace(str(copy), str(source)), hint=error.hint) from None


def _write_copy(vault: Vault, target: Path, progress: Progress, timeout: float) -> None:
    """Copy the vault into an empty file, durably."""
    with translated(target):
        _copy(vault, target, progress, timeout, pages=_PAGES)
        with contextlib.closing(_connect(target, timeout)) as connection:
            # One file, without a log beside it.
            connection.execute("PRAGMA journal_mode=DELETE")
        sync(target)


def _copy(vault: Vault, target: Path, progress: Progress, timeout: float, *, pages: int = -1) -> None:
    """Copy the vault over a database; raises what SQLite raises, and `DatabaseBusyError`."""
    # SQLite tries again without end: how long is decided here.
    give_up: float | None = None

    def shown(status: int, remaining: int, total: int) -> None:
        nonlocal give_up
        if status not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            give_up = None
            progress(total - remaining, total)
        elif give_up is None:
            give_up = time.monotonic() + timeout
        elif time.monotonic() > give_up:
            raise busy(target)

    with contextlib.closing(_connect(target, 0)) as connection:
        vault.connection.backup(connection, pages=pages, progress=shown, sleep=_PAUSE)


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None)


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
        for suffix in BESIDE:
            beside(path, suffix).unlink(missing_ok=True)
