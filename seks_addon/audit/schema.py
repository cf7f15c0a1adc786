"""The audit log's tables, as numbered migrations. A migration that has been released is never changed."""

from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations: Final = Migrations("seks-audit")

_V1: Final = (
    """CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        time TEXT NOT NULL,
        event TEXT NOT NULL,
        outcome TEXT NOT NULL,
        request_id TEXT,
        reason TEXT,
        client TEXT,
        agent TEXT,
        secret TEXT,
        provider TEXT,
        token_id TEXT,
        source_ip TEXT,
        method TEXT,
        scheme TEXT,
        host TEXT,
        port INTEGER,
        path TEXT,
        status INTEGER,
        request_bytes INTEGER,
        response_bytes INTEGER,
        scrubbed INTEGER,
        duration_ms INTEGER,
        prev_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX records_time ON records (time)",
    # Intents that have no outcome yet, and the run of the proxy that owes it.
    "CREATE TABLE pending (seq INTEGER PRIMARY KEY REFERENCES records (seq), run TEXT NOT NULL) STRICT",
    # A courtesy against mistakes; the chain is the proof.
    """CREATE TRIGGER records_no_update BEFORE UPDATE ON records
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER records_no_delete BEFORE DELETE ON records
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
)


_V2: Final = (
    # Of secrets and tokens whose use is limited: how often, and when the next is due, in nanoseconds since 1970.
    """CREATE TABLE usage (
        subject TEXT PRIMARY KEY,
        uses INTEGER NOT NULL,
        arrival INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # Whose limit of requests at a time an intent counts for, until its outcome takes it out of `pending`.
    """CREATE TABLE holds (
        seq INTEGER NOT NULL REFERENCES pending (seq) ON DELETE CASCADE,
        subject TEXT NOT NULL,
        PRIMARY KEY (seq, subject)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX holds_subject ON holds (subject)",
)


@migrations(name="0001_initial")
def initial(db: Database) -> None:
    """Records, and the intents that wait for their outcome."""
    for statement in _V1:
        db.execute(statement)


@migrations(name="0002_usage")
def usage(db: Database) -> None:
    """How often secrets and tokens were used whose use is limited."""
    for statement in _V2:
        db.execute(statement)
