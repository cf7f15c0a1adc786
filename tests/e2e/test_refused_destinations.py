"""Where agents may not go: addresses of this machine and its network, and what the egress policy excludes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench
from tests.support.proxy import Proxy
from tests.support.raw import Answer, Wire, bearer
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def private(hosts: Upstream, folder: Path) -> Iterator[Bench]:
    """A proxy that may connect to this machine."""
    options = ["--allow-private", "127.0.0.0/8", "--upstream-ca", str(hosts.write_ca(folder / "private-ca.pem"))]
    with Proxy(bound_site(folder / "private"), *options) as proxy:
        yield Bench(proxy, hosts)


@pytest.mark.parametrize(("host", "server_name"), [("127.0.0.1", None), ("localhost", "localhost")])
def test_allowed_address(private: Bench, host: str, server_name: str | None) -> None:
    """An exception opens an address, whose certificate is verified as any other, for the address or the name."""
    where = f"{host}:{private.upstream.port}"

    with private.proxy.tunnel(where, server_name=server_name) as wire:
        answer = wire.request("GET", "/v1/models", host=where)

    assert answer.status == 200
    assert private.upstream.requests[-1].sni == server_name


def test_the_proxy_itself(private: Bench) -> None:
    """No exception opens its own port, and none is offered."""
    with private.proxy.wire() as wire:
        answer = wire.connect(f"127.0.0.1:{private.proxy.port}")

    assert answer.status == 403
    assert "--allow-private" not in answer.text()
    private.refused(answer, "address_blocked")


@pytest.fixture(scope="module", params=["bound", "list"])
def narrow(request: pytest.FixtureRequest, hosts: Upstream, reach: list[str], folder: Path) -> Iterator[Bench]:
    """A proxy with an egress policy."""
    allowed = {
        "bound": ["--allow-host", "tunnelled.example.com"],
        "list": ["--allow-host", "tunnelled.example.com", "--allow-host", "**.openai.com"],
    }[request.param]
    options = ["--egress", request.param, *allowed, "--deny-host", "github.com"]
    with Proxy(bound_site(folder / f"egress-{request.param}"), *reach, *options) as proxy:
        yield Bench(proxy, hosts)


def connect(wire: Wire, host: str) -> Answer:
    """Ask for a tunnel."""
    return wire.connect(f"{host}:443")


def plain(wire: Wire, host: str) -> Answer:
    """Ask in clear."""
    wire.send_head("GET", f"http://{host}/", host=host)
    return wire.answer()


@pytest.mark.parametrize("ask", [connect, plain])
def test_egress(narrow: Bench, ask) -> None:  # type: ignore[no-untyped-def]
    """Bound and allowed hosts are reached, others are not, and a denial wins over all."""
    narrow.upstream.clear()
    with narrow.proxy.wire() as wire:
        for host in ("unbound.example.com", "github.com"):
            record = narrow.refused(ask(wire, host), "egress_denied")
            assert record["host"] == host
        narrow.untouched()

    for host in (HOST, "tunnelled.example.com"):
        assert narrow.proxy.get(host, "/v1/models").status == 200
    narrow.serves()


@pytest.mark.parametrize("narrow", ["bound"], indirect=True)
def test_removed_secret_closes_egress(narrow: Bench) -> None:
    """With the mode `bound`, a host is reached as long as a secret is bound to it."""
    narrow.site.secret("brief", ("unbound.example.com", "bearer"))
    token = narrow.site.token("brief")

    with narrow.proxy.wire() as before:
        assert before.connect("unbound.example.com:443").status == 200
        before.start_tls(narrow.site.home.ca_cert, "unbound.example.com")
        assert before.request("GET", "/v1/models", bearer(token), host="unbound.example.com").status == 200
        with narrow.site.vault() as vault:
            vault.secrets.remove(vault.clients.get("default"), "brief")
        narrow.refused(before.request("GET", "/v1/models", host="unbound.example.com"), "egress_denied")
        with narrow.proxy.wire() as wire:
            narrow.refused(wire.connect("unbound.example.com:443"), "egress_denied")
