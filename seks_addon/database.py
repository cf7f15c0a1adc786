"""SQLite as the vault and the audit log use it: durable, strict about its schema, private from the first byte."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from seks_addon.errors import DatabaseDamagedError, DatabaseError
from seks_addon.home import PRIVATE_FILE
from seks_addon.lock import COMMAND_TIMEOUT, busy

_PRAGMAS: Final = (
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
)
_RESTORE: Final = "restore it from a backup"


def open_database(
    path: Path,
    migrations: Migrations,
    *,
    create: bool = False,
    timeout: float = COMMAND_TIMEOUT,
    check_schema: bool = True,
) -> Database:
    """Open (or, with `create`, make) the database at `path` and bring its schema up to date.

    The connection is in autocommit mode: a change of several statements goes into `transaction`. It may be
    handed from thread to thread, but is used by one at a time. Raises `DatabaseError`.
    """
    with translated(path):
        connection = _connect(path, timeout, create=create)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            database = Database(connection)
            _bring_up_to_date(database, path, migrations)
            if check_schema and not has_schema(database, migrations):
                # A trigger could undo a revocation, or a record, in the moment in which it is written.
                raise DatabaseDamagedError(
                    f"the tables or triggers of {path} were changed outside of SEKS", hint=_RESTORE
                )
        except UnicodeDecodeError:
            # SQLite's complaint about a schema quotes it.
            connection.close()
            raise DatabaseDamagedError(f"{path} is damaged, or no SEKS database", hint=_RESTORE) from None
        except BaseException:
            connection.close()
            raise
        return database


def _connect(path: Path, timeout: float, *, create: bool) -> sqlite3.Connection:
    if create:
        # SQLite gives its -wal and -shm files the mode of the main file.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
    elif not path.exists():
        raise DatabaseError(f"{path} is missing", hint="restore it from a backup, or start anew with `seks init`")
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # What isn't UTF-8 wasn't written by SEKS: it shall fail the schema's comparison, or its row's authentication.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _bring_up_to_date(database: Database, path: Path, migrations: Migrations) -> None:
    names, _ = _expected(migrations)
    if not _applied(database, path, migrations) <= names:
        raise DatabaseError(f"{path} was written by a newer SEKS", hint="use that version")
    if migrations.pending(database):
        # As a whole, for a crash in between; and whoever opens it at the same moment finds nothing left to do.
        with transaction(database, path):
            migrations.apply(database)


def _applied(database: Database, path: Path, migrations: Migrations) -> set[str]:
    """The names of the migrations that the database has seen."""
    try:
        return {migration.name for migration in migrations.applied(database)}
    except sqlite3.Error:
        raise
    except Exception:  # noqa: BLE001 - the library takes its table for what it made: another may raise anything
        raise DatabaseDamagedError(f"{path} is damaged, or no SEKS database", hint=_RESTORE) from None


def has_schema(database: Database, migrations: Migrations) -> bool:
    """Tell whether the database consists of what its migrations make, and of nothing else."""
    return _schema(database) == _expected(migrations)[1]


@lru_cache
def _expected(migrations: Migrations) -> tuple[frozenset[str], frozenset[tuple[str, ...]]]:
    """The names of all migrations, and what a database consists of when they are applied."""
    with contextlib.closing(Database(memory=True)) as empty:
        names = frozenset(migration.name for migration in migrations.pending(empty))
        migrations.apply(empty)
        return names, _schema(empty)


def _schema(database: Database) -> frozenset[tuple[str, ...]]:
    return frozenset(database.conn.execute("SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema"))


@contextlib.contextmanager
def transaction(database: Database, path: Path) -> Iterator[None]:
    """Run the block as one change that others see whole or not at all, and that is on disk when it ends."""
    connection = database.conn
    with translated(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a `DatabaseError` that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise busy(path) from None
        # The index of the log can't grow either.
        shared = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE
        if code == sqlite3.SQLITE_FULL or shared:
            raise DatabaseError(f"{path} can't grow: the disk is full", hint="free some space") from None
        if code == sqlite3.SQLITE_READONLY:
            raise DatabaseError(f"{path} is read-only", hint="check its permissions and the file system") from None
        if code == sqlite3.SQLITE_CANTOPEN:
            raise DatabaseError(f"can't open {path}", hint="check that you own it and its directory") from None
        if code == sqlite3.SQLITE_ERROR:
            # A statement that is right finds a table missing, or another one in its place.
            raise DatabaseDamagedError(f"{path}: {error}", hint=_RESTORE) from None
        raise DatabaseError(f"{path}: {error}", hint="check the disk, or restore from a backup") from None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise DatabaseDamagedError(f"{path} is damaged, or no SEKS database", hint=_RESTORE) from None
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from None
