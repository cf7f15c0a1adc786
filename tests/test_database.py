"""SQLite as the vault and the audit log use it."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from seks_addon.database import open_database, transaction, translated
from seks_addon.errors import DatabaseBusyError, DatabaseDamagedError, DatabaseError

SCHEMA = Migrations("test")


@SCHEMA(name="0001_initial")
def initial(db: Database) -> None:
    """Two tables, one of which points at the other."""
    db.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT")
    db.execute("CREATE TABLE things (name TEXT UNIQUE, parent INTEGER REFERENCES parents (id)) STRICT")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """A database that was just made."""
    with closing(open_database(path, SCHEMA, create=True)) as database:
        yield database


def names(path: Path) -> list[str]:
    """What another connection sees."""
    with closing(sqlite3.connect(path)) as other:
        return [row[0] for row in other.execute("SELECT name FROM things ORDER BY name")]


def test_private_from_the_first_byte(path: Path) -> None:
    """The file and what SQLite puts beside it are their owner's alone, under any umask."""
    old = os.umask(0)
    try:
        with closing(open_database(path, SCHEMA, create=True)) as db:
            db.execute("INSERT INTO things (name) VALUES ('x')")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)

    assert modes == {"test.db": 0o600, "test.db-wal": 0o600, "test.db-shm": 0o600}


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("secure_delete", 1),
    ],
)
def test_pragmas(db: Database, pragma: str, value: str | int) -> None:
    """Every connection is durable and strict."""
    assert db.execute(f"PRAGMA {pragma}").fetchone()[0] == value


def test_foreign_keys_hold(db: Database) -> None:
    """A row can't point at nothing."""
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO things (name, parent) VALUES ('x', 1)")


def test_open_again(db: Database, path: Path) -> None:
    """What was written is there; migrations run once."""
    db.execute("INSERT INTO things (name) VALUES ('x')")

    with closing(open_database(path, SCHEMA)) as again:
        assert again.execute("SELECT name FROM things").fetchall() == [("x",)]


def test_create_keeps_what_is_there(db: Database, path: Path) -> None:
    """Making a database that exists opens it."""
    db.execute("INSERT INTO things (name) VALUES ('x')")

    open_database(path, SCHEMA, create=True).close()

    assert names(path) == ["x"]


def test_missing(path: Path) -> None:
    """Opening makes no file."""
    with pytest.raises(DatabaseError, match="is missing") as caught:
        open_database(path, SCHEMA)

    assert caught.value.hint
    assert not path.exists()


def test_path_with_odd_characters(tmp_path: Path) -> None:
    """A path is a path, not a part of a URI."""
    path = tmp_path / "a?mode=memory#%20b.db"

    open_database(path, SCHEMA, create=True).close()

    assert path.stat().st_size > 0


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 30, bytes(range(256)) * 16])
def test_garbage(path: Path, content: bytes) -> None:
    """A file that is none of ours says so and stays as it is."""
    path.write_bytes(content)

    with pytest.raises(DatabaseError, match="damaged, or no SEKS database"):
        open_database(path, SCHEMA)

    assert path.read_bytes() == content


def test_truncated(path: Path) -> None:
    """Half a database is damaged."""
    open_database(path, SCHEMA, create=True).close()
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(DatabaseError, match="damaged"):
        open_database(path, SCHEMA)


def test_newer(path: Path) -> None:
    """A schema that this version doesn't know isn't touched."""
    newer = Migrations("test")
    newer(name="0001_initial")(initial)
    newer(name="0002_future")(lambda db: db.execute("CREATE TABLE future (x TEXT)"))
    open_database(path, newer, create=True).close()

    with pytest.raises(DatabaseError, match="newer SEKS"):
        open_database(path, SCHEMA)


def test_older_is_brought_up_to_date(path: Path) -> None:
    """Pending migrations run when the database is opened."""
    open_database(path, SCHEMA, create=True).close()
    newer = Migrations("test")
    newer(name="0001_initial")(initial)
    newer(name="0002_future")(lambda db: db.execute("CREATE TABLE future (x TEXT)"))

    with closing(open_database(path, newer)) as db:
        assert db.execute("SELECT count(*) FROM future").fetchone() == (0,)


def test_failed_migration_leaves_nothing(path: Path) -> None:
    """A migration that breaks off is undone, and can be tried again."""
    broken = Migrations("test")

    @broken(name="0001_initial")
    def half(db: Database) -> None:
        initial(db)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        open_database(path, broken, create=True)

    with closing(open_database(path, SCHEMA)) as db:
        assert db.execute("SELECT count(*) FROM things").fetchone() == (0,)


def test_transaction(db: Database, path: Path) -> None:
    """Others see a change whole, when it is over."""
    with transaction(db, path):
        db.conn.execute("INSERT INTO things (name) VALUES ('a')")
        seen_within = names(path)
        db.conn.execute("INSERT INTO things (name) VALUES ('b')")

    assert seen_within == []
    assert names(path) == ["a", "b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_transaction_that_fails(db: Database, path: Path, error: type[BaseException]) -> None:
    """A change that breaks off, for whatever reason, leaves nothing; the next one works."""

    def change(name: str, *, fail: bool) -> None:
        with transaction(db, path):
            db.conn.execute("INSERT INTO things (name) VALUES (?)", (name,))
            if fail:
                raise error

    with pytest.raises(error):
        change("a", fail=True)
    change("b", fail=False)

    assert names(path) == ["b"]


def test_locked(db: Database, path: Path) -> None:
    """A writer that waits for another gives up in time; readers don't wait at all."""
    with closing(open_database(path, SCHEMA, timeout=0.2)) as waiting, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()

        with pytest.raises(DatabaseBusyError, match="locked by another process"), transaction(waiting, path):
            pytest.fail("it wasn't locked")

        assert 0.1 < time.monotonic() - started < 2
        assert waiting.execute("SELECT count(*) FROM things").fetchone() == (0,)
        with closing(open_database(path, SCHEMA, timeout=0.2)) as late:
            assert late.execute("SELECT count(*) FROM things").fetchone() == (0,)


def test_read_only(db: Database, path: Path, read_only: None) -> None:
    """A database that can't be written can be read; writing says what is wrong."""
    db.execute("INSERT INTO things (name) VALUES ('x')")

    with closing(open_database(path, SCHEMA)) as reading:
        assert reading.execute("SELECT name FROM things").fetchall() == [("x",)]
        with pytest.raises(DatabaseError, match="read-only") as caught, transaction(reading, path):
            reading.conn.execute("INSERT INTO things (name) VALUES ('y')")

    assert caught.value.hint


def test_full(db: Database, path: Path) -> None:
    """A full disk is told from a damaged one, and takes nothing back."""
    db.execute("INSERT INTO things (name) VALUES ('x')")
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")

    with pytest.raises(DatabaseError, match="disk is full"), transaction(db, path):
        db.conn.execute("INSERT INTO things (name) VALUES (?)", ("y" * 100_000,))

    assert names(path) == ["x"]


def test_folder_that_is_none(tmp_path: Path) -> None:
    """A file where the folder should be is an error of ours."""
    (tmp_path / "file").write_text("")

    with pytest.raises(DatabaseError):
        open_database(tmp_path / "file" / "test.db", SCHEMA, create=True)


def test_directory_of_that_name(path: Path) -> None:
    """A folder in place of the database can't be opened."""
    path.mkdir()

    with pytest.raises(DatabaseError, match="can't open"):
        open_database(path, SCHEMA)


def test_a_broken_rule_is_the_caller_s(db: Database, path: Path) -> None:
    """A constraint that fails isn't a damaged database."""
    db.execute("INSERT INTO things (name) VALUES ('x')")

    with pytest.raises(sqlite3.IntegrityError), translated(path):
        db.execute("INSERT INTO things (name) VALUES ('x')")


def test_planted_trigger(path: Path) -> None:
    """A trigger that would undo a change in the moment in which it is made isn't lived with."""
    open_database(path, SCHEMA, create=True).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER undo BEFORE UPDATE ON things BEGIN SELECT RAISE(IGNORE); END")

    with pytest.raises(DatabaseError, match="changed outside of SEKS") as caught:
        open_database(path, SCHEMA)

    assert caught.value.hint
    open_database(path, SCHEMA, check_schema=False).close()


def test_a_schema_that_is_not_text(db: Database, path: Path) -> None:
    """One byte that was flipped on the disk."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(path.read_bytes())
    content[content.index(b"CREATE TABLE parents") + 3] = 0xE2
    path.write_bytes(content)

    with pytest.raises(DatabaseDamagedError) as caught:
        open_database(path, SCHEMA)

    assert caught.value.hint


@pytest.mark.parametrize("column", ["name", "applied_at", "migration_set", "id"])
def test_another_table_of_migrations(db: Database, path: Path, column: str) -> None:
    """The one that tells them isn't taken for what it should be."""
    db.execute(f"ALTER TABLE _sqlite_migrations RENAME COLUMN {column} TO other")

    with pytest.raises(DatabaseDamagedError) as caught:
        open_database(path, SCHEMA)

    assert caught.value.hint
