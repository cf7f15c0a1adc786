"""HTTP/2, with agents and with hosts: a proxy that speaks it, and a host for either version."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bench import Bench
from tests.support.h2site import H2Site
from tests.support.h2wire import H2Wire, h2_tunnel
from tests.support.proxy import Proxy
from tests.support.raw import Answer, bearer
from tests.support.site import Site
from tests.support.upstream import Upstream

H2HOST = "api.openai.com"
H1HOST = "eu.api.openai.com"
HOSTS = (H1HOST, H2HOST)


@pytest.fixture(scope="module")
def host1() -> Iterator[Upstream]:
    """A host that speaks HTTP/1.1."""
    with Upstream(H1HOST) as server:
        yield server


@pytest.fixture(scope="module")
def host2() -> Iterator[H2Site]:
    """A host that speaks HTTP/2."""
    with H2Site(H2HOST) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(host1: Upstream, host2: H2Site, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that speaks HTTP/2."""
    site = Site(tmp_path_factory.mktemp("http2") / "home")
    site.secret("openai")
    reach = [*host1.connect_to(), "--upstream-ca", str(host1.write_ca(folder / "host1-ca.pem"))]
    reach += [*host2.connect_to(), "--upstream-ca", str(host2.write_ca(folder / "host2-ca.pem"))]
    with Proxy(site, "--http2", *reach) as running:
        yield running


@pytest.fixture
def bench(proxy: Proxy, host1: Upstream, host2: H2Site) -> Bench:
    """That proxy, seen from one test."""
    bench = Bench(proxy, host1)
    host2.clear()
    return bench


def ask(bench: Bench, agent: str, host: str, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
    """A request over a connection of its own, by an agent that speaks `agent`."""
    if agent == "h1":
        with bench.proxy.tunnel(host) as wire:
            return wire.request(method, path, bearer(bench.token), host=host, body=body)
    with h2_tunnel(bench.proxy, host) as wire2:
        return wire2.ask(method, path, bearer(bench.token), host=host, body=body)


def serves(bench: Bench, wire: H2Wire, host: str) -> None:
    """Assert that the connection is good."""
    assert wire.ask("GET", "/echo", bearer(bench.token), host=host).status == 200
