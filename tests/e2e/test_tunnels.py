"""Hosts whose connections pass unseen."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import Bench, refusal
from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.upstream import Upstream


@pytest.fixture
def hosts_ca(hosts: Upstream, folder: Path) -> Path:
    """What the hosts' own certificates hang from."""
    return hosts.write_ca(folder / "own-ca.pem")


def test_tunnelled(bench: Bench, hosts_ca: Path) -> None:
    """The client sees the certificate of the host, and the host what the client sent."""
    with bench.proxy.tunnel("tunnelled.example.com", ca=hosts_ca) as wire:
        answer = wire.request("GET", "/echo", bearer(bench.token), ("Range", "any"), host="tunnelled.example.com")

    assert answer.status == 200
    headers = [("Host", "tunnelled.example.com"), bearer(bench.token), ("Range", "any")]
    assert bench.upstream.requests[0].headers == headers
    assert bench.intents() == []


def test_bound_host_is_intercepted_all_the_same(bench: Bench) -> None:
    """`--tunnel` doesn't hold for a host that a secret is bound to: the shared proxy has the option for it."""
    bench.serves()

    assert bench.upstream.requests[0].authorization == f"Bearer {bench.key}"


def test_tunnel_is_not_told_from_another(bench: Bench, hosts_ca: Path) -> None:
    """A tunnel may carry what isn't HTTP, and closes with either side."""
    with bench.proxy.tunnel("tunnelled.example.com", ca=hosts_ca) as wire:
        wire.send(b"\x00 not HTTP\r\n\r\n")

        assert wire.answer().status == 400
        assert wire.is_closed()

    assert bench.upstream.malformed == [b"\x00 not HTTP\r\n\r\n"]


@pytest.fixture(scope="module")
def narrow(hosts: Upstream, reach: list[str], folder: Path) -> Iterator[Bench]:
    """A proxy that intercepts bound hosts only."""
    with Proxy(bound_site(folder / "intercept-bound"), *reach, "--intercept", "bound") as proxy:
        yield Bench(proxy, hosts)


def test_intercept_bound(narrow: Bench, hosts_ca: Path) -> None:
    """With `--intercept bound` all others are tunnelled, until a secret is bound to them."""
    host = "unbound.example.com"

    with narrow.proxy.tunnel(host, ca=hosts_ca) as wire:
        assert wire.request("GET", "/v1/models", bearer(narrow.token), host=host).status == 200
    narrow.serves()
    narrow.site.secret("late", (host, "bearer"))
    token = narrow.site.token("late")
    with narrow.proxy.tunnel(host) as wire:
        assert wire.request("GET", "/v1/models", bearer(token), host=host).status == 200
    with narrow.site.vault() as vault:
        vault.secrets.remove(vault.clients.get("default"), "late")

    sent = [received.authorization for received in narrow.upstream.requests]
    assert sent == [f"Bearer {key}" for key in (narrow.token, narrow.key, narrow.site.credentials[-1])]


@pytest.mark.parametrize("bound", ["unbound.example.com", "*.example.com"])
def test_a_later_secret_closes_tunnels(narrow: Bench, hosts_ca: Path, bound: str) -> None:
    """A tunnel that is open when a secret is bound to its host is closed; the next one is looked into."""
    name, host = f"closing-{narrow.mark}", "unbound.example.com"
    with narrow.proxy.tunnel(host, ca=hosts_ca) as wire:
        assert wire.request("GET", "/v1/models", host=host).status == 200
        narrow.site.secret(name, (bound, "bearer"))

        assert wire.is_closed()

    token = narrow.site.token(name)
    with narrow.proxy.tunnel(host) as wire:
        assert wire.request("GET", "/v1/models", bearer(token), host=host).status == 200
    with narrow.site.vault() as vault:
        vault.secrets.remove(vault.clients.get("default"), name)


def test_another_port_of_a_bound_host(narrow: Bench) -> None:
    """It isn't passed unseen either: what a host knows from one port, it may tell at another."""
    name, host = f"port-{narrow.mark}", "unbound.example.com"
    narrow.site.secret(name, (f"{host}:8443", "bearer"))
    token = narrow.site.token(name)
    with narrow.proxy.tunnel(host) as wire:
        assert wire.request("GET", "/v1/models", host=host).status == 200
        refusal(wire.request("GET", "/v1/models", bearer(token), host=host), "host_not_allowed")
    with narrow.site.vault() as vault:
        vault.secrets.remove(vault.clients.get("default"), name)


def test_other_tunnels_stay(narrow: Bench, hosts_ca: Path) -> None:
    """A change of the vault that is no concern of a tunnel leaves it open, also when the watch has closed another."""
    name, host, other = f"beside-{narrow.mark}", "unbound.example.com", "tunnelled.example.com"
    with narrow.proxy.tunnel(host, ca=hosts_ca) as wire, narrow.proxy.tunnel(other, ca=hosts_ca) as beside:
        assert beside.request("GET", "/v1/models", host=other).status == 200
        narrow.site.secret(name, (host, "bearer"))
        assert wire.is_closed()

        assert beside.request("GET", "/v1/models", host=other).status == 200
    with narrow.site.vault() as vault:
        vault.secrets.remove(vault.clients.get("default"), name)


def test_disabled_agent_loses_tunnels(narrow: Bench, hosts_ca: Path) -> None:
    """Disabling an agent ends what passes unseen as well."""
    name, host = f"disabled-{narrow.mark}", "tunnelled.example.com"
    user = narrow.site.agent(name)

    with narrow.proxy.tunnel(host, user=user, ca=hosts_ca) as wire:
        assert wire.request("GET", "/v1/models", host=host).status == 200
        with narrow.site.vault() as vault:
            vault.agents.set_enabled(vault.clients.get("default"), name, False)

        assert wire.is_closed()


def test_unreadable_vault_closes_tunnels(narrow: Bench, hosts_ca: Path) -> None:
    """Where nobody would get a tunnel any more, as the vault can't be trusted, none stays open."""
    host = "tunnelled.example.com"

    def set_epoch(value: bytes) -> bytes:
        with sqlite3.connect(narrow.site.home.vault) as db:
            (before,) = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
            db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (value,))
        db.close()
        return bytes(before)

    with narrow.proxy.tunnel(host, ca=hosts_ca) as wire:
        assert wire.request("GET", "/v1/models", host=host).status == 200
        epoch = set_epoch(b"damaged")
        try:
            assert wire.is_closed()
        finally:
            set_epoch(epoch)
    narrow.serves()


def test_guard_holds_for_tunnels(narrow: Bench) -> None:
    """A tunnel that would pass unseen is refused before it is open."""
    with narrow.proxy.wire() as wire:
        for name in ("localhost", "127.0.0.1"):
            narrow.refused(wire.connect(f"{name}:{narrow.upstream.port}"), "address_blocked")
