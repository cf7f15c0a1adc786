"""Secrets: stored, found, rotated, removed."""

import json
from dataclasses import replace

import pytest

from seks_addon.binding import Binding, Endpoint
from seks_addon.errors import ExistsError, InputError, NotFoundError, VaultError
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from tests.samples import HOST, KEY, OTHER_KEY, binding
from tests.vault.conftest import Tenant

TWO_HOSTS = Binding(
    (*binding().endpoints, Endpoint.parse("eu.example.com:8443", ["basic"])), Policy(("GET",), ("/v1",))
)
LATER = "2099-01-01T00:00:00.000000Z"


def test_add(home: Home, vault: Vault, acme: Tenant) -> None:
    """A secret is found again with all that was said of it, by another process too."""
    stored = vault.secrets.add(
        acme.client, "full", Secret("schlüssel 🔑"), TWO_HOSTS, provider="openai", env=("A", "B"), expires=LATER
    )

    with Vault.open(home) as other:
        assert other.secrets.get(acme.client, "full") == stored
        assert other.secrets.reveal(stored.id, acme.client.id).reveal() == "schlüssel 🔑"
    assert (stored.binding, stored.provider, stored.env, stored.expires) == (TWO_HOSTS, "openai", ("A", "B"), LATER)
    assert (stored.version, stored.rotated) == (1, None)


def test_nothing_printed_holds_the_value(vault: Vault, acme: Tenant) -> None:
    """Neither what is printed of a secret nor its representation shows the value."""
    revealed = vault.secrets.reveal(acme.secret.id, acme.client.id)

    assert KEY not in f"{acme.secret} {json.dumps(acme.secret.to_json())} {revealed!r} {acme.token}"
    assert acme.secret.to_json()["hosts"] == [HOST]


def test_names(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """A name is taken once in a client; another client may have it too."""
    with pytest.raises(ExistsError):
        vault.secrets.add(acme.client, "api", Secret(OTHER_KEY), binding())
    with pytest.raises(InputError, match="can't name a secret"):
        vault.secrets.add(acme.client, "a/b", Secret(OTHER_KEY), binding())

    assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    assert vault.secrets.list(acme.client) == [acme.secret]
    assert vault.secrets.list() == [acme.secret, rival.secret]


def test_unknown(vault: Vault, acme: Tenant) -> None:
    """A secret that there isn't is none."""
    assert vault.secrets.find(acme.client, "none") is None
    for act in (vault.secrets.get, vault.secrets.remove):
        with pytest.raises(NotFoundError, match="'none'"):
            act(acme.client, "none")
    with pytest.raises(NotFoundError):
        vault.secrets.rotate(acme.client, "none", Secret(KEY))
    with pytest.raises(VaultError):
        vault.secrets.reveal("sec_none", acme.client.id)


def test_only_the_client_s_own(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """A secret isn't revealed in another client's name."""
    with pytest.raises(VaultError):
        vault.secrets.reveal(acme.secret.id, rival.client.id)


def test_rotate(home: Home, vault: Vault, acme: Tenant) -> None:
    """The new value is there at once, for every process; the tokens stay, the old value goes."""
    with Vault.open(home) as other:
        assert other.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY

        rotated = vault.secrets.rotate(acme.client, "api", Secret(OTHER_KEY))

        assert other.secrets.reveal(acme.secret.id, acme.client.id).reveal() == OTHER_KEY
        grant = other.tokens.resolve(acme.text)
    assert grant is not None
    assert grant.secret_id == acme.secret.id
    assert rotated == replace(acme.secret, version=2, rotated=rotated.rotated)
    assert rotated.rotated
    assert vault.secrets.get(acme.client, "api") == rotated
    assert [row["version"] for row in vault.rows("SELECT version FROM secret_values")] == [2]
    assert vault.secrets.rotate(acme.client, "api", Secret(KEY)).version == 3


def test_remove(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """With a secret go its value, its hosts and its tokens, and nothing else."""
    vault.secrets.remove(acme.client, "api")

    assert vault.secrets.find(acme.client, "api") is None
    assert vault.tokens.resolve(acme.text) is None
    with pytest.raises(NotFoundError):
        vault.tokens.get(acme.token.id)
    for table in ("secrets", "secret_values", "secret_hosts", "tokens"):
        assert len(vault.rows(f"SELECT 1 FROM {table}")) == 1
    assert vault.tokens.resolve(rival.text)
    assert vault.agents.get(acme.client, "robot") == acme.agent
