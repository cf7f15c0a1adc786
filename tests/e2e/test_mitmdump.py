"""The same add-on in a stock mitmproxy: `mitmdump -s FILE`."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench
from tests.support.h2wire import h2_tunnel
from tests.support.mitmdump import Mitmdump
from tests.support.proxy import PATIENCE, ROOT, Proxy, wait_for
from tests.support.raw import bearer
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def mitmdump(reach: list[str], folder: Path) -> Iterator[Mitmdump]:
    """A mitmdump that shows all it can."""
    site = bound_site(folder / "mitmdump")
    with Mitmdump(site, *reach, more=["--set", "flow_detail=4", "--set", "termlog_verbosity=debug"]) as proxy:
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


def test_switches(hosts: Upstream, reach: list[str], folder: Path) -> None:
    """The options of SEKS's own proxy are there under their names, the lists and those that are on or off too."""
    site = bound_site(folder / "mitmdump-options")
    words = (
        "seks_foreign_credentials=block",
        "seks_foreign_credentials_at=github.com=pass",
        "seks_tripwire_revoke=true",
    )
    more = [word for setting in words for word in ("--set", setting)]
    with Mitmdump(site, *reach, more=more) as proxy:
        bench = Bench(proxy, hosts)
        bench.refused(bench.get("/v1/models", ("X-Api-Key", "sk-FAKE-of-another-account")), "egress_denied")
        assert proxy.get("github.com", "/v1/models", ("X-Api-Key", "sk-FAKE-of-another-account")).status == 200
        assert proxy.get("github.com", "/v1/models", bearer(bench.token)).code == "host_not_allowed"

        wait_for(lambda: "token.revoke" in [record["reason"] for record in site.records()])
        bench.refused(bench.get("/v1/models"), "token_revoked")


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
        (["--set", "seks_max_connections=0"], "max-connections"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weakening(
    hosts: Upstream, reach: list[str], folder: Path, tmp_path: Path, options: list[str], named: str
) -> None:
    """What would weaken it is refused by name: mitmdump ends, having served nothing."""
    words = [option.replace("{folder}", str(tmp_path)) for option in options]
    proxy = Mitmdump(bound_site(folder / tmp_path.name), *reach, more=words)
    hosts.clear()

    proxy.launch()

    assert proxy.process is not None
    assert proxy.process.wait(PATIENCE) != 0
    assert re.search(rf"seks: .*{named}", proxy.log), proxy.log
    assert not hosts.requests
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_defaults_that_are_changed(hosts: Upstream, reach: list[str], folder: Path) -> None:
    """mitmproxy's defaults may be spelled out, as long as SEKS may change them."""
    options = ["--set", "http2=true", "--set", "rawtcp=true", "--set", "connection_strategy=eager"]
    with Mitmdump(bound_site(folder / "defaults"), *reach, more=options) as proxy:
        Bench(proxy, hosts).serves()

        assert proxy.stop(signal.SIGINT) == 0


def test_limits(reach: list[str], folder: Path) -> None:
    """An agent gets no more connections than it may have, and they are given back."""
    with Mitmdump(bound_site(folder / "limits"), *reach, more=["--set", "seks_max_connections_per_agent=2"]) as proxy:
        for _ in range(2):
            with proxy.tunnel(HOST), proxy.tunnel(HOST), proxy.wire() as wire:
                assert wire.connect(f"{HOST}:443").code == "overloaded"
            wait_for(lambda: connects(proxy), "room for another")


def connects(proxy: Proxy) -> bool:
    """Whether a tunnel can be had."""
    with proxy.wire() as wire:
        return wire.connect(f"{HOST}:443").status == 200


@pytest.mark.parametrize("by", ["option", "config"])
def test_http2(hosts: Upstream, reach: list[str], folder: Path, by: str) -> None:
    """HTTP/2 is switched on by the option, or by the home's configuration."""
    site = bound_site(folder / f"http2-{by}")
    if by == "config":
        (site.home.root / "config.toml").write_text("http2 = true\n")
    options = ["--set", "flow_detail=4", *(["--set", "seks_http2=true"] if by == "option" else [])]
    with Mitmdump(site, *reach, more=options) as proxy, h2_tunnel(proxy, HOST) as wire:
        token = site.token("openai")
        answer = wire.ask("GET", "/echo", bearer(token), host=HOST)

        assert answer.header("x-echo-authorization") == f"Bearer {token}"
        assert hosts.requests[-1].authorization == f"Bearer {site.credentials[0]}"


def test_home_that_is_none(folder: Path) -> None:
    """Without a vault it ends too."""
    site = bound_site(folder / "no-vault")
    site.home.vault.unlink()
    proxy = Mitmdump(site)

    proxy.launch()

    assert proxy.process is not None
    assert proxy.process.wait(PATIENCE) != 0
    assert "vault.db is missing" in proxy.log
