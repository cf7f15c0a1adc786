"""Measure how long an agent waits for an answer while others flood the proxy with what takes long to read.

Every figure is of one run on this machine, of requests from connecting to the end of the answer; the ratios to those
without a flood are what travels.
"""

import contextlib
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import click
from hyperframe.frame import DataFrame
from tabulate import tabulate

from tests.support.h2wire import H2Wire
from tests.support.proxy import Proxy
from tests.support.raw import ClosedError, Wire, bearer
from tests.support.site import Site
from tests.support.upstream import Upstream

HOST = "api.openai.com"
#: How long the canary rests between two requests, in seconds.
_REST = 0.05

type Flood = Callable[[Wire, Callable[[], bool]], None]


def chunks(wire: Wire, goes_on: Callable[[], bool]) -> None:
    """A body in chunks of a byte."""
    wire.send_head("POST", "/upload", ("Transfer-Encoding", "chunked"), host=HOST)
    while goes_on():
        wire.send(b"1\r\na\r\n" * 10_000)


def frames(wire: Wire, goes_on: Callable[[], bool]) -> None:
    """Bodies in HTTP/2 frames of a byte."""
    connection = H2Wire(wire)
    while goes_on():
        stream = connection.request("POST", "/upload", host=HOST, end=False)
        connection.send_frame(*[DataFrame(stream, data=b"a")] * 10_000)
        connection.http.reset_stream(stream)
        connection.flush()


def requests(wire: Wire, goes_on: Callable[[], bool]) -> None:
    """Requests that are refused, one after the other."""
    while goes_on():
        wire.request("GET", "/v1/../models", host=HOST)


def attack(flood: Flood, port: int, ca: Path, user: str, connections: int, ended: Event) -> None:
    """What one agent does, in a process of its own."""

    def run() -> None:
        while not ended.is_set():
            # The proxy may end a connection that asks for too much, or not read it for long.
            with contextlib.suppress(OSError, ClosedError), Wire(port) as wire:
                if wire.connect(f"{HOST}:443", user).status == 200:
                    wire.start_tls(ca, HOST, ["h2"] if flood is frames else ["http/1.1"])
                    flood(wire, lambda: not ended.is_set())

    threads = [threading.Thread(target=run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def flooded(proxy: Proxy, flood: Flood, users: list[str], connections: int) -> Iterator[None]:
    """Have each of the agents flood the proxy over so many connections."""
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    given = flood, proxy.port, proxy.site.home.ca_cert
    agents = [context.Process(target=attack, args=(*given, user, connections, ended)) for user in users]
    for agent in agents:
        agent.start()
    try:
        # All of them are at it.
        time.sleep(3)
        yield
    finally:
        ended.set()
        for agent in agents:
            agent.join()


def waits(proxy: Proxy, user: str, token: str, seconds: float) -> list[float]:
    """Seconds that each of the canary's requests took."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        answer = proxy.get(HOST, "/v1/models", bearer(token), user=user)
        times.append(time.perf_counter() - began)
        if answer.status != 200:
            raise click.ClickException(f"the canary got {answer.status} {answer.code or ''}")
        time.sleep(_REST)
    return times


@click.command()
@click.option("--agents", default=8, show_default=True, help="How many flood the proxy.")
@click.option("--connections", default=2, show_default=True, help="Over how many connections each.")
@click.option("--seconds", default=10.0, show_default=True, help="How long each flood is watched.")
def flood(agents: int, connections: int, seconds: float) -> None:
    """Measure what others wait for while some flood the proxy."""
    with tempfile.TemporaryDirectory() as name, Upstream(HOST) as upstream:
        site = Site(Path(name) / "home")
        site.secret("openai")
        users = [site.agent(f"flood-{number}") for number in range(agents)]
        canary = site.agent("canary")
        token = site.token("openai", agent="canary")
        options = [*upstream.connect_to(), "--upstream-ca", str(upstream.write_ca(Path(name) / "ca.pem")), "--http2"]
        rows = []
        with Proxy(site, *options, "--log-level", "error") as proxy:
            alone = statistics.median(waits(proxy, canary, token, seconds / 2))
            for each in (chunks, frames, requests):
                with flooded(proxy, each, users, connections):
                    times = waits(proxy, canary, token, seconds)
                median = statistics.median(times)
                rows.append([each.__doc__, median * 1e3, median / alone, max(times) * 1e3])
    click.echo(f"Without a flood a request takes {alone * 1e3:.1f} ms, with its connection.\n")
    headers = [f"{agents} agents, {connections} connections each", "median, ms", "x without", "longest, ms"]
    click.echo(tabulate(rows, headers, floatfmt=".1f"))
