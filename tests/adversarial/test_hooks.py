"""Whatever fails inside, nothing is forwarded: a fault in every hook and in what hooks call, one at a time."""

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mitmproxy import hooks

from seks_addon.addon.addon import SeksAddon
from seks_addon.handshake import accept_of
from tests.adversarial.conftest import EACH_FRONT, new_arena
from tests.adversarial.harness import Arena
from tests.support.bench import HOST, Bench
from tests.support.faulty import HOOKS, PLACES
from tests.support.frames import TEXT, frame
from tests.support.proxy import wait_for
from tests.support.raw import Answer, ClosedError, Wire, bearer
from tests.support.upstream import Received, Send, Upstream

WHEN = ("before", "after")
#: Where a failure comes too late to stop the credential, which went to its own host and nowhere else.
AFTER_SENDING = {
    "request",
    "seks_sent",
    "responseheaders",
    "response",
    "error",
    "client_disconnected",
    "Exchange.prepare_answer",
    "Exchange.pass_answer",
    "Exchange.count_request",
    "Scrubber.feed",
    "Scrubber.finish",
    "Scrubber.whole",
    "AuditWriter.outcome",
}
#: Where the client's answer is complete already, or a hook had done all its work.
HARMLESS = {
    *((place, when) for place in ("response", "client_disconnected", "AuditWriter.outcome") for when in WHEN),
    ("tls_established_server", "after"),
    # It only makes ready what the answer will need.
    *(("seks_sent", when) for when in WHEN),
}
#: Where it is the record itself that fails: it is made at the next start.
UNRECORDED = {("AuditWriter.intent", "after"), ("AuditWriter.outcome", "before")}
#: What an ordinary request doesn't come by.
UNUSED = {
    "tls_failed_client",
    "tls_failed_server",
    "seks_malformed",
    "error",
    "seks_piece",
    "websocket_end",
    "Service.credentials_at",
    "Conversation.check",
    "Conversation.judge",
    "AuditWriter.note",
    "seks_hold",
}


def test_every_hook_is_guarded() -> None:
    """Each method of the add-on that mitmproxy may call for a connection fails closed."""
    lifecycle = {"load", "configure", "running", "done"}
    known = {*hooks.all_hooks, "seks_inject", "seks_malformed", "seks_piece", "seks_sent"}

    assert {name for name in vars(SeksAddon) if name in known} - lifecycle == set(HOOKS)


@pytest.fixture(scope="module")
def fault(ground: Path) -> Path:
    """Says where the fault is."""
    path = ground / "fault"
    path.write_text("")
    return path


@pytest.fixture(scope="module", params=EACH_FRONT)
def weak(
    request: pytest.FixtureRequest,
    ground: Path,
    hosts: dict[str, Upstream],
    options: list[str],
    names: Path,
    fault: Path,
) -> Iterator[Arena]:
    """A proxy that fails when told to."""
    root = ground / f"faulty-{request.param}"
    arena = new_arena(request.param, root, hosts, options, names, faults=fault)
    arena.owing = True
    with arena.proxy:
        yield arena
        # What couldn't be recorded is at the next start.
        arena.proxy.stop()
        arena.proxy.forget_output()
        arena.proxy.start()
        wait_for(lambda: not pending(arena.site.records()), "an outcome for every intent")


@pytest.fixture
def bench(weak: Arena, hosts: dict[str, Upstream], fault: Path) -> Iterator[Bench]:
    """That proxy, which works before and after, for the canary too; nothing has got out."""
    fault.write_text("")
    weak.reset()
    bench = Bench(weak.proxy, hosts["bound"], owing=True)
    yield bench
    fault.write_text("")
    bench.serves()
    weak.serve_canary()
    weak.check_hosts()
    weak.check_here()


def pending(records: Iterable[dict[str, Any]]) -> set[str]:
    """The requests whose intent has no outcome."""
    ended = {record["request_id"] for record in records if record["event"] == "outcome"}
    return {record["request_id"] for record in records if record["event"] == "intent"} - ended


def ask(bench: Bench) -> Answer | None:
    """A request with a token and a body over a new connection; None where the connection was closed instead."""
    with contextlib.suppress(ClosedError, ConnectionError, ssl.SSLError), bench.proxy.wire() as wire:
        answer = wire.connect(f"{HOST}:443")
        if answer.status == 200:
            wire.start_tls(bench.site.home.ca_cert, HOST)
            answer = wire.request("POST", "/echo", bearer(bench.token), host=HOST, body=b"some body")
        return answer
    return None


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("place", [place for place in PLACES if place not in UNUSED])
def test_fault(bench: Bench, fault: Path, place: str, when: str) -> None:
    """No credential leaves, the client gets an error or a closed connection, and the log doesn't quote it."""
    fault.write_text(f"{place}:{when}:{bench.key}")

    answer = ask(bench)

    sent = [received for received in bench.upstream.requests if bench.key.encode() in received.raw_head]
    assert len(sent) <= (place in AFTER_SENDING or (place, when) in HARMLESS)
    if answer is not None:
        codes = {"internal", "upstream_unreachable", "upstream_untrusted", "audit_unavailable"}
        assert answer.code in codes or (answer.code is None and (place, when) in HARMLESS)
        bench.site.assert_no_leak(answer.text().encode())
    if (place, when) not in UNRECORDED:
        wait_for(lambda: not pending(bench.site.records(bench.mark)), "an outcome for every intent")


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("place", ["requestheaders", "request", "seks_inject"])
def test_fault_before_a_body_that_is_read_whole(bench: Bench, fault: Path, place: str, when: str) -> None:
    """Where the token stands in the body, nothing of the request has left before the last hook had its say."""
    text = f"client_secret={bench.site.token('in-form')}"
    fault.write_text(f"{place}:{when}:{bench.key}")

    with contextlib.suppress(ClosedError, ssl.SSLError):
        bench.post("github.com", "/echo", text, ("Content-Type", "application/x-www-form-urlencoded"))

    assert not bench.upstream.requests
    wait_for(lambda: not pending(bench.site.records(bench.mark)), "an outcome for every intent")


def distrust(bench: Bench, wire: Wire) -> None:
    """The client doesn't like the proxy's certificate."""
    wire.connect(f"{HOST}:443")
    wire.start_tls(bench.site.home.root.parent / "good.pem", HOST)


def wrong_host(bench: Bench, wire: Wire) -> None:
    """The proxy doesn't like the host's."""
    host = "wrong-name.bad.example.com"
    wire.connect(f"{host}:443")
    wire.start_tls(bench.site.home.ca_cert, host)
    answer = wire.request("GET", "/echo", bearer(bench.site.token("bad")), host=host)
    assert answer.status >= 500


def nonsense(_bench: Bench, wire: Wire) -> None:
    """That's no request."""
    wire.send(b"GET\r\n\r\n")
    assert wire.answer().status >= 400


def refused(_bench: Bench, wire: Wire) -> None:
    """That's one that is refused."""
    assert wire.connect("127.0.0.1:443").status >= 400


def break_off(bench: Bench, wire: Wire) -> None:
    """The host breaks off in the middle."""

    async def handler(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    bench.upstream.route("GET", "/half", handler)
    wire.connect(f"{HOST}:443")
    wire.start_tls(bench.site.home.ca_cert, HOST)
    wire.request("GET", "/half", bearer(bench.token), host=HOST)


def talk(bench: Bench, wire: Wire) -> None:
    """The host says the credential on a WebSocket, then hangs up."""

    async def handler(received: Received, send: Send) -> None:
        accept = accept_of(received.header("sec-websocket-key") or "")
        await send(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
        await send(f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        await send(frame(TEXT, received.authorization.encode()))

    bench.upstream.route("GET", "/half", handler)
    wire.connect(f"{HOST}:443")
    wire.start_tls(bench.site.home.ca_cert, HOST)
    handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    wire.send_head("GET", "/half", bearer(bench.token), *handshake, host=HOST)
    said = b""
    with contextlib.suppress(ConnectionError):
        # A refusal instead of an upgrade leaves the connection open.
        while b"seks_refused" not in said and (piece := wire.receive()):
            said += piece
    assert bench.key.encode() not in said


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("place", "act"),
    [
        ("seks_piece", talk),
        ("websocket_end", talk),
        ("Service.credentials_at", talk),
        ("Conversation.check", talk),
        ("Conversation.judge", talk),
        ("Scrubber.feed", talk),
        ("Scrubber.whole", talk),
        ("tls_failed_client", distrust),
        ("tls_failed_server", wrong_host),
        ("seks_malformed", nonsense),
        ("error", break_off),
        ("AuditWriter.note", refused),
        ("Scrubber.feed", break_off),
    ],
)
def test_fault_aside(bench: Bench, fault: Path, place: str, act: Callable[[Bench, Wire], None], when: str) -> None:
    """The hooks for what goes wrong anyway fail as safely."""
    fault.write_text(f"{place}:{when}:{bench.key}")

    with bench.proxy.wire() as wire, contextlib.suppress(ClosedError, ssl.SSLError):
        act(bench, wire)

    assert all(received.path == "/half" for received in bench.upstream.requests)
    wait_for(lambda: not pending(bench.site.records(bench.mark)), "an outcome for every intent")


@pytest.mark.parametrize(
    "place", ["client_connected", "next_layer", "tls_start_client", "tls_start_server", "seks_inject"]
)
def test_no_socket_stays_open(bench: Bench, fault: Path, place: str) -> None:
    """Connections that fail over a fault are closed, to both sides."""
    process = psutil.Process(bench.proxy.pid)
    bench.serves()
    wait_for(lambda: not process.net_connections("tcp")[1:], "the end of earlier connections")
    fault.write_text(f"{place}:before:{bench.key}")

    for _ in range(5):
        ask(bench)

    wait_for(lambda: not process.net_connections("tcp")[1:], "the end of all connections")
