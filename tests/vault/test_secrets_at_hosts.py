"""Which secrets there are at a host: any client's, an agent's, and in which places."""

import pytest

from seks_addon.binding import Binding, Endpoint
from seks_addon.destination.host import Origin
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from tests.samples import HOST, KEY, binding
from tests.vault.conftest import Tamper, Tenant
from tests.vault.test_secrets import TWO_HOSTS


@pytest.mark.parametrize(
    ("origin", "bound", "at_any_port"),
    [
        (Origin(HOST, 443), True, True),
        (Origin(HOST, 8443), False, True),
        (Origin("eu.example.com", 8443), True, True),
        (Origin("eu.example.com", 443), False, True),
        (Origin("example.com", 443), False, False),
        (Origin(f"x.{HOST}", 443), False, False),
    ],
)
def test_bound_to(vault: Vault, origin: Origin, bound: bool, at_any_port: bool) -> None:
    """It is known at which hosts any client's secret may be used, until the last of them is gone."""
    client, other = vault.clients.add("one"), vault.clients.add("two")
    vault.secrets.add(client, "a", Secret(KEY), TWO_HOSTS)
    vault.secrets.add(other, "a", Secret(KEY), TWO_HOSTS)

    assert vault.secrets.bound_to(origin) is bound
    vault.secrets.remove(client, "a")
    assert vault.secrets.bound_to(origin) is bound
    assert vault.secrets.bound_to_host(origin.host) is at_any_port
    vault.clients.remove("two")
    assert not vault.secrets.bound_to(origin)
    assert not vault.secrets.bound_to_host(origin.host)


def test_bound_by_a_wildcard(vault: Vault) -> None:
    """A wildcard binds what it covers; the list of hosts is asked by its index, however long the name."""
    binding = Binding((Endpoint.parse("**.example.com:8443", ["bearer"]), Endpoint.parse("*.one.example", ["bearer"])))
    stored = vault.secrets.add(vault.clients.add("one"), "a", Secret(KEY), binding)
    asked: list[str] = []
    vault.connection.set_trace_callback(asked.append)

    assert vault.secrets.bound_to(Origin("a.b.example.com", 8443))
    assert not vault.secrets.bound_to(Origin("a.b.example.com", 443))
    assert not vault.secrets.bound_to(Origin("example.com", 8443))
    assert vault.secrets.bound_to(Origin("a.one.example", 443))
    assert not vault.secrets.bound_to(Origin("a.b.one.example", 443))
    assert vault.secrets.bound_to_host("a.b.example.com")
    assert not vault.secrets.bound_to_host("a.b.one.example")
    vault.connection.set_trace_callback(None)

    for query in (sql for sql in asked if "secret_hosts" in sql):
        (plan,) = vault.rows(f"EXPLAIN QUERY PLAN {query}")
        assert plan["detail"].startswith("SEARCH secret_hosts USING PRIMARY KEY (host=?")
    assert vault.secrets.get(vault.clients.get("one"), "a") == stored


def test_placements_at(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A client's own bindings say where its credentials stand at a host, at any port of it; each is named once."""
    client = vault.clients.add("one")
    for name in ("a", "b"):
        vault.secrets.add(client, name, Secret(KEY), TWO_HOSTS)
    vault.secrets.add(client, "wide", Secret(KEY), binding("header:X-Wide: {}", host="*.example.com:8443"))
    vault.secrets.add(client, "other", Secret(KEY), binding("query:other", host="other.example.net"))

    at_host = vault.secrets.placements_at("eu.example.com", client.id)
    assert at_host is not None
    assert sorted(place.spec for place in at_host) == ["basic:password", "header:X-Wide: {}"]
    assert vault.secrets.placements_at("nobody.example.net", client.id) is None
    assert vault.secrets.placements_at("eu.example.com", acme.client.id) is None
    tamper("UPDATE secrets SET binding = '{}' WHERE name = 'other'")
    assert vault.secrets.placements_at("other.example.net", client.id) == []


def test_held_at(vault: Vault) -> None:
    """What an agent has the use of at a host: not what others have, nor what it has elsewhere."""
    client, other = vault.clients.add("one"), vault.clients.add("two")
    robot, second = vault.agents.add(client, "robot")[0], vault.agents.add(client, "second")[0]
    stranger = vault.agents.add(other, "robot")[0]
    mine = vault.secrets.add(client, "mine", Secret(KEY), TWO_HOSTS)
    elsewhere = vault.secrets.add(client, "elsewhere", Secret(KEY), binding(host="elsewhere.example"))
    vault.secrets.add(client, "unused", Secret(KEY), TWO_HOSTS)
    theirs = vault.secrets.add(other, "theirs", Secret(KEY), TWO_HOSTS)
    for secret, agent in ((mine, robot), (mine, robot), (elsewhere, robot), (theirs, stranger)):
        token, _ = vault.tokens.issue(secret, agent)
    host = TWO_HOSTS.endpoints[0].origin.host

    assert vault.secrets.held_at(host, robot) == [mine]
    assert vault.secrets.held_at(host, stranger) == [theirs]
    assert vault.secrets.held_at(host, second) == []
    assert vault.secrets.held_at("elsewhere.example", robot) == [elsewhere]
    vault.tokens.revoke(token)
    assert vault.secrets.held_at(host, stranger) == [theirs]
    vault.secrets.remove(client, "mine")
    assert vault.secrets.held_at(host, robot) == []


def test_held_at_any_port(vault: Vault) -> None:
    """A host is the same at all of its ports, also one that a wildcard covers."""
    client = vault.clients.add("one")
    robot = vault.agents.add(client, "robot")[0]
    hosts = ("**.example.com:8443", "example.com", "example.com:1")
    mine = vault.secrets.add(
        client, "mine", Secret(KEY), Binding(tuple(Endpoint.parse(host, ["bearer"]) for host in hosts))
    )
    vault.tokens.issue(mine, robot)

    assert vault.secrets.held_at("example.com", robot) == [mine]
    assert vault.secrets.held_at("a.b.example.com", robot) == [mine]
    assert vault.secrets.held_at("example.org", robot) == []


def test_held_at_follows_changes(vault: Vault, home: Home) -> None:
    """What is remembered of an agent is forgotten with the next change, here or in another process."""
    client = vault.clients.add("one")
    robot = vault.agents.add(client, "robot")[0]
    host = TWO_HOSTS.endpoints[0].origin.host
    assert vault.secrets.held_at(host, robot) == []
    mine = vault.secrets.add(client, "mine", Secret(KEY), TWO_HOSTS)
    vault.tokens.issue(mine, robot)
    assert vault.secrets.held_at(host, robot) == [mine]
    with Vault.open(home) as other:
        also = other.secrets.add(client, "also", Secret(KEY), TWO_HOSTS)
        other.tokens.issue(also, robot)
    assert {stored.name for stored in vault.secrets.held_at(host, robot)} == {"mine", "also"}
    with Vault.open(home) as other:
        other.secrets.remove(client, "mine")
    assert [stored.name for stored in vault.secrets.held_at(host, robot)] == ["also"]


def test_held_at_trusts_the_binding(vault: Vault) -> None:
    """A row in the index alone gives nobody anything, and a touched secret harms no other."""
    client = vault.clients.add("one")
    robot = vault.agents.add(client, "robot")[0]
    good, bad = (vault.secrets.add(client, name, Secret(KEY), TWO_HOSTS) for name in ("good", "bad"))
    for secret in (good, bad):
        vault.tokens.issue(secret, robot)
        vault.write("INSERT INTO secret_hosts (host, port, secret_id) VALUES ('evil.example', 443, ?)", (secret.id,))
    vault.write("UPDATE secrets SET provider = 'other' WHERE id = ?", (bad.id,))

    assert vault.secrets.held_at("evil.example", robot) == []
    assert vault.secrets.held_at(TWO_HOSTS.endpoints[0].origin.host, robot) == [good]
