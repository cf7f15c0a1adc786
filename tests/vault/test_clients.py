"""Clients: tenants, each with a data key of its own."""

import pytest

from seks_addon.errors import ExistsError, InputError, NotFoundError, VaultError
from seks_addon.vault import Vault
from tests.samples import OTHER_KEY
from tests.vault.conftest import Tamper, Tenant


@pytest.mark.parametrize("name", ["a", "Acme", "acme-2", "a.b_c", "0", "a" * 64])
def test_names(vault: Vault, name: str) -> None:
    """Names are letters, digits and a few marks."""
    vault.clients.add(name)

    assert vault.clients.get(name).name == name
    assert [client.name for client in vault.clients.list()] == [name]


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "-a", ".a", "_a", "a b", "a\n", "ä", "a" * 65, "a%", "a@b"])
def test_no_names(vault: Vault, name: str) -> None:
    """Nothing that would be in the way of a proxy URL names a client."""
    with pytest.raises(InputError, match="can't name a client"):
        vault.clients.add(name)

    assert vault.clients.list() == []


def test_names_are_taken_once(vault: Vault, acme: Tenant) -> None:
    """A second client of that name isn't made."""
    with pytest.raises(ExistsError):
        vault.clients.add("acme")

    assert vault.clients.get("acme") == acme.client


def test_unknown(vault: Vault) -> None:
    """A client that there isn't is none."""
    assert vault.clients.find("none") is None
    with pytest.raises(NotFoundError, match="'none'"):
        vault.clients.get("none")
    with pytest.raises(NotFoundError):
        vault.clients.remove("none")
    with pytest.raises(NotFoundError):
        vault.clients.key("cli_none")


def test_keys_differ(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """Each client has a data key of its own, the same at every look."""
    assert vault.clients.key(acme.client.id) == vault.clients.key(acme.client.id)
    assert vault.clients.key(acme.client.id).material != vault.clients.key(rival.client.id).material


def test_remove(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """With a client goes all that it owns, and nothing of anybody else's."""
    assert vault.clients.remove("acme") == acme.client

    assert vault.clients.find("acme") is None
    assert vault.tokens.resolve(acme.text) is None
    assert vault.agents.authenticate("acme/robot", acme.password) is None
    with pytest.raises(VaultError, match="gone"):
        vault.secrets.reveal(acme.secret.id, acme.client.id)
    counts = {
        table: len(vault.rows(f"SELECT 1 FROM {table}"))
        for table in ("clients", "agents", "secrets", "secret_values", "secret_hosts", "tokens")
    }
    assert counts == dict.fromkeys(counts, 1)
    assert vault.secrets.reveal(rival.secret.id, rival.client.id).reveal() == OTHER_KEY
    assert vault.tokens.resolve(rival.text)


def test_another_client_s_data_key(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """A data key that was copied from another client opens nothing."""
    tamper("UPDATE clients SET data_key = (SELECT data_key FROM clients WHERE name = 'rival') WHERE name = 'acme'")

    with pytest.raises(VaultError):
        vault.clients.key(acme.client.id)
    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, acme.client.id)
    with pytest.raises(VaultError):
        vault.tokens.text(acme.token)
    with pytest.raises(VaultError):
        vault.agents.password(acme.agent)


def test_swapped_names(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """A client's name is authenticated with its data key: two can't be exchanged, nor one renamed."""
    tamper("UPDATE clients SET name = 'third' WHERE name = 'acme'")
    tamper("UPDATE clients SET name = 'acme' WHERE name = 'rival'")

    for client in (acme.client, rival.client):
        with pytest.raises(VaultError):
            vault.clients.key(client.id)
    with pytest.raises(VaultError):
        vault.secrets.reveal(rival.secret.id, rival.client.id)
    with pytest.raises(VaultError):
        vault.agents.authenticate("acme/robot", rival.password)


@pytest.mark.parametrize("value", [b"", b"\x01", bytes(200)])
def test_damaged_data_key(vault: Vault, acme: Tenant, tamper: Tamper, value: bytes) -> None:
    """A data key that is none says so."""
    tamper("UPDATE clients SET data_key = ? WHERE name = 'acme'", value)

    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, acme.client.id)
