"""The same add-on in a stock mitmproxy: `mitmdump -s FILE`."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench
from tests.support.proxy import PATIENCE, ROOT, Proxy, wait_for
from tests.support.raw import ClosedError, bearer
from tests.support.site import Site
from tests.support.upstream import Received, Send, Upstream

LISTENING = re.compile(r"HTTP\(S\) proxy listening at (127\.0\.0\.1:\d+)")


class Mitmdump(Proxy):
    """`mitmdump`, told where SEKS's home is and how to reach the hosts."""

    def __init__(self, site: Site, hosts: Upstream, *options: str) -> None:
        super().__init__(site)
        command = [sys.executable, "-m", "seks_addon"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        program = Path(sys.executable).with_name("mitmdump")
        ca = hosts.write_ca(self._folder / "hosts-ca.pem")
        settings = {"seks_home": site.home.root, "seks_upstream_ca": ca, "confdir": site.home.root.parent / "mitmproxy"}
        words = [f"{name}={value}" for name, value in settings.items()]
        words += [f"seks_connect_to={host}:443:127.0.0.1:{hosts.port}" for host in hosts.hosts]
        listen = ["--listen-host", "127.0.0.1", "--listen-port", "0"]
        chosen = [word for setting in words for word in ("--set", setting)]
        self._command = [str(program), "-s", shown.stdout.strip(), *listen, *chosen, *options]
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def start(self) -> None:
        """Start it and wait for the line that says where it listens."""
        self.launch()
        wait_for(lambda: LISTENING.search(self.log) or self.pid is None)
        found = LISTENING.search(self.log)
        assert found, self.log
        self.ready = {"listen": found[1]}

    def launch(self) -> None:
        """Start it."""
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(self._command, env=self._env, cwd=ROOT, stdout=output, stderr=output)


@pytest.fixture(scope="module")
def mitmdump(hosts: Upstream, folder: Path) -> Iterator[Mitmdump]:
    """A mitmdump that shows all it can."""
    site = bound_site(folder / "mitmdump")
    with Mitmdump(site, hosts, "--set", "flow_detail=4", "--set", "termlog_verbosity=debug") as proxy:
        yield proxy


@pytest.fixture
def bench(mitmdump: Mitmdump, hosts: Upstream) -> Bench:
    """That mitmdump, seen from one test."""
    return Bench(mitmdump, hosts)


def test_swap(bench: Bench) -> None:
    """The token goes in, the credential goes out, the token comes back, and it is recorded."""
    answer = bench.get("/echo")

    (received,) = bench.upstream.requests
    assert received.authorization == f"Bearer {bench.key}"
    assert answer.header("x-echo-authorization") == f"Bearer {bench.token}"
    bench.site.assert_no_leak(answer.text().encode())
    assert [record["event"] for record in bench.proxy.records(bench.mark, 2)] == ["intent", "outcome"]


def test_refusal(bench: Bench) -> None:
    """What is refused is refused in the same words, and the connection stays."""
    with bench.proxy.tunnel(HOST) as wire:
        for header, code in (
            (("X-Wrong", bench.token), "token_misplaced"),
            (bearer(bench.token[:-1] + "_"), "token_malformed"),
        ):
            bench.refused(wire.request("GET", "/v1/models", header, host=HOST), code)
        bench.untouched()
        bench.serves(wire)


def test_guards(bench: Bench) -> None:
    """The guards hold: addresses, cleartext, the authority."""
    with bench.proxy.wire() as wire:
        bench.refused(wire.connect("127.0.0.1:443"), "address_blocked")
        wire.send_head("GET", f"http://{HOST}/", bearer(bench.token), host=HOST)
        bench.refused(wire.answer(), "cleartext_refused")
    with bench.proxy.tunnel("unbound.example.com") as wire:
        answer = wire.request("GET", "/", bearer(bench.token), host=HOST)
        bench.tripped(answer, "authority_mismatch")
    with bench.proxy.tunnel(f"localhost:{bench.proxy.port}") as wire:
        bench.refused(wire.request("GET", "/", host=f"localhost:{bench.proxy.port}"), "address_blocked")
    bench.untouched()


def test_options(hosts: Upstream, folder: Path) -> None:
    """The options of SEKS's own proxy are there under their names, the lists and those that are on or off too."""
    site = bound_site(folder / "mitmdump-options")
    words = (
        "seks_foreign_credentials=block",
        "seks_foreign_credentials_at=github.com=pass",
        "seks_tripwire_revoke=true",
    )
    with Mitmdump(site, hosts, *(word for setting in words for word in ("--set", setting))) as proxy:
        bench = Bench(proxy, hosts)
        bench.refused(bench.get("/v1/models", ("X-Api-Key", "sk-FAKE-of-another-account")), "egress_denied")
        assert proxy.get("github.com", "/v1/models", ("X-Api-Key", "sk-FAKE-of-another-account")).status == 200
        assert proxy.get("github.com", "/v1/models", bearer(bench.token)).code == "host_not_allowed"

        wait_for(lambda: "token.revoke" in [record["reason"] for record in site.records()])
        bench.refused(bench.get("/v1/models"), "token_revoked")


def test_no_page_of_mitmproxy(bench: Bench) -> None:
    """`mitm.it` is a host like any other."""
    with bench.proxy.wire() as wire:
        wire.send_head("GET", "http://mitm.it/", host="mitm.it")
        answer = wire.answer()

    assert answer.code in ("upstream_unreachable", "address_blocked")


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok surplus {}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\n\r\nok",
        "HTTP/1.1 {} OK\r\n\r\n",
        "{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: {}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
        "HTTP/1.1 103 {}\r\nLink: {}\r\n\r\n",
    ],
)
def test_log(bench: Bench, text: str) -> None:
    """Where a host's answer is no HTTP, mitmproxy's own log lines would quote it: none of them gets out."""

    async def handler(received: Received, send: Send) -> None:
        await send(text.replace("{}", received.authorization).encode())

    bench.upstream.route("GET", "/quoted", handler)
    with contextlib.suppress(ClosedError), bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", "/quoted", bearer(bench.token), host=HOST)
        bench.site.assert_no_leak(answer.text().encode())
        bench.serves(None if answer.closes else wire)

    bench.site.assert_no_leak(bench.proxy.log.encode())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--set", "ssl_insecure=true"], "ssl_insecure"),
        (["--tcp-hosts", ".*"], "tcp_hosts"),
        (["-w", "{folder}/capture"], "save_stream_file"),
        (["--modify-headers", "/~q/Authorization/stolen"], "modify_headers"),
        (["--ignore-hosts", ".*"], "ignore_hosts"),
        (["--mode", f"reverse:https://{HOST}"], "mode"),
        (["-s", str(ROOT / "tests" / "support" / "vendors.py")], "script"),
        (["--set", "seks_home=again"], "seks_home"),
        (["--set", "seks_egress=none"], "egress"),
        (["--set", "seks_foreign_credentials=no"], "foreign-credentials"),
        (["--set", "seks_egres=list"], "seks_egres"),
        (["--set", "seks_require_agent_auth=true"], "seks_require_agent_auth"),
        (["--set", "seks_connect_to=nonsense"], "connect-to"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weakening(hosts: Upstream, folder: Path, tmp_path: Path, options: list[str], named: str) -> None:
    """What would weaken it is refused by name: mitmdump ends, having served nothing."""
    words = [option.replace("{folder}", str(tmp_path)) for option in options]
    proxy = Mitmdump(bound_site(folder / tmp_path.name), hosts, *words)
    hosts.clear()

    proxy.launch()

    assert proxy.process is not None
    assert proxy.process.wait(PATIENCE) != 0
    assert re.search(rf"seks: .*{named}", proxy.log), proxy.log
    assert not hosts.requests
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_defaults_that_are_changed(hosts: Upstream, folder: Path) -> None:
    """mitmproxy's defaults may be spelled out, as long as SEKS may change them."""
    options = ["--set", "http2=true", "--set", "rawtcp=true", "--set", "connection_strategy=eager"]
    with Mitmdump(bound_site(folder / "defaults"), hosts, *options) as proxy:
        Bench(proxy, hosts).serves()

        assert proxy.stop(signal.SIGINT) == 0


def test_home_that_is_none(hosts: Upstream, folder: Path) -> None:
    """Without a vault it ends too."""
    site = bound_site(folder / "no-vault")
    site.home.vault.unlink()
    proxy = Mitmdump(site, hosts)

    proxy.launch()

    assert proxy.process is not None
    assert proxy.process.wait(PATIENCE) != 0
    assert "is not initialised" in proxy.log
