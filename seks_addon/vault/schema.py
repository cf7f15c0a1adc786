"""The vault's tables, as numbered migrations. A migration that has been released is never changed."""

from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations: Final = Migrations("seks-vault")

_V1: Final = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    data_key BLOB NOT NULL,               -- sealed under the master key
    created TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    password BLOB NOT NULL,               -- sealed under the client's data key
    created TEXT NOT NULL,
    mac BLOB NOT NULL,
    UNIQUE (client_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    provider TEXT,
    binding TEXT NOT NULL,                -- JSON; its digest is authenticated with every value
    env TEXT NOT NULL,                    -- JSON list of variables
    version INTEGER NOT NULL,             -- the live one
    expires TEXT,
    created TEXT NOT NULL,
    rotated TEXT,
    mac BLOB NOT NULL,
    UNIQUE (client_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret_values (
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    record BLOB NOT NULL,                 -- sealed under the client's data key
    created TEXT NOT NULL,
    PRIMARY KEY (secret_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret_hosts (               -- an index over the bindings: is any secret bound to this host?
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    PRIMARY KEY (host, port, secret_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX secret_hosts_secret ON secret_hosts (secret_id);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    lookup BLOB NOT NULL UNIQUE,          -- keyed hash of the token
    secret_id TEXT NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    agent_id TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    token BLOB NOT NULL,                  -- sealed under the client's data key
    policy TEXT NOT NULL,                 -- JSON
    expires TEXT,
    revoked TEXT,
    created TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_secret ON tokens (secret_id);
CREATE INDEX tokens_agent ON tokens (agent_id);
"""


@migrations(name="0001_initial")
def initial(db: Database) -> None:
    """Clients, agents, secrets with their values, and tokens."""
    for statement in _V1.split(";\n"):
        if statement.strip():
            db.execute(statement)
