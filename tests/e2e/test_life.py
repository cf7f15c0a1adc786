"""The proxy's own life: start, ready, a graceful end, a crash, and workers."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from seks_cli.running import running
from tests.e2e.conftest import bound_site
from tests.support.bench import HOST
from tests.support.proxy import ROOT, Proxy, wait_for
from tests.support.raw import Wire, bearer
from tests.support.site import Site
from tests.support.upstream import Received, Send, Upstream

MODELS = "/v1/models"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A home of the test's own."""
    return bound_site(tmp_path / "home")


@pytest.fixture
def go_on(hosts: Upstream) -> Iterator[threading.Event]:
    """Lets the host go on, which waits in the middle of `/waiting`."""
    event = threading.Event()

    async def handler(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await send(b"7\r\nfirst\n\n\r\n")
        assert await asyncio.to_thread(event.wait, 20)
        await send(b"6\r\nlast\n\n\r\n0\r\n\r\n")

    hosts.clear()
    hosts.route("GET", "/waiting", handler)
    yield event
    event.set()


def begin(site: Site, wire: Wire) -> None:
    """Get into the middle of an exchange."""
    wire.send_head("GET", "/waiting", bearer(site.token("openai")), host=HOST)
    assert wire.answer_head().status == 200
    assert wire.piece() == b"first\n\n"


def refuses_connections(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_ready_file(site: Site, reach: list[str]) -> None:
    """The ready file says where the proxy listens, one line does as well, and at the end it is gone."""
    with Proxy(site, *reach) as proxy:
        ready, mode = proxy.ready, proxy.ready_file.stat().st_mode
        said = [line for line in proxy.log.splitlines() if "listens" in line]

    assert ready.items() >= {"workers": 1, "ca_cert": str(site.home.ca_cert)}.items()
    assert ready["listen"].startswith("127.0.0.1:")
    assert proxy.port not in (0, 7357)
    assert ready["proxy_url"] == f"http://{ready['listen']}"
    assert ready["pid"] == proxy.process.pid  # type: ignore[union-attr]
    assert mode & 0o777 == 0o600
    assert said == [f"seks-proxy listens on {ready['listen']}"]
    assert not proxy.ready_file.exists()
    assert list(site.home.run.iterdir()) == []


def test_port_in_use(site: Site, proxy: Proxy) -> None:
    """A port that is taken is said in one line."""
    command = [sys.executable, "-m", "seks_cli.proxy", "run", "--home", str(site.home.root)]

    ended = subprocess.run(
        [*command, "--listen", f"127.0.0.1:{proxy.port}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    lines = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert lines[0] == f"seks: error: 127.0.0.1:{proxy.port} is in use"
    assert [line.partition(": ")[2][:5] for line in lines[1:]] == ["hint:"]
    assert ended.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_graceful_end(
    site: Site, reach: list[str], go_on: threading.Event, number: signal.Signals, workers: str
) -> None:
    """Asked to end, the proxy takes no more connections, lets the running exchange end, then exits 0."""
    with Proxy(site, *reach, "--workers", workers) as proxy, proxy.tunnel(HOST) as wire, proxy.tunnel(HOST):
        begin(site, wire)

        assert proxy.process is not None
        proxy.process.send_signal(number)
        wait_for(lambda: refuses_connections(proxy.port), "the end of listening")
        assert proxy.pid is not None
        go_on.set()

        assert wire.piece() == b"last\n\n"
        assert wire.piece() == b""
        assert proxy.process.wait(20) == 0

    assert [record["outcome"] for record in site.records()] == ["allowed", "allowed"]


def test_killed(site: Site, reach: list[str], go_on: threading.Event) -> None:
    """After a crash in the middle of an exchange, the next start records that it was interrupted, once."""
    with Proxy(site, *reach) as proxy:
        with proxy.tunnel(HOST) as wire:
            begin(site, wire)
            proxy.kill()
        assert [record["event"] for record in site.records()] == ["intent"]
        for _ in range(2):
            proxy.start()
            proxy.stop()
        intent, outcome = site.records()

        assert (outcome["event"], outcome["outcome"], outcome["reason"]) == ("outcome", "failed", "interrupted")
        same = ("request_id", "client", "agent", "secret", "token_id", "method", "host", "path")
        assert [outcome[name] for name in same] == [intent[name] for name in same]


def test_two_proxies_of_one_home(site: Site, reach: list[str], go_on: threading.Event) -> None:
    """A second proxy doesn't take the first one's running exchange for an interrupted one."""
    with Proxy(site, *reach) as first, first.tunnel(HOST) as wire:
        begin(site, wire)
        with Proxy(site, *reach) as second:
            assert second.get(HOST, MODELS).status == 200
        assert [record["event"] for record in site.records()] == ["intent"]
        go_on.set()
        assert wire.piece() == b"last\n\n"
        assert wire.piece() == b""
        _, outcome = first.records(0, 2)

    assert outcome["outcome"] == "allowed"


def test_the_one_that_runs_is_found(site: Site, reach: list[str]) -> None:
    """Of two the newer; when that ends, or is killed, the other one; what a killed one left, the next removes."""

    def found() -> object:
        ran = running(site.home)
        return ran and ran.content

    with Proxy(site, *reach) as first:
        with Proxy(site, *reach) as second:
            assert found() == second.ready
        assert found() == first.ready
        with Proxy(site, *reach) as third:
            third.kill()
            assert found() == first.ready
            third.start()
            assert found() == third.ready
            assert len(list(site.home.run.glob("proxy-*.json"))) == 2
    assert found() is None


def workers_of(proxy: Proxy) -> list[psutil.Process]:
    """The proxy's worker processes."""
    return psutil.Process(proxy.pid).children()


def tunnel_in_each(proxy: Proxy) -> dict[int, Wire]:
    """A tunnel in each worker, by its process id: all others are stopped while it is opened."""
    tunnels: dict[int, Wire] = {}
    workers = workers_of(proxy)
    for worker in workers:
        others = [other for other in workers if other != worker]
        for other in others:
            other.suspend()
        tunnels[worker.pid] = wire = proxy.wire()
        assert wire.connect(f"{HOST}:443").status == 200
        wire.start_tls(proxy.site.home.ca_cert, HOST)
        for other in others:
            other.resume()
    return tunnels


def test_two_workers(site: Site, reach: list[str], go_on: threading.Event) -> None:
    """Both serve, a revocation holds in both at once, and one that dies is replaced."""
    token = site.token("openai")
    with Proxy(site, *reach, "--workers", "2") as proxy:
        tunnels = tunnel_in_each(proxy)
        answers = [wire.request("GET", MODELS, bearer(token), host=HOST) for wire in tunnels.values()]
        site.revoke(token)
        refused = [wire.request("GET", MODELS, bearer(token), host=HOST) for wire in tunnels.values()]

        assert proxy.ready["workers"] == len(workers_of(proxy)) == 2
        assert [answer.status for answer in answers] == [200, 200]
        assert [answer.code for answer in refused] == ["token_revoked"] * 2

        victim, wire = tunnels.popitem()
        begin(site, wire)
        mark = proxy.mark()
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len({w.pid for w in workers_of(proxy)} - {victim}) == 2, "a new worker")

        (outcome,) = proxy.records(mark, 1)
        assert (outcome["outcome"], outcome["reason"]) == ("failed", "interrupted")
        for other in (wire, *tunnels.values()):
            other.close()
        for other in tunnel_in_each(proxy).values():
            assert other.request("GET", MODELS, bearer(site.token("openai")), host=HOST).status == 200
            other.close()


def test_parent_killed(site: Site, reach: list[str]) -> None:
    """Workers whose parent is gone end by themselves, and leave the port free."""
    with Proxy(site, *reach, "--workers", "2") as proxy:
        workers = workers_of(proxy)
        port = proxy.port

        proxy.kill()

        gone, alive = psutil.wait_procs(workers, 20)
        assert (len(gone), alive) == (2, [])
        assert refuses_connections(port)
        proxy.start()


def test_worker_that_cannot_start(site: Site, reach: list[str]) -> None:
    """Where workers can't start, the proxy doesn't claim to be ready, and exits 1."""
    site.home.audit.write_bytes(b"not a database, in the first hundred bytes of it " * 100)
    command = [sys.executable, "-m", "seks_cli.proxy", "run", "--home", str(site.home.root), "--listen", "127.0.0.1:0"]

    ended = subprocess.run(
        [*command, "--workers", "2"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert "seks: error: a worker could not start" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "listens" not in ended.stderr


def test_json_log(site: Site, reach: list[str]) -> None:
    """With `--log-format json` every line behind the first is a JSON object."""
    with Proxy(site, *reach, "--log-format", "json", "--log-level", "debug") as proxy:
        token = site.token("openai")
        assert proxy.get(HOST, MODELS, bearer(token)).status == 200
        assert proxy.get(HOST, f"/{token}").status == 400
        proxy.records(0, 3)

    lines = [json.loads(line) for line in proxy.log.splitlines()[1:]]
    assert {line["level"] for line in lines} >= {"info", "warning", "debug"}
    assert all(list(line) == ["time", "level", "logger", "message"] for line in lines)
    assert token not in proxy.log
