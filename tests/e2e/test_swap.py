"""The token in the head of a request goes out as the credential, and nothing else changes."""

import base64
import re
from datetime import UTC, datetime

import pytest

from seks_addon.tokens import find_lookalikes
from tests.support.bench import HOST, Bench
from tests.support.raw import basic, bearer

EXCHANGE_FIELDS = [
    *(
        "seq",
        "time",
        "request_id",
        "event",
        "outcome",
        "reason",
        "client",
        "agent",
        "secret",
        "provider",
        "token_id",
    ),
    *("source_ip", "method", "scheme", "host", "port", "path", "status", "request_bytes", "response_bytes"),
    *("scrubbed", "duration_ms", "prev_hash", "hash"),
]


@pytest.mark.parametrize(
    ("secret", "host", "name", "value"),
    [
        ("openai", HOST, "Authorization", "Bearer {}"),
        ("openai", HOST, "authorization", "bearer {}"),
        ("anthropic", "api.anthropic.com", "x-api-key", "{}"),
        ("anthropic", "api.anthropic.com", "Authorization", "Bearer {}"),
    ],
)
def test_header(bench: Bench, secret: str, host: str, name: str, value: str) -> None:
    """The token in a declared header goes out as the credential, once, in the header's own spelling."""
    token = bench.site.token(secret)
    key = next(key for key in bench.site.credentials if f"-{secret}-" in key)

    answer = bench.proxy.get(host, "/v1/models", (name, value.format(token)))

    (received,) = bench.upstream.requests
    assert answer.status == 200
    assert f"\r\n{name}: {value.format(key)}\r\n".encode() in received.raw_head
    assert received.raw_head.count(key.encode()) == 1
    assert not find_lookalikes(received.raw_head.decode())
    assert received.sni == host


@pytest.mark.parametrize(("pair", "swapped"), [("x-access-token:{}", "x-access-token:{}"), ("{}:x", "{}:x")])
def test_basic(bench: Bench, pair: str, swapped: str) -> None:
    """A token that is a half of a Basic pair goes out as the credential, encoded with the other half."""
    token = bench.site.token("github")
    key = bench.site.credentials[2]

    answer = bench.proxy.get("github.com", "/echo", ("Authorization", basic(pair.format(token))))

    (received,) = bench.upstream.requests
    sent = base64.b64decode(received.authorization.removeprefix("Basic ")).decode()
    assert sent == swapped.format(key)
    assert not find_lookalikes(sent)
    assert answer.header("x-echo-authorization") == basic(pair.format(token))
    bench.site.assert_no_leak(answer.text().encode())


@pytest.mark.parametrize(
    ("secret", "headers", "target"),
    [
        ("in-query", [], "/echo?a=%20&key={}&b=1"),
        ("in-path", [], "/bot{}/echo?a=1"),
        ("in-cookie", [("Cookie", "a=1; session={}; b=2")], "/echo"),
    ],
)
def test_other_places(bench: Bench, secret: str, headers: list[tuple[str, str]], target: str) -> None:
    """In the query, the path or a cookie, the token goes out as the credential; what is around it stays."""
    token = bench.site.token(secret)
    key = next(key for key in bench.site.credentials if f"-{secret}-" in key)

    answer = bench.proxy.get(
        "places.example.com", target.format(token), *((name, value.format(token)) for name, value in headers)
    )

    (received,) = bench.upstream.requests
    assert received.target == target.format(key)
    assert all(received.header(name) == value.format(key) for name, value in headers)
    assert received.raw_head.count(key.encode()) == 1
    assert not find_lookalikes(received.raw_head.decode())
    bench.site.assert_no_leak(answer.text().encode())
    (intent,) = bench.intents()
    assert key not in str(intent)
    assert not find_lookalikes(str(intent))


@pytest.mark.parametrize(
    "target",
    ["/echo?key={}&key=1", "/echo?key={0}&other={0}", "/bot{0}/{0}", "/x/bot{}/", "/bot{}x/echo", "/?x=%73eks{1}"],
)
def test_beside_the_place(bench: Bench, target: str) -> None:
    """Twice, elsewhere, or with more in it: refused, and nothing goes out."""
    token = bench.site.token("in-path" if "bot" in target else "in-query")

    answer = bench.proxy.get("places.example.com", target.format(token, token.removeprefix("seks")))

    assert answer.code in ("token_misplaced", "token_malformed")
    bench.untouched(opened=1)


def test_records(bench: Bench) -> None:
    """A use of a credential is one intent and one outcome, every field of which is right."""
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("POST", "/echo?secret=none", bearer(bench.token), host=HOST, body=b"0123456789")
    intent, outcome = bench.proxy.records(bench.mark, 2)

    known = {
        "reason": None,
        "outcome": "allowed",
        "client": "default",
        "agent": "default",
        "secret": "openai",
        "provider": "openai",
        "token_id": bench.site.token_id(bench.token),
        "source_ip": "127.0.0.1",
        "method": "POST",
        "scheme": "https",
        "host": HOST,
        "port": 443,
        "path": "/echo",
    }
    assert list(intent) == list(outcome) == EXCHANGE_FIELDS
    for record, event in ((intent, "intent"), (outcome, "outcome")):
        assert record.items() >= {**known, "event": event}.items()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["time"])
        assert abs((datetime.fromisoformat(record["time"]) - datetime.now(UTC)).total_seconds()) < 60
    assert intent["request_id"] == outcome["request_id"]
    assert (outcome["seq"], outcome["prev_hash"]) == (intent["seq"] + 1, intent["hash"])
    unknown_before = ("status", "request_bytes", "response_bytes", "scrubbed", "duration_ms")
    assert [intent[name] for name in unknown_before] == [None] * 5
    # Twice in the answer: in a header, and in the body, where the key was as many characters shorter.
    shorter = len(bench.token) - len(bench.key)
    assert [outcome[name] for name in unknown_before[:-1]] == [200, 10, len(answer.body) - shorter, 2]
    assert outcome["duration_ms"] in range(10_000)


def test_keep_alive(bench: Bench) -> None:
    """Many requests on one tunnel travel over one connection to the host, each with its own records."""
    with bench.proxy.tunnel(HOST) as wire:
        answers = [wire.request("GET", "/v1/models", bearer(bench.token), host=HOST) for _ in range(20)]

    assert [answer.status for answer in answers] == [200] * 20
    assert len({received.connection for received in bench.upstream.requests}) == bench.upstream.accepts == 1
    records = bench.proxy.records(bench.mark, 40)
    assert len({record["request_id"] for record in records}) == 20


def test_two_tokens_in_turn(bench: Bench) -> None:
    """Requests of one tunnel may use one token after the other: no credential stays behind."""
    bench.site.secret(f"second-{bench.mark}", (HOST, "header:X-Second: {}"))
    second = bench.site.token(f"second-{bench.mark}")

    with bench.proxy.tunnel(HOST) as wire:
        for header in (bearer(bench.token), ("X-Second", second), ("X-None", "1")):
            assert wire.request("GET", "/v1/models", header, host=HOST).status == 200

    heads = [received.raw_head.decode() for received in bench.upstream.requests]
    expected = [{bench.key}, {bench.site.credentials[-1]}, set()]
    assert [{key for key in bench.site.credentials if key in head} for head in heads] == expected


def test_two_tokens_at_once(bench: Bench) -> None:
    """One request may use two tokens; each has its records."""
    bench.site.secret(f"beside-{bench.mark}", (HOST, "header:X-Beside: {}"))
    beside = bench.site.token(f"beside-{bench.mark}")

    answer = bench.get("/echo", bearer(bench.token), ("X-Beside", beside))

    (received,) = bench.upstream.requests
    assert (received.authorization, received.header("x-beside")) == (
        f"Bearer {bench.key}",
        bench.site.credentials[-1],
    )
    assert ["X-Beside", beside] in answer.json()["headers"]
    events = [(record["event"], record["secret"]) for record in bench.proxy.records(bench.mark, 4)]
    names = ("openai", f"beside-{bench.mark}")
    assert events == [(event, name) for event in ("intent", "outcome") for name in names]


def test_head_that_is_refused(bench: Bench) -> None:
    """The answer to HEAD has no body, a refusal's neither: the next answer on the connection is the next one."""
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("HEAD", "/v1/models", ("X-Wrong", bench.token), host=HOST)
        assert (answer.status, answer.code) == (400, "token_misplaced")
        bench.serves(wire)


def test_without_token(bench: Bench) -> None:
    """A request without a token passes, and the host's 401 comes back: git begins like that.

    As the host may know a credential of the agent's by now, all of the answer is asked for, and not compressed.
    """
    bench.upstream.require_auth = lambda received: bool(received.authorization)
    try:
        with bench.proxy.tunnel(HOST) as wire:
            first = wire.request("GET", "/v1/models", ("Accept-Encoding", "br"), ("Range", "bytes=0-"), host=HOST)
            second = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)
    finally:
        bench.upstream.require_auth = None

    assert (first.status, second.status) == (401, 200)
    assert bench.upstream.requests[0].headers == [
        ("Host", HOST),
        ("Accept-Encoding", "identity"),
    ]
    assert first.json()["error"]["code"] == "invalid_api_key"
    assert len(bench.intents()) == 1


def test_real_credential_of_the_agent_own(bench: Bench) -> None:
    """A credential that the agent has of its own is none of the proxy's business."""
    bench.get("/echo", ("Authorization", "Bearer sk-own"))

    assert bench.upstream.requests[0].authorization == "Bearer sk-own"
    assert bench.intents() == []


def test_hop_by_hop_headers_stay_here(bench: Bench) -> None:
    """Headers for the proxy, and those that ask for what can't be made safe, don't travel with a credential."""
    dropped = ["Proxy-Connection", "Range", "If-Range", "A-IM", "TE", "X-HTTP-Method-Override", "Upgrade", "X-Named"]

    bench.get("/echo", bearer(bench.token), ("Connection", "x-named"), *((name, "any") for name in dropped))

    names = {name.lower() for name, _ in bench.upstream.requests[0].headers}
    assert names == {"host", "authorization", "accept-encoding"}


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_methods(bench: Bench, method: str) -> None:
    """Every usual method works, and its connection stays."""
    with bench.proxy.tunnel(HOST) as wire:
        for _ in range(2):
            assert wire.request(method, "/echo", bearer(bench.token), host=HOST).status == 200

    assert [received.method for received in bench.upstream.requests] == [method] * 2
    assert bench.upstream.accepts == 1


def test_expect_continue(bench: Bench) -> None:
    """A client that waits for `100 Continue` gets it, then sends its body."""
    with bench.proxy.tunnel(HOST) as wire:
        fields = (bearer(bench.token), ("Expect", "100-continue"), ("Content-Length", "4"))
        wire.send_head("POST", "/upload", *fields, host=HOST)
        interim = wire.answer_head("POST")
        wire.send(b"body")
        answer = wire.answer("POST")

    assert (interim.status, answer.status) == (100, 200)
    assert answer.json()["bytes"] == 4


def test_absolute_form_in_tunnel(bench: Bench) -> None:
    """An absolute-form target that names the same host is the same request."""
    answer = bench.get(f"https://{HOST}/v1/models")

    assert answer.status == 200
    assert bench.upstream.requests[0].target == "/v1/models"


def test_host_in_other_spellings(bench: Bench) -> None:
    """Case, a trailing dot and the default port don't matter."""
    with bench.proxy.tunnel("API.OpenAI.com.:443", server_name="api.OPENAI.com") as wire:
        answers = [
            wire.request("GET", "/v1/models", bearer(bench.token), host=host)
            for host in ("Api.openai.com", f"{HOST}:443", f"{HOST}.")
        ]

    assert [answer.status for answer in answers] == [200] * 3
    assert {received.sni for received in bench.upstream.requests} == {HOST}


def test_pipelined_requests(bench: Bench) -> None:
    """Requests that are sent without waiting are answered in their order."""
    with bench.proxy.tunnel(HOST) as wire:
        for code in (200, 404, 503):
            wire.send_head("GET", f"/status/{code}", bearer(bench.token), host=HOST)
        answers = [wire.answer() for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 404, 503]
    bench.proxy.records(bench.mark, 6)
