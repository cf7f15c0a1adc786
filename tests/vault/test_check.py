"""Checking a vault whole: every kind of damage is found, and named without any value."""

from typing import Any

import pytest

from seks_addon.home import Home
from seks_addon.vault import Vault, check
from tests.vault.conftest import Tamper, Tenant

LATER = "2100-01-01T00:00:00.000000Z"


def problems(vault: Vault) -> list[str]:
    return check.check(vault, lambda *_: None)


def test_intact(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """A vault as SEKS left it has none; progress is told to the end."""
    vault.agents.set_enabled(acme.client, "robot", False)
    vault.tokens.revoke(rival.token)
    seen: list[tuple[int, int]] = []

    assert check.check(vault, lambda done, total: seen.append((done, total))) == []

    assert seen == [(done, 8) for done in range(1, 9)]


def test_empty(vault: Vault) -> None:
    """Nothing is nothing wrong."""
    assert problems(vault) == []


DAMAGE: list[tuple[str, str, Any, str]] = [
    ("clients", "data_key", b"", "the client 'acme'"),
    ("clients", "data_key", bytes(133), "the client 'acme'"),
    ("clients", "name", "renamed", "the client 'renamed'"),
    ("agents", "enabled", 0, "the agent 'robot'"),
    ("agents", "name", "other", "the agent 'other'"),
    ("agents", "password", b"x", "the agent 'robot'"),
    ("agents", "mac", bytes(32), "the agent 'robot'"),
    ("secrets", "name", "other", "the secret 'other'"),
    ("secrets", "provider", "openai", "the secret 'api'"),
    ("secrets", "binding", "no JSON", "the secret 'api'"),
    ("secrets", "binding", "{}", "the secret 'api'"),
    ("secrets", "env", '["PATH"]', "the secret 'api'"),
    ("secrets", "env", "no JSON", "the secret 'api'"),
    ("secrets", "version", 7, "the secret 'api'"),
    ("secrets", "expires", LATER, "the secret 'api'"),
    ("secrets", "mac", b"", "the secret 'api'"),
    ("secret_values", "record", b"", "the secret 'api'"),
    ("secret_values", "record", bytes(200), "the secret 'api'"),
    ("secret_values", "version", 2, "the secret 'api'"),
    ("secret_hosts", "host", "evil.example", "the secret 'api'"),
    ("secret_hosts", "port", 8443, "the secret 'api'"),
    ("tokens", "lookup", bytes(32), "the token tok_"),
    ("tokens", "token", b"x", "the token tok_"),
    ("tokens", "policy", '{"methods":["DELETE"]}', "the token tok_"),
    ("tokens", "expires", LATER, "the token tok_"),
    ("tokens", "revoked", LATER, "the token tok_"),
    ("tokens", "mac", b"", "the token tok_"),
]


@pytest.mark.parametrize(("table", "column", "value", "what"), DAMAGE, ids=lambda value: str(value)[:12])
def test_damage(vault: Vault, acme: Tenant, tamper: Tamper, table: str, column: str, value: Any, what: str) -> None:
    """It is found wherever it is, and said of what it is; the rest is looked at all the same."""
    tamper(f"UPDATE {table} SET {column} = ?", value)

    found = problems(vault)

    assert [line for line in found if line.startswith(what)], found
    for line in found:
        assert acme.key not in line
        assert acme.text not in line
        assert acme.password not in line


@pytest.mark.parametrize("part", [0, 3, 20, 45, 60, 90, -20, -1])
@pytest.mark.parametrize(
    ("table", "column"),
    [("secret_values", "record"), ("clients", "data_key"), ("agents", "password"), ("tokens", "token")],
)
def test_one_bit(vault: Vault, acme: Tenant, tamper: Tamper, table: str, column: str, part: int) -> None:
    """Version, key id, salt, nonce, commitment, ciphertext, tag: one bit anywhere is enough."""
    [row] = vault.rows(f"SELECT {column} FROM {table}")
    record = bytearray(row[column])
    record[part] ^= 1
    tamper(f"UPDATE {table} SET {column} = ?", bytes(record))

    assert problems(vault)


@pytest.mark.parametrize("table", ["secret_values", "secret_hosts"])
def test_lost_rows(vault: Vault, acme: Tenant, tamper: Tamper, table: str) -> None:
    """A secret without its value, or that isn't listed under its hosts."""
    tamper(f"DELETE FROM {table}")

    assert [line for line in problems(vault) if "'api'" in line]


def test_a_row_too_many(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """Nothing reads them, so nothing else would notice."""
    tamper("INSERT INTO meta VALUES ('more', x'00')")
    tamper("INSERT INTO secret_values SELECT secret_id, 7, record, created FROM secret_values")

    assert problems(vault) == [
        "the table meta has a row 'more' that SEKS doesn't know",
        "the secret 'api': it has values of other versions",
    ]


def test_a_row_without_its_parent(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """Other programs don't look after foreign keys."""
    tamper("DELETE FROM clients")

    assert [line for line in problems(vault) if "refers to a row that isn't there" in line]


def test_damage_in_two_places(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """The first doesn't hide the second."""
    tamper("UPDATE secret_values SET record = x'00'")

    assert len([line for line in problems(vault) if "'api'" in line]) == 2


def test_rows_of_one_client_copied_to_another(
    home: Home, vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper
) -> None:
    """Data key, agents, secrets and tokens together, given to another client, are all found."""
    tamper("UPDATE agents SET client_id = ?, name = 'moved' WHERE client_id = ?", rival.client.id, acme.client.id)
    tamper("UPDATE secrets SET client_id = ?, name = 'moved' WHERE client_id = ?", rival.client.id, acme.client.id)

    found = problems(vault)

    assert [line for line in found if line.startswith("the agent 'moved'")]
    assert [line for line in found if line.startswith("the secret 'moved'")]
    assert [line for line in found if line.startswith("the token")]


@pytest.mark.parametrize("value", [b"0", b"2", b"", b"\xff", b"1 ", b"01"])
def test_another_format(home: Home, vault: Vault, tamper: Tamper, value: bytes) -> None:
    """Neither an older nor a newer format is guessed at."""
    tamper("UPDATE meta SET value = ? WHERE key = 'format'", value)

    with pytest.raises(Exception, match="has the format"):
        Vault.open(home)
