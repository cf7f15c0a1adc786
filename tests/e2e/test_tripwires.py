"""Tokens that are seen at a host that they aren't bound to, or in another agent's hands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, Bench, refusal
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import basic, bearer
from tests.support.upstream import Upstream

EVIL = "unbound.example.com"


@pytest.fixture(scope="module")
def revoking(reach: list[str], hosts: Upstream, folder: Path) -> Iterator[Bench]:
    """A proxy that revokes on the spot."""
    with Proxy(bound_site(folder / "tripwires"), *reach, "--tripwire-revoke") as proxy:
        yield Bench(proxy, hosts)


def is_revoked(bench: Bench, token: str) -> bool:
    """Whether a token was revoked in the vault."""
    with bench.site.vault() as vault:
        return vault.tokens.get(token).revoked is not None


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/", ["X-Any: {}"]), ("/?q={}", []), ("/{}", []), ("/", ["Authorization: Bearer nothing", "Cookie: a={}"])],
)
def test_anywhere_in_a_head(bench: Bench, target: str, headers: list[str]) -> None:
    """Any place counts. The record names the token, the log its name; neither holds it, and nothing is revoked."""
    pairs = [tuple(header.format(bench.token).split(": ", 1)) for header in headers]

    answer = bench.proxy.get(EVIL, target.format(bench.token), *pairs)  # type: ignore[arg-type]

    record = bench.tripped(answer, "host_not_allowed")
    assert (record["host"], record["secret"], record["agent"]) == (EVIL, "openai", "default")
    assert record["token_id"] == bench.site.token_id(bench.token)
    assert bench.token not in str(record) + bench.proxy.log
    [line] = [line for line in bench.proxy.log.splitlines() if "tripwire" in line and record["request_id"] in line]
    assert record["token_id"] in line
    assert not is_revoked(bench, bench.token)
    bench.untouched()


def test_connect(bench: Bench) -> None:
    """A CONNECT's own headers count too; nobody gets a tunnel to ask for more."""
    with bench.proxy.wire() as wire:
        wire.send_head("CONNECT", f"{EVIL}:443", bearer(bench.token), host=f"{EVIL}:443")
        answer = wire.answer("CONNECT")

        record = bench.tripped(answer, "host_not_allowed")
        assert (record["method"], record["host"]) == ("CONNECT", EVIL)
        wire.send_head("CONNECT", f"{HOST}:443", bearer(bench.token), host=f"{HOST}:443")
        assert wire.answer("CONNECT").status == 200


def test_another_refusal(bench: Bench) -> None:
    """What else is wrong with the request doesn't hide the token in it."""
    damaged = bench.token[:-1] + ("0" if bench.token[-1] != "0" else "1")
    with bench.proxy.tunnel(EVIL) as wire:
        first = wire.request("GET", "/", ("X-A", damaged), ("X-B", bench.token), host=EVIL)
        bench.tripped(first, "token_malformed")
        second = wire.request("GET", "/", ("X-B", bench.token), host=HOST)
        bench.tripped(second, "authority_mismatch")


def test_in_clear(bench: Bench) -> None:
    """In clear, a token at its own host is a slip, and at another one it isn't."""
    for host, check in ((HOST, bench.refused), (EVIL, bench.tripped)):
        with bench.proxy.wire() as wire:
            wire.send_head("GET", f"http://{host}/", bearer(bench.token), host=host)
            check(wire.answer(), "cleartext_refused")


def test_slips(bench: Bench) -> None:
    """The wrong place at the right host is a client's mistake: refused, and no alarm."""
    bench.refused(bench.get("/v1/models", ("X-Other", bench.token)), "token_misplaced")


def test_revoked(revoking: Bench) -> None:
    """Its revocation is on record as any other, once, and holds from then on; other tokens go on."""
    bench, token = revoking, revoking.site.token("openai")
    request_ids = []
    with bench.proxy.tunnel(EVIL) as wire:
        for _ in range(3):
            answer = wire.request("GET", "/", bearer(token), host=EVIL)
            request_ids.append(answer.json()["error"]["request_id"])
            wait_for(lambda: is_revoked(bench, token))

    after = bench.get("/v1/models", bearer(token))

    bench.refused(after, "token_revoked")
    wait_for(lambda: len([r for r in bench.site.records(bench.mark) if r["request_id"] in request_ids]) == 7)
    [admin] = [r for r in bench.site.records(bench.mark) if r["event"] == "admin"]
    assert (admin["reason"], admin["token_id"]) == ("token.revoke", bench.site.token_id(token))
    assert (admin["client"], admin["agent"], admin["secret"]) == ("default", "default", "openai")
    assert admin["request_id"] == request_ids[0]
    bench.serves()


def test_in_the_wrong_hands(revoking: Bench) -> None:
    """Another agent's token is answered as one that doesn't exist, at its own host too; but it is burnt."""
    bench = revoking
    user = bench.site.agent("thief", client="den")
    token = bench.site.token("openai")

    answer = bench.proxy.get(HOST, "/v1/models", bearer(token), user=user)

    request_id = refusal(answer, "token_unknown")
    wait_for(lambda: is_revoked(bench, token))
    wait_for(lambda: len([r for r in bench.site.records(bench.mark) if r["request_id"] == request_id]) == 3)
    records = {r["event"]: r for r in bench.site.records(bench.mark) if r["request_id"] == request_id}
    assert (records["refused"]["agent"], records["refused"]["token_id"]) == ("thief", None)
    assert (records["tripwire"]["agent"], records["tripwire"]["secret"]) == ("thief", "openai")
    assert (records["admin"]["agent"], records["admin"]["client"]) == ("default", "default")
    bench.serves()


def test_nobody(bench: Bench) -> None:
    """Who doesn't say who it is, or can't prove it, trips nothing: clients send a first request without a name."""
    with bench.proxy.wire() as wire:
        wire.send_head(
            "CONNECT",
            f"{EVIL}:443",
            bearer(bench.token),
            ("Proxy-Authorization", basic("default:wrong")),
            host=f"{EVIL}:443",
        )

        bench.refused(wire.answer("CONNECT"), "agent_auth_failed")


def test_locked_vault(revoking: Bench) -> None:
    """A revocation waits for whoever changes the vault, and keeps no request waiting."""
    bench, token = revoking, revoking.site.token("openai")
    with bench.site.vault() as vault, vault.change():
        answer = bench.proxy.get(EVIL, "/", bearer(token))
        assert refusal(answer, "host_not_allowed")
        bench.serves()

    wait_for(lambda: is_revoked(bench, token))
