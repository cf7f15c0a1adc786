"""Tokens that may not be used: here, now, so, or by this agent."""

import base64
import json
from datetime import timedelta

import pytest

from seks_addon.policy import Policy
from seks_addon.timing import now
from seks_addon.tokens import new_token
from tests.support.bench import HOST, Bench, refusal
from tests.support.raw import basic, bearer


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param("/v1/models?api_key={}", [], id="query"),
        pytest.param("/v1/models?api_key={}", ["Authorization: Bearer {}"], id="query and header"),
    ],
)
def test_misplaced(bench: Bench, target: str, headers: list[str]) -> None:
    """A token anywhere but in a declared place, as its whole value, is refused and named in the audit log."""
    token = bench.token
    words = {
        "basic": base64.b64encode(f"user:{token}".encode()).decode(),
        "tail": token.removeprefix("seks_openai"),
    }
    filled = [tuple(header.format(token, token, **words).split(": ", 1)) for header in headers]

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", target.format(token, **words), *filled, host=HOST)

        record = bench.refused(answer, "token_misplaced")
        bench.untouched()
        bench.serves(wire)

    assert (record["secret"], record["token_id"]) == ("openai", bench.site.token_id(token))
    assert token not in json.dumps(record)


def test_misplaced_in_wrong_half(bench: Bench) -> None:
    """Where the credential is the password, a token as the user name is refused."""
    name = f"password-{bench.mark}"
    bench.site.secret(name, (HOST, "basic:password"))
    token = bench.site.token(name)

    wrong = bench.get("/v1/models", ("Authorization", basic(f"{token}:x")))
    right = bench.get("/v1/models", ("Authorization", basic(f"user:{token}")))

    bench.refused(wrong, "token_misplaced")
    assert right.status == 200
    assert len(bench.upstream.requests) == 1


def test_unknown_are_alike(bench: Bench) -> None:
    """An invented token, another agent's and another client's are refused with the same bytes, but for the id."""
    other = f"other-{bench.mark}"
    bench.site.agent(other)
    bench.site.agent(other, client=other)
    bench.site.secret("openai", (HOST, "bearer"), client=other)
    tokens = [
        new_token("openai"),
        bench.site.token("openai", agent=other),
        bench.site.token("openai", agent=other, client=other),
    ]

    with bench.proxy.tunnel(HOST) as wire:
        answers = [wire.request("GET", "/v1/models", bearer(token), host=HOST) for token in tokens]
        bench.untouched()
        bench.serves(wire)

    # Known ones raise an alarm besides, which the agent doesn't see.
    found = [bench.records(refusal(a, "token_unknown"), n) for a, n in zip(answers, (1, 2, 2), strict=True)]
    records = [refused for refused, *_ in found]
    texts = {answer.text().replace(record["request_id"], "ID") for answer, record in zip(answers, records, strict=True)}
    assert len(texts) == 1
    varying = ("seq", "time", "request_id", "duration_ms", "prev_hash", "hash")
    assert len({str([value for key, value in record.items() if key not in varying]) for record in records}) == 1


def test_revoked(bench: Bench) -> None:
    """Revocation holds from the next request, in a tunnel that is open and over a connection that was used."""
    with bench.proxy.tunnel(HOST) as wire:
        before = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)
        bench.site.revoke(bench.token)
        answer = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)

        assert before.status == 200
        record = bench.refused(answer, "token_revoked")
        assert len(bench.upstream.requests) == 1
        bench.token = bench.site.token("openai")
        bench.serves(wire)

    assert record["secret"] == "openai"


def test_removed_secret(bench: Bench) -> None:
    """The tokens of a secret that was removed are unknown."""
    name = f"removed-{bench.mark}"
    bench.site.secret(name, (HOST, "bearer"))
    token = bench.site.token(name)
    with bench.site.vault() as vault:
        vault.secrets.remove(vault.clients.get("default"), name)

    bench.refused(bench.get("/v1/models", bearer(token)), "token_unknown")
    bench.untouched()


@pytest.mark.parametrize("what", ["token", "secret"])
def test_expired(bench: Bench, what: str) -> None:
    """A token is refused after its own end, and after its secret's."""
    name, yesterday = f"expired-{what}-{bench.mark}", now() - timedelta(days=1)
    bench.site.secret(name, (HOST, "bearer"), expires=yesterday if what == "secret" else None)
    token = bench.site.token(name, expires=yesterday if what == "token" else None)

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", "/v1/models", bearer(token), host=HOST)

        record = bench.refused(answer, "token_expired")
        bench.untouched()
        bench.serves(wire)

    assert record["secret"] == name


@pytest.mark.parametrize("host", ["unbound.example.com", "api.anthropic.com"])
def test_host(bench: Bench, host: str) -> None:
    """A token opens nothing at a host that its secret isn't bound to, be it another secret's or nobody's."""
    with bench.proxy.tunnel(host) as wire:
        answer = wire.request("GET", "/v1/models", bearer(bench.token), host=host)
        record = bench.tripped(answer, "host_not_allowed")
        bench.untouched()

        assert wire.request("GET", "/v1/models", host=host).status == 200

    assert (record["host"], record["secret"]) == (host, "openai")
    assert HOST in answer.json()["error"]["hint"]


@pytest.mark.parametrize("whose", ["secret", "token"])
@pytest.mark.parametrize(
    ("policy", "method", "target", "code"),
    [
        (Policy(methods=("GET",)), "POST", "/v1/models", "method_not_allowed"),
        (Policy(path_prefixes=("/v1/models",)), "GET", "/v1/modelsx", "path_not_allowed"),
        (Policy(path_prefixes=("/v1/models",)), "GET", "/v2?/v1/models", "path_not_allowed"),
        (Policy(methods=("GET",), path_prefixes=("/v1",)), "GET", "/", "path_not_allowed"),
        (Policy(path_prefixes=("/v1",)), "GET", "/v1//models", "path_not_allowed"),
        (Policy(path_prefixes=("/v1",)), "GET", "/v1/models;a=b", "path_not_allowed"),
        (Policy(paths=("/v1/mod*",)), "GET", "/v1/models/x", "path_not_allowed"),
        (Policy(paths=("/v1/*els", "/v2/**")), "GET", "/v1/%6dodel%53", "path_not_allowed"),
    ],
)
def test_policy(bench: Bench, whose: str, policy: Policy, method: str, target: str, code: str) -> None:
    """A method or path that the secret's or the token's policy doesn't allow is refused."""
    name = f"policy-{bench.mark}-{whose}"
    bench.site.secret(name, (HOST, "bearer"), policy=policy if whose == "secret" else None)
    token = bench.site.token(name, policy=policy if whose == "token" else None)

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request(method, target, bearer(token), host=HOST, body=b"")

        record = bench.refused(answer, code)
        bench.untouched()
        assert wire.request("GET", "/v1/models", bearer(token), host=HOST).status == 200

    assert (record["method"], record["path"]) == (method, target.partition("?")[0])


@pytest.mark.parametrize("policy", [Policy(path_prefixes=("/v1/models",)), Policy(paths=("/*/models",))])
def test_policy_and_spellings(bench: Bench, policy: Policy) -> None:
    """An allowed path is allowed in every spelling, and sent on in the agent's own."""
    token = bench.site.token("openai", policy=policy)

    with bench.proxy.tunnel(HOST) as wire:
        for target in ("/v1/%6dodels", "/%76%31/models", "/v1/model%73?x=%2F"):
            assert wire.request("GET", target, bearer(token), host=HOST).code is None
            assert bench.upstream.requests[-1].target == target


def test_policy_hosts(bench: Bench) -> None:
    """A token that is narrowed to one of its secret's hosts isn't used at another."""
    name, other = f"hosts-{bench.mark}", "api.anthropic.com"
    bench.site.secret(name, (HOST, "bearer"), (other, "bearer"))
    token = bench.site.token(name, policy=Policy(hosts=(HOST,)))

    record = bench.refused(bench.proxy.get(other, "/v1/models", bearer(token)), "host_not_allowed")

    bench.untouched()
    assert record["token_id"] == bench.site.token_id(token)
    assert bench.proxy.get(HOST, "/v1/models", bearer(token)).status == 200


def test_agent_disabled(bench: Bench) -> None:
    """An agent that is disabled is shut out at once, also in the middle of an open tunnel."""
    name = f"disabled-{bench.mark}"
    user = bench.site.agent(name)
    token = bench.site.token("openai", agent=name)

    def enable(enabled: bool) -> None:
        with bench.site.vault() as vault:
            vault.agents.set_enabled(vault.clients.get("default"), name, enabled)

    with bench.proxy.tunnel(HOST, user=user) as wire, bench.proxy.wire() as other:
        before = wire.request("GET", "/v1/models", bearer(token), host=HOST)
        enable(False)
        inside = wire.request("GET", "/v1/models", bearer(token), host=HOST)
        without_token = wire.request("GET", "/v1/models", host=HOST)
        connect = other.connect(f"{HOST}:443", user)
        bench.upstream.clear() if before.status == 200 else None

        for answer in (inside, without_token, connect):
            bench.refused(answer, "agent_disabled")
        bench.untouched()
        enable(True)
        assert wire.request("GET", "/v1/models", bearer(token), host=HOST).status == 200
