"""Clients and hosts that keep the proxy waiting, or ask for more than it has: others are served."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from seks_addon.handshake import accept_of
from tests.e2e.conftest import bound_site, connect_to
from tests.support import hasty
from tests.support.bench import HOST, Bench, refusal
from tests.support.proxy import PATIENCE, Proxy, wait_for
from tests.support.raw import TIMEOUT, Answer, ClosedError, Wire, bearer
from tests.support.upstream import Received, Send, Upstream

# Deadlines are waited for.
pytestmark = pytest.mark.slow

MIB = 1 << 20
MODELS = "/v1/models"
IDLE = 4.0
#: The first bytes of a ClientHello.
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
#: A text, as a WebSocket's server sends it.
FRAME = b"\x81\x02hi"
SILENT, FULL, DEAF = "silent-tls.example.com", "full.example.com", "deaf.example.com"
TALKATIVE, LONG = "talkative.example.com", 32 * MIB


@pytest.fixture(scope="module")
def silent_port() -> Iterator[int]:
    """A port at which connections are taken, and nothing is ever read or said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def full_port() -> Iterator[int]:
    """A port that answers no SYN: whoever listens there has no room."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def deaf_port(hosts: Upstream) -> Iterator[int]:
    """A port at which TLS is spoken, and nothing is read after that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hosts.ca.issue_cert(DEAF).configure_cert(context)
    held: list[socket.socket] = []

    def shake_hands() -> None:
        with contextlib.suppress(OSError):
            held.append(context.wrap_socket(listener.accept()[0], server_side=True))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in held:
        connection.close()


@pytest.fixture(scope="module")
def talkative_port() -> Iterator[int]:
    """A port at which nothing is read before all that is said there has been taken."""

    def talk() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), connection:
            connection.sendall(b"x" * LONG)
            while connection.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=talk, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def hasty_proxy(
    reach: list[str], folder: Path, silent_port: int, full_port: int, deaf_port: int, talkative_port: int
) -> Iterator[Proxy]:
    """A proxy whose deadlines are seconds."""
    site = bound_site(folder / "hasty")
    site.secret("bad", (SILENT, "bearer"), (FULL, "bearer"))
    bad = [*connect_to(SILENT, silent_port), *connect_to(FULL, full_port), *connect_to(DEAF, deaf_port)]
    bad += connect_to(TALKATIVE, talkative_port)
    options = [*reach, *bad, "--tunnel", "tunnelled.example.com", "--tunnel", TALKATIVE]
    with Proxy(site, *options, module="tests.support.hasty") as proxy:
        yield proxy


@pytest.fixture
def bench(hasty_proxy: Proxy, hosts: Upstream) -> Bench:
    """That proxy, seen from one test."""
    return Bench(hasty_proxy, hosts)


# Deadlines.


def in_tunnel(wire: Wire, host: str = HOST) -> Wire:
    """Have a tunnel on it."""
    assert wire.connect(f"{host}:443").status == 200
    return wire


def in_tls(bench: Bench, wire: Wire) -> Wire:
    """Have a tunnel with TLS on it."""
    in_tunnel(wire).start_tls(bench.site.home.ca_cert, HOST)
    return wire


def after_a_request(bench: Bench, wire: Wire) -> Wire:
    """Have a tunnel with TLS on it, and be served."""
    bench.serves(in_tls(bench, wire))
    return wire


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


@pytest.fixture
def impatient(reach: list[str], hosts: Upstream, tmp_path: Path) -> Iterator[Bench]:
    """A proxy that waits a few seconds for the next request too."""
    options = [*reach, "--tunnel", "tunnelled.example.com"]
    env = {hasty.VARIABLE: str(IDLE)}
    with Proxy(bound_site(tmp_path / "home"), *options, module="tests.support.hasty", env=env) as proxy:
        yield Bench(proxy, hosts)


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


# Connections.


@pytest.fixture
def narrow(reach: list[str], hosts: Upstream, tmp_path: Path) -> Iterator[Bench]:
    """A proxy with room for 12 connections, 5 of one agent."""
    site = bound_site(tmp_path / "home")
    few = ["--max-connections", "12", "--max-connections-per-agent", "5"]
    with Proxy(site, *reach, *few, "--tunnel", "tunnelled.example.com", module="tests.support.hasty") as proxy:
        yield Bench(proxy, hosts)


def fill(stack: contextlib.ExitStack, bench: Bench, user: str | None, count: int) -> list[Wire]:
    """Open tunnels that carry nothing."""
    wires = [stack.enter_context(bench.proxy.wire()) for _ in range(count)]
    for wire in wires:
        assert wire.connect("tunnelled.example.com:443", user).status == 200
    return wires


def test_connections_of_an_agent(narrow: Bench) -> None:
    """An agent that has as many as it may have is told so; others aren't, and it may again when one has ended."""
    other = narrow.site.agent("other")

    with contextlib.ExitStack() as stack:
        first, *_ = fill(stack, narrow, None, 5)
        with narrow.proxy.wire() as wire:
            refusal = wire.connect(f"{HOST}:443")
            narrow.refused(refusal, "overloaded")
            assert refusal.header("retry-after")
            assert wire.connect(f"{HOST}:443", other).status == 200
        first.close()
        wait_for(lambda: served(narrow), "room for another")


def served(bench: Bench) -> bool:
    """Whether a request gets through."""
    with bench.proxy.wire() as wire:
        if wire.connect(f"{HOST}:443").status != 200:
            return False
        wire.start_tls(bench.site.home.ca_cert, HOST)
        bench.serves(wire)
        return True


def test_connections_in_all(narrow: Bench) -> None:
    """Where all connections are agents', one more is told on the spot, in the interface's words."""
    users = [narrow.site.agent(f"agent-{number}") for number in range(3)]

    with contextlib.ExitStack() as stack:
        tunnels = [
            wire for user, count in zip(users, (5, 5, 2), strict=True) for wire in fill(stack, narrow, user, count)
        ]
        for _ in range(3):
            with narrow.proxy.wire() as wire:
                answer = wire.connect(f"{HOST}:443")
                refusal(answer, "overloaded")
                assert answer.closes
                assert wire.is_closed()
        for wire in tunnels:
            wire.close()
        wait_for(lambda: served_at_all(narrow), "room for another")


def served_at_all(bench: Bench) -> bool:
    with contextlib.suppress(ClosedError):
        return served(bench)
    return False


def test_connections_left_open(narrow: Bench) -> None:
    """Of those that say nothing the oldest makes room for a new one, and is told."""
    with contextlib.ExitStack() as stack:
        left = [stack.enter_context(narrow.proxy.wire()) for _ in range(30)]
        narrow.serves()

        refusal(left[0].answer(), "overloaded")
        assert left[0].is_closed()


def aborted(wire: Wire) -> None:
    """Close with a reset."""
    wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def test_room_is_given_back(narrow: Bench) -> None:
    """However a connection ends, its room and its descriptors are free again."""
    process = psutil.Process(narrow.proxy.pid)
    before = process.num_fds()
    steps: list[Callable[[Wire], object]] = [
        lambda _: None,
        lambda wire: wire.send(b"CONN"),
        lambda wire: wire.send(b"nonsense\r\n\r\n"),
        lambda wire: wire.send_head("CONNECT", f"{HOST}:443"),
        lambda wire: wire.connect("10.0.0.1:443"),
        lambda wire: (wire.connect(f"{HOST}:443"), wire.send(HELLO)),
        lambda wire: (wire.connect(f"{HOST}:443"), wire.send(b"nonsense" * 10)),
        lambda wire: in_tls(narrow, wire),
        lambda wire: in_tls(narrow, wire).send_head("GET", "/drip", bearer(narrow.token), host=HOST),
        lambda wire: in_tls(narrow, wire).send_head("POST", "/echo", ("Content-Length", "9"), host=HOST),
    ]

    for number, step in enumerate(steps * 30):
        wire = narrow.proxy.wire()
        with contextlib.suppress(ClosedError, AssertionError, OSError):
            step(wire)
        (wire.close if number % 2 else lambda wire=wire: aborted(wire))()  # type: ignore[misc]
    wait_for(lambda: served_at_all(narrow), "room for another")
    wait_for(lambda: process.num_fds() <= before, "the end of all connections")

    with contextlib.ExitStack() as stack:
        fill(stack, narrow, None, 5)


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


# Host names.


def test_new_names(bench: Bench) -> None:
    """Each new name costs a certificate: one agent may ask for so many, and others aren't concerned."""
    user, other = bench.site.agent("names"), bench.site.agent("other-names")

    def connect(name: str, user: str) -> Answer:
        with bench.proxy.wire() as wire:
            return wire.connect(f"{name}:443", user)

    answers = [connect(f"n{number}.example.com", user) for number in range(150)]
    refused = [answer for answer in answers if answer.status != 200]

    assert all(answer.status == 200 for answer in answers[:60])
    assert refused
    bench.refused(refused[0], "overloaded")
    assert refused[0].header("retry-after") == "1"
    assert connect("n0.example.com", user).status == 200
    assert connect("new.example.com", other).status == 200
    wait_for(lambda: connect("another.example.com", user).status == 200, "the next new name")


def test_new_names_in_handshakes(bench: Bench) -> None:
    """A server name that isn't the tunnel's costs one too."""
    user = bench.site.agent("server-names")

    def shake_hands(name: str) -> bool:
        with contextlib.suppress(OSError), bench.proxy.tunnel(HOST, user=user, server_name=name):
            return True
        return False

    done = [shake_hands(f"s{number}.example.com") for number in range(200)]

    assert done[0]
    assert not all(done)
    assert shake_hands(HOST)


# Memory.


def offer(wire: Wire, size: int, patience: float = 2.0) -> int:
    """Send up to `size` bytes until nobody takes them any more; gives how many were sent."""
    sent, piece = 0, b"x" * MIB
    wire._socket.settimeout(patience)
    with contextlib.suppress(OSError):
        while sent < size:
            wire.send(piece)
            sent += len(piece)
    return sent


@pytest.mark.slow
@pytest.mark.parametrize("host", [SILENT, FULL, "a.silent.example.com"])
def test_upload_to_a_host_that_does_not_answer(bench: Bench, host: str) -> None:
    """What can't be passed on isn't read."""
    process = psutil.Process(bench.proxy.pid)
    before = process.memory_info().rss

    with bench.proxy.tunnel(host) as wire:
        wire.send_head("POST", "/", ("Content-Length", str(512 * MIB)), host=host)
        peak = watch(process, lambda: offer(wire, 512 * MIB, 1.0))

    print(f"grew by {(peak - before) / MIB:.0f} MiB")
    assert peak - before < 64 * MIB


def watch(process: psutil.Process, work: Callable[[], object]) -> int:
    """Do it, and give the most memory that a process had in the meantime."""
    peak, over = process.memory_info().rss, threading.Event()
    worker = threading.Thread(target=lambda: (work(), over.set()))
    worker.start()
    while not over.wait(0.01):
        peak = max(peak, process.memory_info().rss)
    worker.join()
    return peak


@pytest.mark.slow
def test_host_that_does_not_read(bench: Bench) -> None:
    """An upload is read no faster than the host reads it."""
    sent: list[int] = []
    process = psutil.Process(bench.proxy.pid)
    before = process.memory_info().rss

    with bench.proxy.tunnel(DEAF) as wire:
        wire.send_head("POST", "/unread", ("Content-Length", str(512 * MIB)), host=DEAF)
        peak = watch(process, lambda: sent.append(offer(wire, 512 * MIB)))

    print(f"took {sent[0] / MIB:.0f} MiB, grew by {(peak - before) / MIB:.0f} MiB")
    assert sent[0] < 512 * MIB
    assert peak - before < 64 * MIB


def test_both_at_once(bench: Bench) -> None:
    """A host that reads nothing before it has said all isn't stopped by what it hasn't read."""
    with bench.proxy.wire() as wire:
        in_tunnel(wire, TALKATIVE)
        upload = threading.Thread(target=offer, args=(wire, LONG, TIMEOUT))
        upload.start()

        taken = 0
        while taken < LONG and (data := wire.receive()):
            taken += len(data)
        upload.join()

    assert taken == LONG


@pytest.mark.slow
def test_client_that_reads_nothing(bench: Bench, hosts: Upstream) -> None:
    """An answer is read no faster than the client reads it."""
    sent = 0

    async def handler(_received: Received, send: Send) -> None:
        nonlocal sent
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (512 * MIB))
        for _ in range(512):
            await send(b"x" * MIB)
            sent += MIB

    hosts.route("GET", "/endless", handler)
    process = psutil.Process(bench.proxy.pid)
    before = process.memory_info().rss

    with bench.proxy.wire() as wire:
        in_tls(bench, wire).send_head("GET", "/endless", bearer(bench.token), host=HOST)
        wait_for(lambda: sent)
        peak = watch(process, lambda: time.sleep(3))
        assert sent < 512 * MIB

    print(f"grew by {(peak - before) / MIB:.0f} MiB")
    assert peak - before < 64 * MIB


# Floods.


def flood_of_connections(bench: Bench, stack: contextlib.ExitStack) -> Iterator[None]:
    """2,000 connections, left open."""
    for _ in range(2000):
        stack.enter_context(bench.proxy.wire())
        yield


def flood_of_handshakes(bench: Bench, stack: contextlib.ExitStack) -> Iterator[None]:
    """500 handshakes, left half-way."""
    for _ in range(500):
        wire = stack.enter_context(bench.proxy.wire())
        with contextlib.suppress(ClosedError, OSError):
            if wire.connect(f"{HOST}:443", bench.user).status == 200:
                wire.send(HELLO)
        yield


def flood_of_heads(bench: Bench, stack: contextlib.ExitStack) -> Iterator[None]:
    """100 heads, a byte at a time."""
    wires = [stack.enter_context(bench.proxy.wire()) for _ in range(100)]
    while True:
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.send(b"x")
        yield


def flood_of_names(bench: Bench, _: contextlib.ExitStack) -> Iterator[None]:
    """2,000 tunnels to new names."""
    for number in range(2000):
        with contextlib.suppress(ClosedError, OSError), bench.proxy.wire() as wire:
            wire.connect(f"n{number}.example.com:443", bench.user)
        yield


FLOODS = (flood_of_connections, flood_of_handshakes, flood_of_heads, flood_of_names)


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_flood(
    reach: list[str],
    hosts: Upstream,
    tmp_path: Path,
    flood: Callable[[Bench, contextlib.ExitStack], Iterator[None]],
) -> None:
    """While one agent floods the proxy another is served, and the proxy's memory stays bounded."""
    site = bound_site(tmp_path / "home")
    flooder, canary = site.agent("flooder"), site.agent("canary")
    token = site.token("openai", agent="canary")
    with Proxy(site, *reach, "--require-agent-auth") as proxy, contextlib.ExitStack() as stack:
        bench = Bench(proxy, hosts, flooder)
        process = psutil.Process(proxy.pid)
        before = process.memory_info().rss
        over = threading.Event()

        def work() -> None:
            for _ in flood(bench, stack):
                if over.is_set():
                    break

        thread = threading.Thread(target=work)
        thread.start()
        took = []
        while len(took) < 30:
            began = time.monotonic()
            assert proxy.get(HOST, MODELS, bearer(token), user=canary).status == 200
            took.append(time.monotonic() - began)
        over.set()
        thread.join()
        took.sort()
        grown = process.memory_info().rss - before

    print(f"{len(took)} answers, median {took[len(took) // 2] * 1000:.0f} ms, longest {took[-1] * 1000:.0f} ms")
    print(f"grew by {grown / MIB:.0f} MiB")
    assert took[-1] < 10
    assert grown < 64 * MIB
