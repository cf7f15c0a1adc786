"""A vault that can't be read and an audit log that can't be written: nothing is used unseen."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench
from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def victim(hosts: Upstream, reach: list[str], folder: Path) -> Iterator[Proxy]:
    """A proxy whose home is mistreated."""
    with Proxy(bound_site(folder / "mistreated"), *reach) as proxy:
        yield proxy


@pytest.fixture
def bench(victim: Proxy, hosts: Upstream) -> Bench:
    """That proxy."""
    return Bench(victim, hosts)


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection past everything that SEKS checks."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@contextlib.contextmanager
def renamed(path: Path, table: str) -> Iterator[None]:
    """The database lacks a table meanwhile."""
    with database(path) as connection:
        before = connection.execute("SELECT sql, type, name FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
            # SQLite has put names in quotes.
            connection.execute("PRAGMA writable_schema = ON")
            connection.executemany("UPDATE sqlite_schema SET sql = ? WHERE type = ? AND name = ?", before)
            connection.execute("PRAGMA writable_schema = RESET")


@pytest.mark.parametrize("table", ["tokens", "secrets", "agents"])
def test_vault_damaged(bench: Bench, table: str) -> None:
    """Where the vault can't be read, requests are refused; when it can be again, they pass."""
    with bench.proxy.tunnel(HOST) as wire:
        with renamed(bench.site.home.vault, table):
            answer = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)

        bench.refused(answer, "vault_locked")
        bench.untouched()
        bench.serves(wire)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("tokens", "mac = zeroblob(32)"),
        ("tokens", "policy = '{}  '"),
        ("tokens", "expires = '2999-01-01T00:00:00.000000Z'"),
        ("agents", "mac = zeroblob(32)"),
        ("agents", "name = name || 'x'"),
    ],
)
def test_row_changed(bench: Bench, table: str, change: str) -> None:
    """A row that was changed behind SEKS's back opens nothing, until it is what it was."""
    with bench.proxy.tunnel(HOST) as wire, database(bench.site.home.vault) as connection:
        connection.execute(f"CREATE TABLE kept AS SELECT * FROM {table}")
        connection.execute(f"UPDATE {table} SET {change}")
        answer = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"REPLACE INTO {table} SELECT * FROM kept")
        connection.execute("DROP TABLE kept")

        bench.refused(answer, "vault_locked")
        bench.untouched()
        bench.serves(wire)


def test_revocation_undone(bench: Bench) -> None:
    """Revocation can't be undone in the database."""
    bench.site.revoke(bench.token)
    with database(bench.site.home.vault) as connection:
        connection.execute("UPDATE tokens SET revoked = NULL WHERE revoked IS NOT NULL")

    answer = bench.get("/v1/models")

    bench.refused(answer, "vault_locked")
    bench.untouched()


def test_secret_retargeted(bench: Bench) -> None:
    """A secret whose binding was changed in the database doesn't open, wherever it now points to."""
    bench.site.secret("aimed", (HOST, "bearer"))
    token = bench.site.token("aimed")
    with database(bench.site.home.vault) as connection:
        connection.execute(
            "UPDATE secrets SET binding = replace(binding, ?, 'github.com') WHERE name = 'aimed'", [HOST]
        )

    answer = bench.proxy.get("github.com", "/v1/models", bearer(token))

    assert answer.code == "vault_locked"
    bench.untouched(opened=1)
    bench.serves()


def test_value_swapped(bench: Bench) -> None:
    """A sealed value in another secret's row doesn't open."""
    bench.site.secret("moved", (HOST, "bearer"))
    token = bench.site.token("moved")
    with database(bench.site.home.vault) as connection:
        connection.execute(
            "UPDATE secret_values SET record = (SELECT record FROM secret_values JOIN secrets"
            " ON secrets.id = secret_id WHERE name = 'openai')"
            " WHERE secret_id = (SELECT id FROM secrets WHERE name = 'moved')"
        )

    answer = bench.get("/v1/models", bearer(token))

    bench.failed(answer, "vault_locked")
    bench.untouched(opened=1)
    bench.serves()


def test_writer_of_the_vault_stops_nobody(bench: Bench) -> None:
    """A command that writes to the vault for long doesn't hold up requests."""
    with database(bench.site.home.vault) as connection:
        connection.execute("BEGIN EXCLUSIVE")

        bench.serves()


def test_audit_locked(bench: Bench) -> None:
    """While the audit log can't be written, no credential is used; what needs none passes; then all is recorded."""
    with bench.proxy.tunnel(HOST) as wire:
        with database(bench.site.home.audit) as connection:
            connection.execute("BEGIN IMMEDIATE")
            answer = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)
            without_token = wire.request("GET", "/v1/models", host=HOST)

        bench.refused(answer, "audit_unavailable")
        assert without_token.status == 200
        assert [received.authorization for received in bench.upstream.requests] == [""]
        bench.serves(wire)


def test_audit_damaged(bench: Bench) -> None:
    """So it is when the log is damaged."""
    with bench.proxy.tunnel(HOST) as wire:
        with renamed(bench.site.home.audit, "pending"):
            answer = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)

        bench.refused(answer, "audit_unavailable")
        bench.untouched()
        bench.serves(wire)
