"""Hosts whose connections pass unseen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import Bench
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

    sent = [received.authorization for received in narrow.upstream.requests]
    assert sent == [f"Bearer {key}" for key in (narrow.token, narrow.key, narrow.site.credentials[-1])]


def test_guard_holds_for_tunnels(narrow: Bench) -> None:
    """A tunnel that would pass unseen is refused before it is open."""
    with narrow.proxy.wire() as wire:
        for name in ("localhost", "127.0.0.1"):
            narrow.refused(wire.connect(f"{name}:{narrow.upstream.port}"), "address_blocked")
