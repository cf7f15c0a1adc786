"""One proxy with one set of hosts for all tests that need no other options."""

import datetime
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.bench import HOST, Bench
from tests.support.proxy import Proxy
from tests.support.site import Site
from tests.support.upstream import Upstream

HOSTS = (HOST, "api.anthropic.com", "github.com", "unbound.example.com", "tunnelled.example.com", "places.example.com")


class ExpiredCA(trustme.CA):
    """Issues certificates that were good until yesterday."""

    def issue_cert(self, *identities: str, **options: Any) -> trustme.LeafCert:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        return super().issue_cert(*identities, not_before=now - 2 * day, not_after=now - day, **options)


def connect_to(host: str, port: int) -> list[str]:
    """The option that sends connections for a host to a port of this machine."""
    return ["--connect-to", f"{host}:443:127.0.0.1:{port}"]


def bound_site(root: Path) -> Site:
    """A home with a secret a host."""
    site = Site(root)
    for name in ("openai", "anthropic", "github"):
        site.secret(name)
    for name, place in (("in-query", "query:key"), ("in-path", "path:/bot{}"), ("in-cookie", "cookie:session")):
        site.secret(name, ("places.example.com", place))
    for name, place in (("in-form", "form:client_secret"), ("in-json", "json:/auth/secret")):
        site.secret(name, ("places.example.com", place))
    return site


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the proxies' homes are."""
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def hosts() -> Iterator[Upstream]:
    """The server that all good hosts are."""
    with Upstream(*HOSTS) as server:
        yield server


@pytest.fixture(scope="session")
def reach(hosts: Upstream, folder: Path) -> list[str]:
    """The options that let a proxy reach the good hosts."""
    return [*hosts.connect_to(), "--upstream-ca", str(hosts.write_ca(folder / "hosts-ca.pem"))]


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="session")
def proxy(reach: list[str], folder: Path, hosts: Upstream, closed_port: int) -> Iterator[Proxy]:
    """A proxy with the usual options; a secret `bad` is bound to hosts with which something is wrong."""
    site = bound_site(folder / "home")
    expired = ExpiredCA()
    expired.cert_pem.write_to_path(str(folder / "expired-ca.pem"))
    with ExitStack() as stack:
        bad = {
            "unknown-ca.example.com": stack.enter_context(Upstream("unknown-ca.example.com")).port,
            "wrong-name.example.com": hosts.port,
            "expired.example.com": stack.enter_context(Upstream("expired.example.com", ca=expired)).port,
            "closed.example.com": closed_port,
        }
        site.secret("bad", *((host, "bearer") for host in bad))
        options = [word for host, port in bad.items() for word in connect_to(host, port)]
        options += ["--upstream-ca", str(folder / "expired-ca.pem"), "--deny-host", "**.denied.example.com"]
        options += ["--tunnel", "tunnelled.example.com", "--tunnel", HOST]
        yield stack.enter_context(Proxy(site, *reach, *options))


@pytest.fixture
def bench(proxy: Proxy, hosts: Upstream) -> Bench:
    """The shared proxy, seen from one test."""
    return Bench(proxy, hosts)
