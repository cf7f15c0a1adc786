"""How long a client or a host may take."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon.handshake import accept_of
from tests.e2e.conftest import bound_site, connect_to
from tests.e2e.overload.conftest import FULL, HELLO, IDLE, MODELS, SILENT, after_a_request, in_tls, in_tunnel
from tests.support import hasty
from tests.support.bench import HOST, Bench
from tests.support.proxy import PATIENCE, Proxy, wait_for
from tests.support.raw import Wire, bearer
from tests.support.upstream import Received, Send, Upstream

# Deadlines are waited for.
pytestmark = pytest.mark.slow
#: A text, as a WebSocket's server sends it.
FRAME = b"\x81\x02hi"

UNFINISHED: dict[str, tuple[Callable[[Bench, Wire], object], bytes]] = {
    "nothing": (lambda _bench, _wire: None, b""),
    "connect": (lambda _bench, _wire: None, b"CONNECT a.example.com:443 HTTP/1.1\r\nX: "),
    "no handshake": (lambda _bench, wire: in_tunnel(wire), b""),
    "handshake": (lambda _bench, wire: in_tunnel(wire), HELLO),
    "request": (in_tls, b"GET /v1/models HTTP/1.1\r\nX: "),
    "second request": (after_a_request, b"GET /v1/models HTTP/1.1\r\nX: "),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_head_that_does_not_end(bench: Bench, name: str) -> None:
    """A head or a handshake has to be there in time, and a byte now and then doesn't prolong it."""
    begin, data = UNFINISHED[name]

    with bench.proxy.wire() as wire:
        begin(bench, wire)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in itertools.chain(data, itertools.repeat(ord("x"), 40) if data else ()):
                wire.send(bytes([byte]))
                if time.monotonic() - began < 2 * hasty.HEAD:
                    time.sleep(0.1)
        assert wire.is_closed()

    bench.serves()


def test_idle_connection(impatient: Bench) -> None:
    """Between requests a connection stays for longer than a head may take, but not for ever."""
    with impatient.proxy.wire() as wire:
        after_a_request(impatient, wire)
        time.sleep(hasty.HEAD + 1.2)
        impatient.serves(wire)
        assert wire.is_closed()


def test_what_takes_long_is_left_alone(impatient: Bench, hosts: Upstream) -> None:
    """A silent answer, a slow upload, a WebSocket and a tunnel that passes unseen live as long as they need."""
    patience = IDLE + hasty.HEAD + 1.5

    async def handler(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 7\r\n\r\n")
        assert await asyncio.to_thread(go_on.wait, 60)
        await send(b"at last")

    async def web_socket(received: Received, send: Send) -> None:
        accept = accept_of(received.header("sec-websocket-key") or "")
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        await send("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
        assert await asyncio.to_thread(go_on.wait, 60)
        await send(FRAME)

    go_on = threading.Event()
    hosts.route("GET", "/silent", handler)
    hosts.route("GET", "/web-socket", web_socket)
    host = "unbound.example.com"
    with (
        impatient.proxy.wire() as silent,
        impatient.proxy.wire() as upload,
        impatient.proxy.wire() as raw,
        impatient.proxy.tunnel(host) as frames,
    ):
        key = ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
        upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), key]
        frames.send_head("GET", "/web-socket", *upgrade, host=host)
        assert frames._socket.recv(1000).startswith(b"HTTP/1.1 101 ")
        in_tls(impatient, silent).send_head("GET", "/silent", bearer(impatient.token), host=HOST)
        in_tls(impatient, upload).send_head(
            "POST", "/echo", bearer(impatient.token), ("Content-Length", "20"), host=HOST
        )
        in_tunnel(raw, "tunnelled.example.com")
        for _ in range(20):
            upload.send(b"x")
            time.sleep(patience / 20)
        go_on.set()

        assert frames._socket.recv(100) == FRAME
        assert silent.answer().body == b"at last"
        assert upload.answer("POST").status == 200
        raw.start_tls(hosts.write_ca(impatient.site.home.root.parent / "raw-ca.pem"), "tunnelled.example.com")
        assert raw.request("GET", MODELS, host="tunnelled.example.com").status == 200


@pytest.mark.parametrize("host", [SILENT, FULL])
def test_host_that_does_not_answer(bench: Bench, host: str) -> None:
    """A host that takes no connection, or never speaks TLS, is given up, and the client told."""
    token = bench.site.token("bad")

    with bench.proxy.tunnel(host) as wire:
        answers = [wire.request("GET", MODELS, bearer(token), host=host) for _ in range(2)]

    for answer in answers:
        bench.failed(answer, "upstream_unreachable")


def test_lookup_does_not_delay_the_end(reach: list[str], hosts: Upstream, tmp_path: Path) -> None:
    """A name server that never answers keeps neither other requests nor the end of the proxy waiting."""
    site = bound_site(tmp_path / "home")
    with Proxy(site, *reach, "--intercept", "bound", module="tests.support.hasty") as proxy:
        bench = Bench(proxy, hosts)
        wires = [proxy.wire() for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send_head("CONNECT", f"a{number}.silent.example.com:443")

        # The first that has an answer is one too many.
        assert wires[-1].answer().code == "overloaded"
        bench.serves()
        assert proxy.stop() == 0
        for wire in wires:
            wire.close()


def test_graceful_end(bench: Bench, hosts: Upstream, reach: list[str], silent_port: int, tmp_path: Path) -> None:
    """Asked to end, the proxy lets a running exchange end, whatever else is open."""

    async def handler(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst\n")
        assert await asyncio.to_thread(go_on.wait, 60)
        await send(b"end")

    go_on = threading.Event()
    hosts.route("GET", "/final", handler)
    site = bound_site(tmp_path / "home")
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(Proxy(site, *reach, *connect_to(SILENT, silent_port)))
        left = [stack.enter_context(proxy.wire()) for _ in range(200)]
        for number, wire in enumerate(left):
            wire.send(b"CONNECT " if number % 2 else b"CONNECT a.example.com:443 HTTP/1.1\r\n\r\n" + HELLO)
        wire = stack.enter_context(proxy.tunnel(HOST))
        wire.send_head("GET", "/final", bearer(site.token("openai")), host=HOST)
        assert (wire.answer_head().status, wire.piece()) == (200, b"first\n")

        assert proxy.process is not None
        proxy.process.terminate()
        wait_for(lambda: "waiting for 1 requests to end" in proxy.log)
        go_on.set()

        assert wire.piece() == b"end"
        assert proxy.process.wait(PATIENCE) == 0
