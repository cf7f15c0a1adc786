"""Secrets that are bound to all hosts below a name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import connect_to
from tests.support.bench import Bench
from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.site import Site
from tests.support.upstream import Upstream

HOSTS = ("a.wild.example.com", "b.a.wild.example.com", "exact.wild.example.com", "wild.example.com")
UNTRUSTED = "untrusted.wild.example.com"


@pytest.fixture(scope="module")
def bench(folder: Path) -> Iterator[Bench]:
    """A proxy in its narrowest mode, with a secret bound to one label more than a name, and to a host below it."""
    site = Site(folder / "wildcards")
    site.secret("openai", ("*.wild.example.com", "bearer"), ("exact.wild.example.com", "header:X-Key: {}"))
    with Upstream(*HOSTS) as hosts:
        options = [*hosts.connect_to(), *connect_to(UNTRUSTED, hosts.port)]
        options += ["--upstream-ca", str(hosts.write_ca(folder / "wildcards-ca.pem"))]
        with Proxy(site, *options, "--egress", "bound", "--intercept", "bound") as proxy:
            yield Bench(proxy, hosts)


def test_covered(bench: Bench) -> None:
    """A host below the name gets the credential, whoever else is there; the port is part of what is covered."""
    answer = bench.proxy.get(HOSTS[0], "/v1/models", bearer(bench.token))

    assert answer.status == 200
    received = bench.upstream.requests[-1]
    assert (received.sni, received.authorization) == (HOSTS[0], f"Bearer {bench.key}")
    with bench.proxy.wire() as wire:
        bench.refused(wire.connect(f"{HOSTS[0]}:8443"), "egress_denied")


@pytest.mark.parametrize("host", [HOSTS[1], HOSTS[3], "awild.example.com", "a.wild.example.com.evil.example"])
def test_not_covered(bench: Bench, host: str) -> None:
    """Neither the name itself, nor two labels more, nor what only ends alike."""
    bench.upstream.clear()
    with bench.proxy.wire() as wire:
        bench.refused(wire.connect(f"{host}:443"), "egress_denied")
    bench.untouched()


def test_exact_wins(bench: Bench) -> None:
    """Where a host is named itself, its own placements hold, and not the wildcard's."""
    host = HOSTS[2]

    with bench.proxy.tunnel(host) as wire:
        assert wire.request("GET", "/v1/models", ("X-Key", bench.token), host=host).status == 200
        assert bench.upstream.requests[-1].header("x-key") == bench.key
        bench.refused(wire.request("GET", "/v1/models", bearer(bench.token), host=host), "token_misplaced")


def test_certificate_names_the_host(bench: Bench) -> None:
    """The upstream's certificate is verified for the host of the request, not for a sibling under the wildcard."""
    bench.upstream.clear()

    answer = bench.proxy.get(UNTRUSTED, "/v1/models", bearer(bench.token))

    bench.failed(answer, "upstream_untrusted")
    bench.untouched(opened=1)
