"""Secrets that somebody changed in the database: lost, not lent."""

import itertools
import json
from typing import Any

import pytest

from seks_addon.destination.host import Origin
from seks_addon.errors import VaultError
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from tests.samples import KEY, OTHER_KEY, binding
from tests.vault.conftest import Tamper, Tenant
from tests.vault.test_secrets import LATER


def edited(part: str, value: Any) -> str:
    """The stored binding with one part of it replaced."""
    stored = binding().to_json()
    if part == "policy":
        stored["policy"] = value
    elif part in stored["endpoints"][0]:
        stored["endpoints"][0][part] = value
    else:
        stored["endpoints"].append(value)
    return json.dumps(stored)


EDITED_BINDINGS = [
    edited("host", "evil.example.com"),
    edited("port", 444),
    edited("placements", ["header:X-Leak: {}"]),
    edited("placements", ["bearer", "header:X-Leak: {}"]),
    edited("policy", {"methods": ["POST"]}),
    edited("policy", {"max_uses": 10**6}),
    edited("policy", {"rate": "1/s"}),
    edited("more", {"host": "evil.example.com", "port": 443, "placements": ["bearer"]}),
    json.dumps({**binding().to_json(), "endpoints": []}),
]
RUINED_BINDINGS = [
    "",
    "{}",
    "[]",
    "null",
    "NaN",
    "no JSON",
    "[" * 100_000,
    edited("placements", ["cookie"]),
    edited("placements", 5),
    edited("host", "\ud800"),
    edited("policy", {"rate": "often"}),
    edited("policy", {"rate": 5}),
    edited("policy", {"paths": 5}),
    json.dumps({"endpoints": [5], "policy": {}}),
    json.dumps({**binding().to_json(), "policy": None}),
]


def assert_unreadable(vault: Vault, acme: Tenant) -> None:
    """No way to the secret leads to a value, or to anything but an error of ours."""
    with pytest.raises(VaultError) as revealed:
        vault.secrets.reveal(acme.secret.id, acme.client.id)
    with pytest.raises(VaultError) as found:
        vault.secrets.get(acme.client, "api")
    with pytest.raises(VaultError):
        vault.secrets.list()
    with pytest.raises(VaultError):
        vault.secrets.rotate(acme.client, "api", Secret(OTHER_KEY))
    for caught in (revealed, found):
        assert KEY not in str(caught.value)
        assert caught.value.hint


@pytest.mark.parametrize("text", EDITED_BINDINGS + RUINED_BINDINGS, ids=itertools.count())
def test_edited_binding(vault: Vault, acme: Tenant, tamper: Tamper, text: str) -> None:
    """A secret whose binding was changed in the database is lost, not lent."""
    tamper("UPDATE secrets SET binding = ? WHERE id = ?", text, acme.secret.id)

    assert_unreadable(vault, acme)


@pytest.mark.parametrize("text", [text for text in RUINED_BINDINGS if "ud800" not in text], ids=itertools.count())
def test_ruined_binding_on_the_way_of_a_request(vault: Vault, acme: Tenant, tamper: Tamper, text: str) -> None:
    """A token whose secret's binding can't be read any more is an error of ours."""
    tamper("UPDATE secrets SET binding = ? WHERE id = ?", text, acme.secret.id)

    with pytest.raises(VaultError):
        vault.tokens.resolve(acme.text)


@pytest.mark.parametrize(
    ("column", "value"),
    [("expires", LATER), ("expires", "x"), ("version", 2), ("version", 0)],
)
def test_edited_secret(vault: Vault, acme: Tenant, tamper: Tamper, column: str, value: Any) -> None:
    """Neither the end nor the version of a secret can be changed behind the library's back."""
    tamper(f"UPDATE secrets SET {column} = ? WHERE id = ?", value, acme.secret.id)

    assert_unreadable(vault, acme)


def test_prolonged_secret(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """An end can't be put off, or taken away."""
    stored = vault.secrets.add(acme.client, "short", Secret(KEY), binding(), expires="2020-01-01T00:00:00.000000Z")

    for value in (LATER, None):
        tamper("UPDATE secrets SET expires = ? WHERE id = ?", value, stored.id)

        with pytest.raises(VaultError):
            vault.secrets.reveal(stored.id, acme.client.id)
        with pytest.raises(VaultError):
            vault.secrets.get(acme.client, "short")


@pytest.mark.parametrize(
    ("column", "value"),
    [("name", "other"), ("provider", "openai"), ("env", '["PATH"]'), ("env", "5"), ("env", "no JSON"), ("mac", b"")],
)
def test_edited_description(vault: Vault, acme: Tenant, tamper: Tamper, column: str, value: Any) -> None:
    """What else is said of a secret is authentic too: its variables go into an agent's environment."""
    tamper(f"UPDATE secrets SET {column} = ? WHERE id = ?", value, acme.secret.id)

    with pytest.raises(VaultError):
        vault.secrets.list()
    if column == "env" and value != '["PATH"]':
        with pytest.raises(VaultError):
            vault.tokens.get(acme.token.id)


def test_another_client_s_value(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """A value that was copied over from another client's secret doesn't open."""
    tamper(
        "UPDATE secret_values SET record = (SELECT record FROM secret_values WHERE secret_id = ?) WHERE secret_id = ?",
        acme.secret.id,
        rival.secret.id,
    )

    with pytest.raises(VaultError) as caught:
        vault.secrets.reveal(rival.secret.id, rival.client.id)

    assert KEY not in str(caught.value)


def test_a_neighbour_s_value(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """Nor does one of the same client's other secret, which may be bound to another host."""
    second = vault.secrets.add(acme.client, "second", Secret(OTHER_KEY), binding())
    tamper(
        "UPDATE secret_values SET record = (SELECT record FROM secret_values WHERE secret_id = ?) WHERE secret_id = ?",
        acme.secret.id,
        second.id,
    )

    with pytest.raises(VaultError, match="changed, moved"):
        vault.secrets.reveal(second.id, acme.client.id)


def test_an_old_value(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A value from before a rotation, kept and put back, doesn't open."""
    [old] = vault.rows("SELECT record FROM secret_values")
    vault.secrets.rotate(acme.client, "api", Secret(OTHER_KEY))
    tamper("UPDATE secret_values SET record = ?", old["record"])

    with pytest.raises(VaultError, match="changed, moved"):
        vault.secrets.reveal(acme.secret.id, acme.client.id)


def test_moved_to_another_client(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """A whole secret can't be given to another client."""
    tamper("UPDATE secrets SET client_id = ?, name = 'moved' WHERE id = ?", rival.client.id, acme.secret.id)

    with pytest.raises(VaultError):
        vault.secrets.get(rival.client, "moved")
    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, rival.client.id)
    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, acme.client.id)


def test_all_rows_of_a_client_over_another_s(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """Data key, binding, seal and value together, copied from one client over another's, don't open."""
    tamper("UPDATE clients SET data_key = (SELECT data_key FROM clients WHERE name = 'acme') WHERE name = 'rival'")
    for column in ("binding", "version", "expires", "mac"):
        tamper(
            f"UPDATE secrets SET {column} = (SELECT {column} FROM secrets WHERE id = ?) WHERE id = ?",
            acme.secret.id,
            rival.secret.id,
        )
    tamper(
        "UPDATE secret_values SET record = (SELECT record FROM secret_values WHERE secret_id = ?) WHERE secret_id = ?",
        acme.secret.id,
        rival.secret.id,
    )

    with pytest.raises(VaultError):
        vault.secrets.reveal(rival.secret.id, rival.client.id)
    with pytest.raises(VaultError):
        vault.secrets.get(rival.client, "api")


@pytest.mark.parametrize("record", [b"", b"x", bytes(200)])
def test_damaged_value(vault: Vault, acme: Tenant, tamper: Tamper, record: bytes) -> None:
    """A value that is none says so."""
    tamper("UPDATE secret_values SET record = ?", record)

    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, acme.client.id)


def test_lost_value(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A value that is gone says how to put one there."""
    tamper("DELETE FROM secret_values")

    with pytest.raises(VaultError, match="gone") as caught:
        vault.secrets.reveal(acme.secret.id, acme.client.id)

    assert "rotate" in (caught.value.hint or "")


def test_a_planted_host(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A host that somebody wrote into the list of hosts isn't bound: the secret's own row says so."""
    tamper("INSERT INTO secret_hosts (host, port, secret_id) VALUES ('evil.example', 443, ?)", acme.secret.id)

    assert not vault.secrets.bound_to(Origin("evil.example", 443))
    tamper("INSERT INTO secret_hosts (host, port, secret_id) VALUES ('**.evil.example', 443, ?)", acme.secret.id)
    assert not vault.secrets.bound_to(Origin("a.evil.example", 443))
    assert not vault.secrets.bound_to_host("a.evil.example")
