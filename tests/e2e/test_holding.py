"""What the proxy holds until all of it is there: so much for an agent, and not for ever."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from seks_addon.handshake import accept_of
from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench, refusal
from tests.support.frames import BINARY, CLOSE, CONTINUATION, frame
from tests.support.memory import MIB
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import Wire, bearer
from tests.support.upstream import Received, Send, Upstream

PIECE = b"x" * MIB
BUDGET = 64
"""How many MiB there are for an agent."""
UNBOUND, PLACES = "unbound.example.com", "places.example.com"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
UPGRADE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
]


async def take_socket(received: Received, send: Send) -> bool:
    """Answer the handshake of a WebSocket; what is said on it is no HTTP."""
    accept = accept_of(received.header("sec-websocket-key") or "")
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    await send("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
    return True


@pytest.fixture(autouse=True)
def routes(hosts: Upstream) -> None:
    """Have hosts with WebSockets."""
    hosts.route("GET", "/web-socket", take_socket)


def begin_message(wire: Wire, size: int) -> None:
    """Open a WebSocket, and say so many MiB of a message that doesn't end."""
    wire.send_head("GET", "/web-socket", *UPGRADE, host=UNBOUND)
    assert wire.receive().startswith(b"HTTP/1.1 101 ")
    for number in range(size):
        wire.send(frame(CONTINUATION if number else BINARY, PIECE, fin=False, masked=True))


def begin_form(wire: Wire, size: int) -> None:
    """Send so many bytes of a form that doesn't end, at a host where a token may stand in it."""
    wire.send_head("POST", "/", FORM, ("Content-Length", str(MIB)), host=PLACES)
    wire.send(b"x" * size)


@pytest.mark.slow
def test_messages(bench: Bench) -> None:
    """An agent can't have the proxy hold one long message on each of many WebSockets; others have room."""
    process = psutil.Process(bench.proxy.pid)
    before = process.memory_info().rss
    other = bench.site.agent("speaker")

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            begin_message(stack.enter_context(bench.proxy.tunnel(UNBOUND)), 15)
        last = stack.enter_context(bench.proxy.tunnel(UNBOUND))
        # The socket may be closed before all of it is sent.
        with contextlib.suppress(OSError):
            begin_message(last, 15)
        with contextlib.suppress(ConnectionError):
            # RFC 6455 section 7.4.1 and its registry: try again later.
            assert last.receive()[2:4] in (b"", b"\x03\xf5")
        assert process.memory_info().rss - before < 2 * BUDGET * MIB
        begin_message(stack.enter_context(bench.proxy.tunnel(UNBOUND, user=other)), 15)
        bench.serves()

    with bench.proxy.tunnel(UNBOUND) as wire:
        begin_message(wire, 15)
        wire.send(frame(CLOSE, b"\x03\xe8", masked=True))
        assert wire.receive() == frame(CLOSE, b"\x03\xe8")


def test_forms(bench: Bench) -> None:
    """Nor bodies that it has to read whole: the agent is told that there are too many."""
    bench.site.token("in-form")
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(bench.proxy.tunnel(PLACES)) for _ in range(BUDGET + 6)]
        for wire in wires:
            begin_form(wire, MIB - 1)
        # Which of them are, says the order in which they are read.
        wait_for(lambda: any(wire.rest() for wire in wires), "a refusal")
        refused = next(wire for wire in wires if wire.rest())
        refusal(refused.answer("POST"), "overloaded")
        assert sum(not wire.rest() for wire in wires if wire is not refused) > BUDGET // 2
        bench.serves()

    with bench.proxy.tunnel(PLACES) as wire:
        assert wire.request("POST", "/", FORM, host=PLACES, body=b"x" * MIB).code is None


@pytest.mark.slow
@pytest.mark.parametrize(("host", "begin"), [(UNBOUND, begin_message), (PLACES, begin_form)], ids=["message", "form"])
def test_what_never_ends(
    host: str, begin: Callable[[Wire, int], None], reach: list[str], hosts: Upstream, tmp_path: Path
) -> None:
    """What is begun has to be ended in time."""
    site = bound_site(tmp_path / "home")
    site.token("in-form")
    with Proxy(site, *reach, module="tests.support.hasty") as proxy:
        bench = Bench(proxy, hosts)
        with proxy.tunnel(HOST) as idle, proxy.tunnel(host) as wire:
            bench.serves(idle)
            begin(wire, 1)
            assert wire.is_closed()
            assert idle.request("GET", "/v1/models", bearer(bench.token), host=HOST).status == 200
