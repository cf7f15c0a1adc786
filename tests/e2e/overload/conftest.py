"""Clients and hosts that keep the proxy waiting, or ask for more than it has: others are served."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site, connect_to
from tests.support import hasty
from tests.support.bench import HOST, Bench
from tests.support.memory import MIB
from tests.support.proxy import Proxy
from tests.support.raw import Wire
from tests.support.upstream import Upstream

MODELS = "/v1/models"
IDLE = 4.0
#: The first bytes of a ClientHello.
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
SILENT, FULL, DEAF = "silent-tls.example.com", "full.example.com", "deaf.example.com"
TALKATIVE, LONG = "talkative.example.com", 32 * MIB


@pytest.fixture(scope="package")
def silent_port() -> Iterator[int]:
    """A port at which connections are taken, and nothing is ever read or said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="package")
def full_port() -> Iterator[int]:
    """A port that answers no SYN: whoever listens there has no room."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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


@pytest.fixture
def impatient(reach: list[str], hosts: Upstream, tmp_path: Path) -> Iterator[Bench]:
    """A proxy that waits a few seconds for the next request too."""
    options = [*reach, "--tunnel", "tunnelled.example.com"]
    env = {hasty.VARIABLE: str(IDLE)}
    with Proxy(bound_site(tmp_path / "home"), *options, module="tests.support.hasty", env=env) as proxy:
        yield Bench(proxy, hosts)
