"""Who sends is read no faster than the other side reads: what waits in the proxy is bounded."""

import contextlib
import threading
import time

import pytest

from tests.e2e.overload.conftest import DEAF, FULL, LONG, SILENT, TALKATIVE, in_tls, in_tunnel
from tests.support.bench import HOST, Bench
from tests.support.memory import MIB, flat_memory
from tests.support.proxy import wait_for
from tests.support.raw import TIMEOUT, Wire, bearer
from tests.support.upstream import Received, Send, Upstream

pytestmark = pytest.mark.slow


def offer(wire: Wire, size: int, patience: float = 2.0) -> int:
    """Send up to `size` bytes until nobody takes them any more; gives how many were sent."""
    sent, piece = 0, b"x" * MIB
    wire._socket.settimeout(patience)
    with contextlib.suppress(OSError):
        while sent < size:
            wire.send(piece)
            sent += len(piece)
    return sent


@pytest.mark.parametrize("host", [SILENT, FULL, "a.silent.example.com"])
def test_upload_to_a_host_that_does_not_answer(bench: Bench, host: str) -> None:
    """What can't be passed on isn't read."""
    with flat_memory(bench.proxy.pid), bench.proxy.tunnel(host) as wire:
        wire.send_head("POST", "/", ("Content-Length", str(512 * MIB)), host=host)
        offer(wire, 512 * MIB, 1.0)


def test_host_that_does_not_read(bench: Bench) -> None:
    """An upload is read no faster than the host reads it."""
    with flat_memory(bench.proxy.pid), bench.proxy.tunnel(DEAF) as wire:
        wire.send_head("POST", "/unread", ("Content-Length", str(512 * MIB)), host=DEAF)
        sent = offer(wire, 512 * MIB)

    assert sent < 512 * MIB


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

    with flat_memory(bench.proxy.pid), bench.proxy.wire() as wire:
        in_tls(bench, wire).send_head("GET", "/endless", bearer(bench.token), host=HOST)
        wait_for(lambda: sent)
        time.sleep(3)
        assert sent < 512 * MIB
