"""Who speaks HTTP/2 with whom: what is agreed on in the TLS handshake, and with which host."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

import pytest
import trustme

from tests.e2e.http2.conftest import H1HOST, H2HOST, serves
from tests.support.bench import Bench, refusal
from tests.support.h2site import H2Site
from tests.support.h2wire import h2_tunnel
from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.site import Site
from tests.support.upstream import Received, Send


@pytest.mark.parametrize(
    ("offers", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2")]
)
def test_negotiation(bench: Bench, offers: list[str], chosen: str) -> None:
    """HTTP/2 where the agent offers it."""
    with bench.proxy.wire() as wire:
        wire.connect(f"{H2HOST}:443")

        assert wire.start_tls(bench.site.home.ca_cert, H2HOST, offers).selected_alpn_protocol() == chosen


def test_off_by_default(host2: H2Site, folder: Path) -> None:
    """Without the option nobody is offered HTTP/2."""
    site = Site(folder / "http2-off")
    reach = [*host2.connect_to(), "--upstream-ca", str(host2.write_ca(folder / "host2-ca.pem"))]
    with Proxy(site, *reach) as proxy, proxy.wire() as wire:
        wire.connect(f"{H2HOST}:443")

        assert wire.start_tls(site.home.ca_cert, H2HOST, ["h2", "http/1.1"]).selected_alpn_protocol() == "http/1.1"


def test_prior_knowledge(bench: Bench, host2: H2Site) -> None:
    """HTTP/2 that wasn't agreed on is no HTTP."""
    with bench.proxy.tunnel(H2HOST) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

        refusal(wire.answer(), "authority_mismatch")
        refusal(wire.answer(), "request_malformed")
        assert wire.is_closed()
    assert host2.requests == []


def test_upgrade(bench: Bench) -> None:
    """An HTTP/1.1 request that would change to HTTP/2 stays what it is."""
    upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]
    with bench.proxy.tunnel(H1HOST) as wire:
        assert wire.request("GET", "/echo", *upgrade, host=H1HOST).status == 200

    (received,) = bench.upstream.requests
    assert not {"upgrade", "http2-settings", "connection"} & {name.lower() for name, _ in received.headers}


def test_protocol_is_not_switched(bench: Bench) -> None:
    """A host that answers 101 to an HTTP/2 agent is refused."""

    async def switch(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

    bench.upstream.route("GET", "/switch", switch)
    with h2_tunnel(bench.proxy, H1HOST) as wire:
        answer = wire.ask("GET", "/switch", host=H1HOST)

        assert (answer.status, answer.code) == (502, "upstream_malformed")
        serves(bench, wire, H1HOST)


def test_unverified_host(bench: Bench, folder: Path) -> None:
    """Where the host's certificate isn't good, each of the streams that wait for it is told so."""
    site = Site(folder / "unverified")
    site.secret("openai")
    with H2Site(H2HOST) as stranger, Proxy(site, "--http2", *stranger.connect_to()) as proxy:
        token = site.token("openai")
        with h2_tunnel(proxy, H2HOST) as wire:
            streams = [wire.request("GET", "/echo", bearer(token), host=H2HOST) for _ in range(5)]

            assert [wire.answer(stream).code for stream in streams] == ["upstream_untrusted"] * 5
        assert stranger.requests == []


class Chooser:
    """A host that says which protocol was agreed on, and nothing else."""

    def __init__(self, host: str, protocols: list[str]) -> None:
        self.ca, self.chosen = trustme.CA(), list[str | None]()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.set_alpn_protocols(protocols)
        self.ca.issue_cert(host).configure_cert(self._tls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, self._tls.wrap_socket(client, server_side=True) as tls:
                    self.chosen.append(tls.selected_alpn_protocol())


@pytest.mark.parametrize(("headers", "chosen"), [([], "h2"), ([("Upgrade", "websocket")], "http/1.1")])
def test_websocket(folder: Path, tmp_path: Path, headers: list[tuple[str, str]], chosen: str) -> None:
    """A WebSocket's handshake is HTTP/1.1: such a request isn't sent over HTTP/2, all others are."""
    host = "sockets.example.com"
    site = Site(folder / f"sockets-{len(headers)}")
    key = [
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "bm90IGEgc2VjcmV0IGtleQ=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    with Chooser(host, ["h2", "http/1.1"]) as server:
        server.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        reach = ["--connect-to", f"{host}:443:127.0.0.1:{server.port}", "--upstream-ca", str(tmp_path / "ca.pem")]
        with Proxy(site, "--http2", *reach) as proxy, proxy.tunnel(host) as wire:
            answer = wire.request("GET", "/", *headers, *key, host=host)

    assert answer.code == "upstream_unreachable"
    assert server.chosen == [chosen]
