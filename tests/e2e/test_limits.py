"""How often a secret or a token is used: exactly as often as its policy allows."""

import asyncio
import threading
from pathlib import Path

import psutil
import pytest

from seks_addon.audit import AuditLog
from seks_addon.policy import Policy
from seks_addon.policy.limits import Limits
from tests.e2e.conftest import bound_site
from tests.e2e.test_life import tunnel_in_each, workers_of
from tests.support.bench import HOST, Bench
from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.upstream import Received, Send

MODELS = "/v1/models"


def limited(rate: str | None = None, max_uses: int | None = None, max_concurrent: int | None = None) -> Policy:
    return Policy(limits=Limits.parse(rate, max_uses, max_concurrent))


@pytest.fixture
def counted(bench: Bench) -> "Counted":
    return Counted(bench)


class Counted:
    """Secrets and tokens with limits, and what was counted of them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.secret = f"limited-{bench.mark}"

    def token(self, policy: Policy, whose: str = "token", header: str = "bearer") -> str:
        """A token for a secret of its own; `policy` is whose."""
        site = self.bench.site
        site.secret(self.secret, (HOST, header), policy=policy if whose == "secret" else None)
        return site.token(self.secret, policy=policy if whose == "token" else None)

    def uses(self, token: str, whose: str = "token") -> int:
        with self.bench.site.vault() as vault:
            found = vault.tokens.get(token)
        with AuditLog(self.bench.site.home.audit) as log:
            return log.uses(found.id if whose == "token" else found.secret_id)


@pytest.mark.parametrize("whose", ["token", "secret"])
def test_uses(bench: Bench, counted: Counted, whose: str) -> None:
    """The uses that are allowed pass, the next is refused by name and sends nothing."""
    token = counted.token(limited(max_uses=2), whose)

    with bench.proxy.tunnel(HOST) as wire:
        statuses = [wire.request("GET", MODELS, bearer(token), host=HOST).status for _ in range(2)]
        bench.upstream.clear()
        answer = wire.request("GET", MODELS, bearer(token), host=HOST)
        record = bench.refused(answer, "uses_exhausted")
        bench.untouched()
        bench.serves(wire)

    name = f"the token for the secret '{counted.secret}'" if whose == "token" else f"the secret '{counted.secret}'"
    assert statuses == [200, 200]
    assert answer.json()["error"]["message"] == f"The policy of {name} allows 2 uses, and there are none left."
    assert answer.header("retry-after") is None
    assert (record["secret"], record["token_id"]) == (counted.secret, bench.site.token_id(token))
    assert counted.uses(token, whose) == 2


def test_uses_in_a_body(bench: Bench) -> None:
    """A token in a body is counted as one in a head is."""
    token = bench.site.token("in-form", policy=limited(max_uses=1))
    form = ("Content-Type", "application/x-www-form-urlencoded")

    first, second = (bench.post("places.example.com", "/echo", f"client_secret={token}", form) for _ in range(2))

    assert first.status == 200
    bench.refused(second, "uses_exhausted")
    assert len(bench.upstream.requests) == 1


def test_rate(bench: Bench, counted: Counted) -> None:
    """What comes too fast is told how long to wait."""
    token = counted.token(limited(rate="2/day"))

    answers = [bench.get(MODELS, bearer(token)) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    bench.refused(answers[2], "rate_limited")
    assert 43_000 < int(answers[2].header("retry-after") or 0) <= 43_200
    assert answers[2].json()["error"]["message"].endswith("allows 2 requests a day.")


def test_failed_uses_count(bench: Bench, counted: Counted) -> None:
    """A use counts from its intent on: the credential may have left. What is refused before doesn't."""
    token = counted.token(Policy(methods=("GET",), limits=Limits.parse(None, 1, None)))

    async def breaks_off(_received: Received, _send: Send) -> None:
        raise ConnectionError

    bench.upstream.route("GET", "/broken", breaks_off)
    assert bench.proxy.get(HOST, "/broken", ("X-Api-Key", token)).code == "token_misplaced"
    with bench.proxy.tunnel(HOST) as wire:
        assert wire.request("POST", MODELS, bearer(token), host=HOST, body=b"").code == "method_not_allowed"
    assert counted.uses(token) == 0

    assert bench.get("/broken", bearer(token)).status == 502

    assert bench.get(MODELS, bearer(token)).code == "uses_exhausted"


def test_concurrency(bench: Bench, counted: Counted) -> None:
    """While as many as are allowed are under way another is refused; when one has ended, it passes."""
    token = counted.token(limited(max_concurrent=1))
    go_on = threading.Event()

    async def waits(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        await asyncio.to_thread(go_on.wait, 20)
        await send(b"0\r\n\r\n")

    bench.upstream.route("GET", "/waits", waits)
    with bench.proxy.tunnel(HOST) as first, bench.proxy.tunnel(HOST) as second:
        first.send_head("GET", "/waits", bearer(token), host=HOST)
        assert first.answer_head().status == 200
        assert first.piece() == b"first\n"

        answer = second.request("GET", MODELS, bearer(token), host=HOST)
        bench.refused(answer, "rate_limited")
        go_on.set()
        assert first.piece() == b""

        # The end is handed to the log before the agent sees it.
        statuses = [second.request("GET", MODELS, bearer(token), host=HOST).status for _ in range(5)]

    assert answer.header("retry-after") == "1"
    assert answer.json()["error"]["message"].endswith("allows 1 request at a time.")
    assert statuses == [200] * 5


def test_two_tokens_at_once(bench: Bench, counted: Counted) -> None:
    """A request with two tokens is one use of each, or of none; the refusal names the one that is used up."""
    token = counted.token(limited(max_uses=9))
    beside = Counted(bench)
    beside.secret += "-beside"
    other = beside.token(limited(max_uses=1), header="header:X-Beside: {}")

    answers = [bench.get(MODELS, bearer(token), ("X-Beside", other)) for _ in range(2)]

    assert answers[0].status == 200
    assert bench.refused(answers[1], "uses_exhausted")["secret"] == beside.secret
    assert (counted.uses(token), beside.uses(other)) == (1, 1)


def crash(proxy: Proxy) -> None:
    """End the proxy with all of its workers."""
    workers = workers_of(proxy)
    proxy.kill()
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, 20)


def test_workers_and_restarts(tmp_path: Path, reach: list[str]) -> None:
    """The limit is that of all workers together, and holds over a crash; what was under way then is so no more."""
    site = bound_site(tmp_path / "home")
    several, one = (site.token("openai", policy=policy) for policy in (limited(max_uses=5), limited(max_concurrent=1)))
    with Proxy(site, *reach, "--workers", "2") as proxy:
        wires = tunnel_in_each(proxy)
        answers = [wire.request("GET", MODELS, bearer(several), host=HOST) for _ in range(2) for wire in wires.values()]
        assert [answer.status for answer in answers] == [200] * 4
        waiting, *_ = wires.values()
        waiting.send_head("POST", MODELS, bearer(one), ("Content-Length", "1"), host=HOST)
        proxy.records(0, 9)
        assert proxy.get(HOST, MODELS, bearer(one)).code == "rate_limited"
        crash(proxy)
        for wire in wires.values():
            wire.close()

        proxy.start()
        wires = tunnel_in_each(proxy)
        codes = [wire.request("GET", MODELS, bearer(several), host=HOST).code for wire in wires.values()]
        assert codes == [None, "uses_exhausted"]
        assert proxy.get(HOST, MODELS, bearer(one)).status == 200
        for wire in wires.values():
            wire.close()
