"""Agents that say who they are, and those that don't."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench
from tests.support.proxy import Proxy
from tests.support.raw import basic, bearer
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def strict(hosts: Upstream, reach: list[str], folder: Path) -> Iterator[Proxy]:
    """A proxy that wants a name and a password."""
    with Proxy(bound_site(folder / "strict"), *reach, "--require-agent-auth") as proxy:
        yield proxy


@pytest.fixture
def bench(strict: Proxy, hosts: Upstream) -> Bench:
    """That proxy, with an agent of its own for each test."""
    bench = Bench(strict, hosts)
    name = f"agent-{bench.mark}"
    bench.user = strict.site.agent(name)
    bench.token = strict.site.token("openai", agent=name)
    return bench


def test_required(bench: Bench) -> None:
    """A 407 asks for the name and password, which then open the tunnel on the same connection."""
    with bench.proxy.wire() as wire:
        asked = wire.connect(f"{HOST}:443")
        given = wire.connect(f"{HOST}:443", bench.user)
        wire.start_tls(bench.site.home.ca_cert, HOST)
        answer = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)

    bench.refused(asked, "agent_auth_required")
    assert (asked.header("proxy-authenticate") or "").startswith("Basic ")
    assert not asked.closes
    assert (given.status, answer.status) == (200, 200)


def test_required_in_clear(bench: Bench) -> None:
    """A request in clear says who sends it too; the password goes no further."""
    assert bench.user is not None
    target = f"http://localhost:{bench.upstream.port}/"

    with bench.proxy.wire() as wire:
        asked = wire.request("GET", target, host=f"localhost:{bench.upstream.port}")
        known = ("Proxy-Authorization", basic(bench.user))
        given = wire.request("GET", target, known, host=f"localhost:{bench.upstream.port}")

    bench.refused(asked, "agent_auth_required")
    bench.refused(given, "address_blocked")


@pytest.mark.parametrize(
    "value",
    [
        "Basic {wrong_password}",
        "Basic {wrong_name}",
        "Basic {empty}",
        "Basic {no_colon}",
        "Basic !!!",
        "Bearer {token}",
        "{right}",
    ],
)
def test_failed(bench: Bench, value: str) -> None:
    """A wrong name, a wrong password and nonsense are answered alike, and never quoted."""
    assert bench.user is not None
    name, _, password = bench.user.partition(":")
    pairs = {
        "wrong_password": f"{name}:{password}x",
        "wrong_name": f"nobody:{password}",
        "empty": ":",
        "no_colon": name,
        "right": bench.user,
    }
    encoded = {key: basic(pair).removeprefix("Basic ") for key, pair in pairs.items()}

    with bench.proxy.wire() as wire:
        header = ("Proxy-Authorization", value.format(token=bench.token, **encoded))
        answer = wire.request("CONNECT", f"{HOST}:443", header, host=f"{HOST}:443")

        record = bench.refused(answer, "agent_auth_failed")
        assert wire.connect(f"{HOST}:443", bench.user).status == 200

    assert answer.header("proxy-authenticate") is not None
    assert password not in answer.text()
    assert record["agent"] is None
    bench.untouched()


def test_twice(bench: Bench) -> None:
    """Two credentials are none."""
    assert bench.user is not None
    header = ("Proxy-Authorization", basic(bench.user))

    with bench.proxy.wire() as wire:
        answer = wire.request("CONNECT", f"{HOST}:443", header, header, host=f"{HOST}:443")

    bench.refused(answer, "agent_auth_failed")


def test_client_of_its_own(bench: Bench) -> None:
    """An agent of another client names both, and has that client's secrets only."""
    user = bench.site.agent("worker", client="acme")
    bench.site.secret("openai", (HOST, "bearer"), client="acme")
    token = bench.site.token("openai", agent="worker", client="acme")

    own = bench.proxy.get(HOST, "/v1/models", bearer(token), user=user)
    foreign = bench.proxy.get(HOST, "/v1/models", bearer(bench.token), user=user)

    assert own.status == 200
    assert bench.upstream.requests[0].authorization == f"Bearer {bench.site.credentials[-1]}"
    record = bench.tripped(foreign, "token_unknown")
    assert (record["client"], record["agent"]) == ("acme", "worker")
    assert [(r["client"], r["agent"]) for r in bench.intents()] == [("acme", "worker")]


def test_password_stays_here(bench: Bench) -> None:
    """The password reaches no host, and no log line."""
    assert bench.user is not None

    assert bench.get("/v1/models").status == 200

    password = bench.user.partition(":")[2]
    assert password.encode() not in bench.upstream.requests[0].raw_head
    assert password not in bench.proxy.log


def test_who_gives_a_name_must_be_right(proxy: Proxy, hosts: Upstream) -> None:
    """Where nobody has to say who it is, who does has to be right."""
    bench = Bench(proxy, hosts)

    with proxy.wire() as wire:
        answer = wire.connect(f"{HOST}:443", "default:wrong")

    bench.refused(answer, "agent_auth_failed")
