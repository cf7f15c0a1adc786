"""WebSockets: a proxy with secrets for their handshakes and messages, and a host that talks."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import connect_to
from tests.support.bench import HOST
from tests.support.proxy import Proxy, wait_for
from tests.support.site import Site
from tests.support.talker import Talker

GATEWAY = "gateway.example.com"
UNBOUND = "unbound.example.com"
PLACES = {
    "ws-header": "header:X-Key: {}",
    "ws-basic": "basic:password",
    "ws-query": "query:key",
    "ws-path": "path:/bot{}/",
    "ws-cookie": "cookie:session",
}


@pytest.fixture(scope="package")
def host() -> Iterator[Talker]:
    """The server that all hosts are."""
    talker = Talker(HOST, GATEWAY, UNBOUND, *(f"{name}.example.com" for name in PLACES))
    with talker.serving():
        yield talker


@pytest.fixture(scope="package")
def proxy(host: Talker, folder: Path) -> Iterator[Proxy]:
    """A proxy with a secret a place."""
    site = Site(folder / "websocket")
    site.secret("openai")
    site.secret("gateway", (GATEWAY, "message:/d/token"))
    for name, place in PLACES.items():
        site.secret(name, (f"{name}.example.com", place))
    (folder / "talker-ca.pem").write_bytes(host.ca.cert_pem.bytes())
    options = [word for name in host.hosts for word in connect_to(name, host.port)]
    with Proxy(site, *options, "--upstream-ca", str(folder / "talker-ca.pem")) as running:
        yield running


class Bench:
    """One test's view: tokens of its own, and the records that it makes."""

    def __init__(self, proxy: Proxy, host: Talker) -> None:
        wait_for(lambda: not proxy.site.owes_outcomes(), "the end of earlier exchanges")
        self.proxy, self.host, self.site = proxy, host, proxy.site
        host.clear()
        self.mark = proxy.mark()
        self.token = self.site.token("openai")
        self.key = self.site.credentials[0]
        self.gateway_token = self.site.token("gateway")
        self.gateway_key = self.site.credentials[1]

    def connect(self, host: str = HOST, path: str = "/v1/realtime", **options: object) -> ClientConnection:
        """Open a WebSocket as a client library does."""
        tls = ssl.create_default_context(cafile=self.site.home.ca_cert)
        # The library reads where there is something to read, and takes it for data. In TLS 1.3 it may be a session's
        # ticket, behind which its thread then waits for as long as nobody says anything, and nobody else may write.
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        return connect(
            f"wss://{host}{path}",
            ssl=tls,
            proxy=f"http://127.0.0.1:{self.proxy.port}",
            user_agent_header=None,
            **options,  # type: ignore[arg-type]
        )

    def with_token(self) -> ClientConnection:
        """A WebSocket that is opened with a token."""
        return self.connect(additional_headers={"Authorization": f"Bearer {self.token}"})

    def records(self, count: int = 2) -> list[dict[str, object]]:
        """What was recorded."""
        return self.proxy.records(self.mark, count)


@pytest.fixture
def bench(proxy: Proxy, host: Talker) -> Bench:
    return Bench(proxy, host)
