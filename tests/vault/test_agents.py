"""Agents: who uses tokens."""

from typing import Any

import pytest

from seks_addon.errors import ExistsError, InputError, NotFoundError, VaultError
from seks_addon.home import Home
from seks_addon.vault import Vault
from tests.vault.conftest import Tamper, Tenant


def test_add(vault: Vault, acme: Tenant) -> None:
    """An agent has a password of its own, which can be printed again."""
    agent, password = vault.agents.add(acme.client, "second")

    assert vault.agents.get(acme.client, "second") == agent
    assert agent.enabled
    assert password != acme.password
    assert vault.agents.password(agent) == password
    assert [found.name for found in vault.agents.list(acme.client)] == ["robot", "second"]


def test_names(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """A name is an agent's once in a client, and has nothing that a proxy URL would trip over."""
    with pytest.raises(ExistsError):
        vault.agents.add(acme.client, "robot")
    with pytest.raises(InputError, match="can't name an agent"):
        vault.agents.add(acme.client, "a/b")

    assert [(agent.client, agent.name) for agent in vault.agents.list()] == [("acme", "robot"), ("rival", "robot")]


def test_unknown(vault: Vault, acme: Tenant) -> None:
    """An agent that there isn't is none."""
    assert vault.agents.find(acme.client, "none") is None
    assert vault.agents.by_id("agt_none") is None
    for act in (vault.agents.get, vault.agents.remove):
        with pytest.raises(NotFoundError, match="'none'"):
            act(acme.client, "none")
    with pytest.raises(NotFoundError):
        vault.agents.set_enabled(acme.client, "none", True)


@pytest.mark.parametrize(("client", "user"), [("acme", "acme/robot"), ("default", "robot")])
def test_user(vault: Vault, client: str, user: str) -> None:
    """The default client's agents go by their name, others with their client's before it."""
    agent, password = vault.agents.add(vault.clients.add(client), "robot")

    assert agent.user == user
    assert vault.agents.by_user(user) == agent
    assert vault.agents.by_user(f"{client}/robot") == agent
    assert vault.agents.authenticate(user, password) == agent


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("acme/robot", ""),
        ("acme/robot", "{theirs}"),
        ("acme/robot", "{own}x"),
        ("acme/robot", "x{own}"),
        ("acme/robot", "{upper}"),
        ("acme/robot", "é"),
        ("rival/robot", "{own}"),
        ("robot", "{own}"),
        ("/robot", "{own}"),
        ("acme/", "{own}"),
        ("acme/robot/", "{own}"),
        ("acme", "{own}"),
        ("ACME/robot", "{own}"),
        ("acme/%", "{own}"),
        ("acme/none", "{own}"),
        ("", ""),
        ("a\0b", "{own}"),
    ],
)
def test_wrong_pair(vault: Vault, acme: Tenant, rival: Tenant, user: str, password: str) -> None:
    """A wrong name, a wrong password, and one that belongs to another all get the same answer."""
    given = password.format(own=acme.password, theirs=rival.password, upper=acme.password.upper())

    assert vault.agents.authenticate(user, given) is None


def test_no_password_is_guessed_by_an_empty_one(vault: Vault) -> None:
    """For a name that isn't known, no password is right."""
    assert vault.agents.authenticate("none", "") is None


def test_disable(home: Home, vault: Vault, acme: Tenant) -> None:
    """Another process sees at once that an agent was disabled; it is still told who it is."""
    with Vault.open(home) as other:
        assert other.agents.by_id(acme.agent.id) == acme.agent

        vault.agents.set_enabled(acme.client, "robot", False)

        seen = other.agents.authenticate("acme/robot", acme.password)
        assert seen is not None
        assert not seen.enabled
        vault.agents.set_enabled(acme.client, "robot", True)
        assert other.agents.by_id(acme.agent.id) == acme.agent


def test_remove(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """With an agent go its tokens; the secret stays."""
    vault.agents.remove(acme.client, "robot")

    assert vault.agents.authenticate("acme/robot", acme.password) is None
    assert vault.tokens.resolve(acme.text) is None
    assert vault.secrets.get(acme.client, "api") == acme.secret
    assert vault.tokens.resolve(rival.text)
    with pytest.raises(NotFoundError):
        vault.agents.password(acme.agent)


@pytest.mark.parametrize(("column", "value"), [("enabled", 1), ("name", "other"), ("mac", b"x" * 32)])
def test_edited_row(vault: Vault, acme: Tenant, tamper: Tamper, column: str, value: Any) -> None:
    """An agent that was let in, renamed or forged behind the library's back isn't trusted."""
    vault.agents.set_enabled(acme.client, "robot", False)
    tamper(f"UPDATE agents SET {column} = ? WHERE id = ?", value, acme.agent.id)

    with pytest.raises(VaultError, match="'agents' was changed"):
        vault.agents.by_id(acme.agent.id)
    with pytest.raises(VaultError):
        vault.agents.list()


def test_moved_to_another_client(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """An agent can't be lent to another tenant."""
    tamper("UPDATE agents SET client_id = ?, name = 'moved' WHERE id = ?", rival.client.id, acme.agent.id)

    with pytest.raises(VaultError):
        vault.agents.by_user("rival/moved")


def test_another_agent_s_password(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A password that was copied from another agent's row doesn't open."""
    second, password = vault.agents.add(acme.client, "second")
    tamper("UPDATE agents SET password = (SELECT password FROM agents WHERE id = ?) WHERE name = 'robot'", second.id)

    with pytest.raises(VaultError):
        vault.agents.authenticate("acme/robot", password)


def test_to_json(acme: Tenant) -> None:
    """What is printed of an agent has no password in it."""
    assert set(acme.agent.to_json()) == {"name", "client", "enabled", "created"}
    assert acme.password not in str(acme.agent)
