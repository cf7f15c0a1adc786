"""Measure the way of a request: latency of small ones, throughput of large ones, the first event of a stream, memory.

Every figure is a median over one run on this machine; the ratios are what travels. The client is curl, the
upstream a loopback server in a thread of this process, so that large bodies measure both. What a host sends that a
secret is bound to is scrubbed; one that is looked into all the same and bound to none is what to compare with.
"""

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
from tabulate import tabulate

from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.site import Site
from tests.support.upstream import Received, Send, Upstream

HOST, TUNNELLED, UNBOUND = "api.openai.com", "api.tunnelled.example", "api.unbound.example"
#: How long the host takes before the first event, in seconds; no model is so quick.
_THOUGHT = 0.01


class Bench:
    """A proxy, an upstream, and curl with four ways between them."""

    def __init__(self, folder: Path, upstream: Upstream, proxy: Proxy, token: str) -> None:
        ca, own_ca = str(upstream.write_ca(folder / "upstream.pem")), str(proxy.site.home.ca_cert)
        through = ["--proxy", f"http://127.0.0.1:{proxy.port}"]
        self._proxy = proxy
        self.token = bearer(token)
        upstream.route("GET", "/event", _one_event)
        self.ways = {
            "direct": (HOST, ["--cacert", ca, *upstream.connect_to()]),
            "tunnelled, unseen": (TUNNELLED, ["--cacert", ca, *through]),
            "intercepted, not bound": (UNBOUND, ["--cacert", own_ca, *through]),
            "token swapped, scrubbed": (HOST, ["--cacert", own_ca, *through, "-H", f"Authorization: Bearer {token}"]),
        }

    def times(self, way: str, path: str) -> list[float]:
        """Seconds that each request took; `path` may hold curl's `[1-100]`, sent over one connection."""
        host, options = self.ways[way]
        command = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{time_total}\n", *options]
        output = subprocess.run([*command, f"https://{host}{path}"], check=True, capture_output=True, text=True)
        # The first one pays for the connection.
        times = [float(line) for line in output.stdout.split()]
        return times[1:] or times

    def first_events(self, host: str, *headers: tuple[str, str], count: int) -> list[float]:
        """Seconds from each request to the first event of its answer, over one connection."""
        times = []
        with self._proxy.tunnel(host) as wire:
            for _ in range(count):
                began = time.perf_counter()
                wire.send_head("GET", "/event", *headers, host=host)
                wire.answer_head()
                assert wire.piece().startswith(b"data:")
                times.append(time.perf_counter() - began)
                assert wire.piece() == b""
        return times[1:]

    def memory(self) -> int:
        """The proxy's resident memory in bytes."""
        assert self._proxy.pid is not None
        return int(psutil.Process(self._proxy.pid).memory_info().rss)


async def _one_event(_received: Received, send: Send) -> bool:
    """As a model does: it thinks, tells, and ends late, so that an event that is held back until then shows."""
    await asyncio.sleep(_THOUGHT)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    await send(head + b"d\r\ndata: event\n\n\r\n")
    await asyncio.sleep(0.02)
    await send(b"0\r\n\r\n")
    return True


@contextmanager
def bench() -> Iterator[Bench]:
    """Start all that is needed."""
    with tempfile.TemporaryDirectory() as name, Upstream(HOST, TUNNELLED, UNBOUND) as upstream:
        folder = Path(name)
        site = Site(folder / "home")
        site.secret("openai")
        token = site.token("openai")
        options = [*upstream.connect_to(), "--upstream-ca", str(upstream.write_ca(folder / "ca.pem"))]
        with Proxy(site, *options, "--tunnel", TUNNELLED, "--log-level", "warning") as proxy:
            yield Bench(folder, upstream, proxy, token)


@click.command()
@click.option("--requests", default=500, show_default=True, help="Small requests a way.")
@click.option("--mebibytes", default=1024, show_default=True, help="Size of a large download.")
@click.option("--rounds", default=3, show_default=True, help="How often the ways take turns.")
def proxy(requests: int, mebibytes: int, rounds: int) -> None:
    """Measure requests: latency, throughput, the proxy's memory."""
    if not shutil.which("curl"):
        raise click.ClickException("curl is needed")
    with bench() as b:
        small: dict[str, list[float]] = {way: [] for way in b.ways}
        large: dict[str, list[float]] = {way: [] for way in b.ways}
        plain: list[float] = []
        scrubbed: list[float] = []
        swapped: list[float] = []
        before = b.memory()
        for _ in range(rounds):
            # In turn: the machine's speed drifts.
            for way in b.ways:
                small[way] += b.times(way, f"/v1/models?[1-{requests}]")
                large[way] += b.times(way, f"/bytes/{mebibytes << 20}")
            count = max(2, requests // 10)
            plain += b.first_events(UNBOUND, count=count)
            scrubbed += b.first_events(HOST, count=count)
            swapped += b.first_events(HOST, b.token, count=count)
        growth = b.memory() - before
    rows = []
    for way, times in small.items():
        latency, seconds = statistics.median(times), statistics.median(large[way])
        rate = (mebibytes << 20) / seconds / 1e6
        rows.append(
            [
                way,
                latency * 1e3,
                latency / statistics.median(small["direct"]),
                rate,
                statistics.median(large["tunnelled, unseen"]) / seconds,
                statistics.median(large["intercepted, not bound"]) / seconds,
            ]
        )
    headers = ["way", "small request, ms", "x direct", "download, MB/s", "x tunnelled", "x not bound"]
    click.echo(tabulate(rows, headers, floatfmt=".2f"))
    first, scrub, swap = (statistics.median(times) * 1e3 for times in (plain, scrubbed, swapped))
    thought = f"{_THOUGHT * 1e3:.0f} of which the host thinks"
    click.echo(f"\nThe first event comes after {first:.2f} ms, {thought}, {scrub - first:+.2f} where it is scrubbed,")
    click.echo(f"and {swap - first:+.2f} where a token is swapped, and the intent recorded, besides.")
    click.echo(f"The proxy's memory grew by {growth / 2**20:.1f} MiB over all of it.")
