"""Floods: while one agent asks for all there is, another is served."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import bound_site
from tests.e2e.overload.conftest import HELLO, MODELS
from tests.support.bench import HOST, Bench
from tests.support.memory import MIB
from tests.support.proxy import Proxy
from tests.support.raw import ClosedError, bearer
from tests.support.upstream import Upstream

pytestmark = pytest.mark.slow


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
