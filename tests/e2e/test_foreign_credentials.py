"""Agents that would work in an account of their own, at a host that a secret is bound to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench
from tests.support.proxy import Proxy
from tests.support.raw import basic, bearer
from tests.support.upstream import Upstream

FOREIGN = "sk-FAKE-an-attackers-own-key"
WARNED = "api.anthropic.com"
UNBOUND = "unbound.example.com"


@pytest.fixture(scope="module")
def bench(reach: list[str], hosts: Upstream, folder: Path) -> Iterator[Bench]:
    """A proxy that refuses foreign credentials but at two hosts."""
    site = bound_site(folder / "foreign")
    with site.vault() as vault:
        vault.clients.add("other")
    rules = ["--foreign-credentials-at", f"{WARNED}=warn", "--foreign-credentials-at", "**.github.com=pass"]
    with Proxy(site, *reach, "--foreign-credentials", "block", *rules) as proxy:
        yield Bench(proxy, hosts)


@pytest.mark.parametrize(
    ("host", "target", "header"),
    [
        (HOST, "/v1/models", bearer(FOREIGN)),
        (HOST, "/v1/models", ("Authorization", basic(f"{FOREIGN}:"))),
        (HOST, "/v1/models", ("X-Api-Key", FOREIGN)),
        (HOST, f"/v1/models?key={FOREIGN}", ("Accept", "*/*")),
        ("places.example.com", "/v1/models", ("Cookie", f"session={FOREIGN}")),
        ("places.example.com", f"/bot{FOREIGN}", ("Accept", "*/*")),
    ],
)
def test_blocked(bench: Bench, host: str, target: str, header: tuple[str, str]) -> None:
    """It is refused before a connection is opened, and the connection stays usable."""
    bench.upstream.clear()
    with bench.proxy.tunnel(host) as wire:
        answer = wire.request("GET", target, header, host=host)

        bench.refused(answer, "egress_denied")
        assert FOREIGN not in answer.text()
        bench.untouched()
        assert wire.request("GET", "/v1/models", host=host).status == 200


def test_beside_a_token(bench: Bench) -> None:
    """A token in the request doesn't make the other credential one."""
    bench.upstream.clear()
    answer = bench.get("/v1/models", bearer(bench.token), ("X-Api-Key", FOREIGN))

    bench.refused(answer, "egress_denied")
    assert bench.intents() == []
    bench.untouched()


@pytest.mark.parametrize("port", ["80", "8080"])
def test_in_clear(bench: Bench, port: str) -> None:
    """Another port of the host is no way out."""
    with bench.proxy.wire() as wire:
        host = f"{HOST}:{port}"
        wire.send_head("GET", f"http://{host}/", bearer(FOREIGN), host=host)

        bench.refused(wire.answer(), "egress_denied")


def test_tokens_pass(bench: Bench) -> None:
    """The agent's own token is what is wanted, and no credential at all is how many clients begin."""
    bench.serves()
    assert bench.proxy.get(HOST, "/v1/models").status == 200


def test_warned(bench: Bench) -> None:
    """It passes, and the log names who sent it where, without its value."""
    answer = bench.proxy.get(WARNED, "/v1/models", ("X-Api-Key", FOREIGN))

    assert answer.status == 200
    assert bench.upstream.requests[-1].header("x-api-key") == FOREIGN
    [line] = [line for line in bench.proxy.log.splitlines() if "foreign credential" in line and WARNED in line]
    assert "agent=default" in line
    assert FOREIGN not in bench.proxy.log


def test_elsewhere(bench: Bench) -> None:
    """Where no secret is bound, an agent's credentials are its own; bound is what its client's secrets are."""
    assert bench.proxy.get(UNBOUND, "/v1/models", bearer(FOREIGN)).status == 200
    assert bench.proxy.get("github.com", "/v1/models", bearer(FOREIGN)).status == 403
    stranger = bench.site.agent("stranger", client="other")
    assert bench.proxy.get(HOST, "/v1/models", bearer(FOREIGN), user=stranger).status == 200


def test_a_later_secret(bench: Bench) -> None:
    """A host is guarded from the moment that a secret is bound to it, in an open tunnel too."""
    with bench.proxy.tunnel(UNBOUND) as wire:
        assert wire.request("GET", "/v1/models", ("X-Odd", FOREIGN), host=UNBOUND).status == 200
        bench.site.secret("odd", ("**.example.com", "header:X-Odd: {}"))
        refused = wire.request("GET", "/v1/models", ("X-Odd", FOREIGN), host=UNBOUND)
        with bench.site.vault() as vault:
            vault.secrets.remove(vault.clients.get("default"), "odd")
        after = wire.request("GET", "/v1/models", ("X-Odd", FOREIGN), host=UNBOUND)

    bench.refused(refused, "egress_denied")
    assert after.status == 200


def test_passed_by_default(proxy: Proxy, hosts: Upstream) -> None:
    """Unless it is asked for, nothing is refused."""
    bench = Bench(proxy, hosts)

    assert bench.get("/v1/models", bearer(FOREIGN)).status == 200
    assert bench.upstream.requests[-1].authorization == f"Bearer {FOREIGN}"
