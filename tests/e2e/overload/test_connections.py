"""How many connections there may be, and how many names that the proxy doesn't know yet."""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import bound_site
from tests.e2e.overload.conftest import HELLO, in_tls
from tests.support.bench import HOST, Bench, refusal
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import Answer, ClosedError, Wire, bearer
from tests.support.upstream import Upstream

pytestmark = pytest.mark.slow


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
