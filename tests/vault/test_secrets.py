"""Secrets: real credentials, sealed with what they are bound to."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from seks_addon.binding import Binding, Endpoint
from seks_addon.destination.host import Origin
from seks_addon.errors import ExistsError, InputError, NotFoundError, VaultError
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from tests.samples import HOST, KEY, OTHER_KEY, binding
from tests.vault.conftest import Tamper, Tenant

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


@pytest.mark.parametrize(
    ("origin", "bound"),
    [
        (Origin(HOST, 443), True),
        (Origin(HOST, 8443), False),
        (Origin("eu.example.com", 8443), True),
        (Origin("eu.example.com", 443), False),
        (Origin("example.com", 443), False),
        (Origin(f"x.{HOST}", 443), False),
    ],
)
def test_bound_to(vault: Vault, origin: Origin, bound: bool) -> None:
    """It is known at which hosts any client's secret may be used, until the last of them is gone."""
    client, other = vault.clients.add("one"), vault.clients.add("two")
    vault.secrets.add(client, "a", Secret(KEY), TWO_HOSTS)
    vault.secrets.add(other, "a", Secret(KEY), TWO_HOSTS)

    assert vault.secrets.bound_to(origin) is bound
    vault.secrets.remove(client, "a")
    assert vault.secrets.bound_to(origin) is bound
    vault.clients.remove("two")
    assert not vault.secrets.bound_to(origin)


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
    vault.connection.set_trace_callback(None)

    for query in (sql for sql in asked if "secret_hosts" in sql):
        (plan,) = vault.rows(f"EXPLAIN QUERY PLAN {query}")
        assert plan["detail"] == "SEARCH secret_hosts USING PRIMARY KEY (host=? AND port=?)"
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
