"""HTTP/2, with agents and with hosts: what holds for HTTP/1.1 holds for every stream."""

import contextlib
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import trustme
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from tests.support.bench import Bench, refusal
from tests.support.h2site import H2Request, H2Site
from tests.support.h2wire import H2Wire, ResetStreamError, h2_tunnel, pseudo
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import Answer, ClosedError, bearer
from tests.support.site import Site
from tests.support.upstream import Received, Send, Upstream

H2HOST = "api.openai.com"
H1HOST = "eu.api.openai.com"
HOSTS = (H1HOST, H2HOST)


@pytest.fixture(scope="module")
def host1() -> Iterator[Upstream]:
    """A host that speaks HTTP/1.1."""
    with Upstream(H1HOST) as server:
        yield server


@pytest.fixture(scope="module")
def host2() -> Iterator[H2Site]:
    """A host that speaks HTTP/2."""
    with H2Site(H2HOST) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(host1: Upstream, host2: H2Site, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that speaks HTTP/2."""
    site = Site(tmp_path_factory.mktemp("http2") / "home")
    site.secret("openai")
    reach = [*host1.connect_to(), "--upstream-ca", str(host1.write_ca(folder / "host1-ca.pem"))]
    reach += [*host2.connect_to(), "--upstream-ca", str(host2.write_ca(folder / "host2-ca.pem"))]
    with Proxy(site, "--http2", *reach) as running:
        yield running


@pytest.fixture
def bench(proxy: Proxy, host1: Upstream, host2: H2Site) -> Bench:
    """That proxy, seen from one test."""
    bench = Bench(proxy, host1)
    host2.clear()
    return bench


def ask(bench: Bench, agent: str, host: str, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
    """A request over a connection of its own, by an agent that speaks `agent`."""
    if agent == "h1":
        with bench.proxy.tunnel(host) as wire:
            return wire.request(method, path, bearer(bench.token), host=host, body=body)
    with h2_tunnel(bench.proxy, host) as wire2:
        return wire2.ask(method, path, bearer(bench.token), host=host, body=body)


def serves(bench: Bench, wire: H2Wire, host: str) -> None:
    """Assert that the connection is good."""
    assert wire.ask("GET", "/echo", bearer(bench.token), host=host).status == 200


@pytest.mark.parametrize("agent", ["h1", "h2"])
@pytest.mark.parametrize("host", HOSTS)
def test_swap(bench: Bench, host2: H2Site, agent: str, host: str) -> None:
    """Whatever either side speaks: token in, credential out, token back, on record."""
    answer = ask(bench, agent, host, "/echo", "POST", b"a body")

    if host == H2HOST:
        (received2,) = host2.requests
        seen = (received2.authorization, received2.body, answer.header("x-echo"))
        assert [name for name, _ in received2.fields].count("authorization") == 1
        assert [name for name, _ in received2.fields][:4] == [":method", ":scheme", ":path", ":authority"]
        assert received2.header(":authority") == host
    else:
        (received1,) = bench.upstream.requests
        seen = (received1.authorization, received1.body, answer.header("x-echo-authorization"))
        assert received1.raw_head.startswith(b"POST /echo HTTP/1.1\r\nHost: eu.api.openai.com\r\n")
    assert seen == (f"Bearer {bench.key}", b"a body", f"Bearer {bench.token}")
    assert bench.token in answer.text()
    bench.site.assert_no_leak(answer.text().encode())
    intent, outcome = bench.proxy.records(bench.mark, 2)
    assert (intent["event"], outcome["event"], outcome["outcome"]) == ("intent", "outcome", "allowed")
    assert (outcome["status"], outcome["request_bytes"], outcome["host"]) == (200, 6, host)


@pytest.mark.parametrize("agent", ["h1", "h2"])
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_bodies(bench: Bench, host2: H2Site, agent: str, host: str, size: int) -> None:
    """Bodies pass whole in both directions, however long."""
    sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    host2.handlers["/upload"] = lambda request: request.side.send(request, b"taken")
    upload = ask(bench, agent, host, "/upload", "POST", sent)
    download = ask(bench, agent, host, f"/bytes/{size}")

    assert upload.status == download.status == 200
    assert len(download.body) == size
    if host == H2HOST:
        assert host2.requests[0].body == sent
    else:
        assert bench.upstream.requests[0].body_length == size


@pytest.mark.parametrize(
    ("offers", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2")]
)
def test_negotiation(bench: Bench, offers: list[str], chosen: str) -> None:
    """HTTP/2 where the agent offers it."""
    with bench.proxy.wire() as wire:
        wire.connect(f"{H2HOST}:443")

        assert wire.start_tls(bench.site.home.ca_cert, H2HOST, offers).selected_alpn_protocol() == chosen


def test_off_by_default(host2: H2Site, folder: Path) -> None:
    """Without the option nobody is offered HTTP/2."""
    site = Site(folder / "http2-off")
    reach = [*host2.connect_to(), "--upstream-ca", str(host2.write_ca(folder / "host2-ca.pem"))]
    with Proxy(site, *reach) as proxy, proxy.wire() as wire:
        wire.connect(f"{H2HOST}:443")

        assert wire.start_tls(site.home.ca_cert, H2HOST, ["h2", "http/1.1"]).selected_alpn_protocol() == "http/1.1"


def test_prior_knowledge(bench: Bench, host2: H2Site) -> None:
    """HTTP/2 that wasn't agreed on is no HTTP."""
    with bench.proxy.tunnel(H2HOST) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

        refusal(wire.answer(), "authority_mismatch")
        refusal(wire.answer(), "request_malformed")
        assert wire.is_closed()
    assert host2.requests == []


def test_upgrade(bench: Bench) -> None:
    """An HTTP/1.1 request that would change to HTTP/2 stays what it is."""
    upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]
    with bench.proxy.tunnel(H1HOST) as wire:
        assert wire.request("GET", "/echo", *upgrade, host=H1HOST).status == 200

    (received,) = bench.upstream.requests
    assert not {"upgrade", "http2-settings", "connection"} & {name.lower() for name, _ in received.headers}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "fields",
    [
        pseudo("GET", "/")[1:],
        [*pseudo("GET", "/"), (":path", "/other")],
        [*pseudo("GET", "/"), (":protocol", "websocket")],
        pseudo("GET", "/ HTTP/1.1\r\nx-evil: 1\r\nx:"),
        pseudo("GET /evil HTTP/1.1\r\nx:", "/"),
        pseudo("GET", "https://evil.example/"),
        pseudo("CONNECT", "/"),
        [(":method", "CONNECT"), (":authority", "evil.example:443")],
        [(":method", "CONNECT"), (":protocol", "websocket"), *pseudo("CONNECT", "/")[1:]],
        [*pseudo("GET", "/"), ("X-Evil", "1")],
        [*pseudo("GET", "/"), ("x-own", "1\r\nx-evil: 1")],
        [*pseudo("GET", "/"), ("x-own", "\0")],
        [*pseudo("GET", "/"), ("transfer-encoding", "chunked")],
        [*pseudo("GET", "/"), ("connection", "x-own")],
        [*pseudo("GET", "/"), ("te", "gzip")],
        [("x-own", "1"), *pseudo("GET", "/")],
        [*pseudo("GET", "/"), ("content-length", "50"), ("content-length", "0")],
    ],
)
def test_malformed(bench: Bench, host2: H2Site, host: str, fields: list[tuple[str, str]]) -> None:
    """A head that HTTP/1.1 would read in another way is answered in its stream; the others go on."""
    fields = [(name, host if name == ":authority" and "evil" not in value else value) for name, value in fields]
    with h2_tunnel(bench.proxy, host) as wire:
        bench.refused(wire.answer(wire.send_fields(*fields)), "request_malformed")
        assert (host2.requests, bench.upstream.requests) == ([], [])
        with contextlib.suppress(ResetStreamError):
            assert wire.answer(wire.send_fields(*fields, end=False)).status == 400
        serves(bench, wire, host)


@pytest.mark.parametrize("body", [None, b"", b"x"], ids=["no body", "trailers", "less, and trailers"])
def test_a_body_shorter_than_announced(bench: Bench, body: bytes | None) -> None:
    """The rest isn't taken from the next request: a host that answers at once would read it with another beginning."""
    second = [("x-own", "DELETE /all HTTP/1.0"), bearer(bench.token)]

    async def at_once(_: Received, send: Send) -> bool:
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    bench.upstream.route("POST", "/at-once", at_once)
    with h2_tunnel(bench.proxy, H1HOST) as wire:
        first = wire.send_fields(*pseudo("POST", "/at-once", H1HOST), ("content-length", "50"), end=body is None)
        if body is None:
            bench.refused(wire.answer(first), "request_malformed")
            assert wire.ask("GET", "/echo", *second, host=H1HOST).status == 200
        else:
            wire.send(first, body)
            wire.http.send_headers(first, [("content-length", str(len(body)))], end_stream=True)
            with contextlib.suppress(OSError):
                wire.flush()
            assert wire.wait_closed() is not None

    received = [(got.method, got.path) for got in bench.upstream.requests if got.complete]
    assert received == ([("GET", "/echo")] if body is None else [])
    assert not any(data.startswith(b"DELETE") for data in bench.upstream.malformed)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([*pseudo("GET", "/", "evil.example"), ("authorization", "{}")], "authority_mismatch"),
        ([*pseudo("GET", "/"), ("authorization", "{}"), ("host", "evil.example")], "authority_mismatch"),
        ([*pseudo("GET", "/"), ("x-wrong", "{}")], "token_misplaced"),
        ([*pseudo("GET", "/?q={}")], "token_misplaced"),
        ([*pseudo("GET", "/"), ("cookie", "a=1"), ("cookie", "b={}")], "token_misplaced"),
        ([*pseudo("GET", "/"), ("authorization", "{}"), ("authorization", "{}")], "request_malformed"),
        ([*pseudo("TRACE", "/"), ("authorization", "{}")], "request_malformed"),
        ([*pseudo("GET", "/../v1"), ("authorization", "{}")], "request_malformed"),
        ([*pseudo("GET", "/"), ("authorization", "{}x")], "token_malformed"),
        ([*pseudo("GET", "/"), ("x-long", "x" * 70_000)], "headers_too_large"),
    ],
)
def test_refusals(bench: Bench, host2: H2Site, fields: list[tuple[str, str]], code: str) -> None:
    """What HTTP/1.1 refuses is refused in the same words, and another stream doesn't notice."""
    fields = [
        (name, value.replace("{}", f"Bearer {bench.token}" if name == "authorization" else bench.token))
        for name, value in fields
    ]
    host2.handlers["/held"] = Held(host2)
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        held = wire.request("GET", "/held", host=H2HOST)
        wire.head(held)
        bench.refused(wire.answer(wire.send_fields(*fields)), code)
        host2.release.set()

        assert wire.answer(held).body == b"first, last"
    assert [request.path for request in host2.requests] == ["/held"]


class Held:
    """Answers with a first piece, and with the last when it is told to."""

    def __init__(self, site: H2Site) -> None:
        self._site = site

    def __call__(self, request: H2Request) -> None:
        request.side.send(request, b"first, ", end=False)
        request.side.later.append((self._site.release, lambda: request.side.send(request, b"last", head=False)))


@pytest.mark.parametrize("host", HOSTS)
def test_streams(bench: Bench, host2: H2Site, host: str) -> None:
    """Many at once, each with its own answer and its own records."""
    with h2_tunnel(bench.proxy, host) as wire:
        streams = [
            wire.request("POST", "/echo", bearer(bench.token), host=host, body=b"%d" % number) for number in range(60)
        ]
        answers = [wire.answer(stream) for stream in streams]

    assert [json.loads(answer.body)["body"] for answer in answers] == [str(number) for number in range(60)]
    records = bench.proxy.records(bench.mark, 120)
    assert [record["event"] for record in records].count("intent") == 60
    assert {record["outcome"] for record in records} == {"allowed"}
    assert len({record["request_id"] for record in records}) == 60


@pytest.mark.parametrize("limit", [1, 3])
def test_few_streams(limit: int, folder: Path, tmp_path: Path) -> None:
    """A host that takes few streams at once gets more connections, and every request its credential."""
    site = Site(folder / f"few-{limit}")
    site.secret("openai")
    with H2Site(H2HOST, streams=limit) as host:
        reach = [*host.connect_to(), "--upstream-ca", str(host.write_ca(tmp_path / "ca.pem"))]
        with Proxy(site, "--http2", *reach) as proxy, h2_tunnel(proxy, H2HOST) as wire:
            token = site.token("openai")
            assert wire.ask("GET", "/echo", bearer(token), host=H2HOST).status == 200
            host.handlers["/held"] = Held(host)
            streams = [wire.request("GET", "/held", bearer(token), host=H2HOST) for _ in range(20)]
            for stream in streams:
                wire.head(stream)
            host.release.set()

            assert {wire.answer(stream).body for stream in streams} == {b"first, last"}
        assert {request.authorization for request in host.requests} == {f"Bearer {site.credentials[0]}"}


def test_connections_are_used_again(bench: Bench) -> None:
    """Before a host that speaks HTTP/1.1, one stream after the other takes the same connection."""
    with h2_tunnel(bench.proxy, H1HOST) as wire:
        for _ in range(10):
            serves(bench, wire, H1HOST)

    assert bench.upstream.accepts == 1


def test_trailers(bench: Bench, host2: H2Site) -> None:
    """An answer's trailers pass, scrubbed, less what would change the answer; HTTP/1.1 agents don't get any."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        answer = wire.ask("GET", "/trailers", bearer(bench.token), ("te", "trailers"), host=H2HOST)
    with bench.proxy.tunnel(H2HOST) as wire1:
        plain = wire1.request("GET", "/trailers", bearer(bench.token), host=H2HOST)
        again = wire1.request("GET", "/echo", bearer(bench.token), host=H2HOST)

    assert answer.trailers == [("grpc-status", "0"), ("x-echo", f"Bearer {bench.token}")]
    assert answer.body == plain.body == f"body Bearer {bench.token}".encode()
    assert again.status == 200
    assert [request.header("te") for request in host2.requests] == ["trailers", None, None]


def test_only_trailers(bench: Bench, host2: H2Site) -> None:
    """An answer that is a head and ends with it, as gRPC's errors do; others on its connection go on."""
    host2.handlers["/only"] = lambda request: request.side.send(request, b"", ("grpc-status", "5"))
    host2.handlers["/held"] = Held(host2)
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        held = wire.request("GET", "/held", host=H2HOST)
        wire.head(held)
        answer = wire.ask("GET", "/only", bearer(bench.token), host=H2HOST)
        host2.release.set()

        assert (answer.header("grpc-status"), answer.trailers, answer.body) == ("5", [], b"")
        assert wire.answer(held).body == b"first, last"
    with bench.proxy.tunnel(H2HOST) as wire1:
        for _ in range(2):
            plain = wire1.request("GET", "/only", bearer(bench.token), host=H2HOST)
            assert (plain.header("grpc-status"), plain.body, plain.closes) == ("5", b"", False)


def test_old_agent(bench: Bench) -> None:
    """An agent that speaks HTTP/1.0 gets no chunks: its answer ends with the connection."""
    with bench.proxy.tunnel(H2HOST) as wire:
        wire.send(f"GET /echo HTTP/1.0\r\nHost: {H2HOST}\r\n\r\n".encode())
        answer = wire.answer()

        assert answer.status == 200
        assert answer.header("transfer-encoding") is None
        assert answer.json()["body"] == ""


def test_answer_that_is_not_encoded_as_it_says(bench: Bench, host2: H2Site) -> None:
    """Its stream ends in the middle; the others go on."""
    gzipped = ("content-encoding", "gzip")
    host2.handlers["/lie"] = lambda request: request.side.send(request, b"not gzip at all", gzipped, end=False)
    host2.handlers["/held"] = Held(host2)
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        held = wire.request("GET", "/held", host=H2HOST)
        wire.head(held)
        with pytest.raises(ResetStreamError):
            wire.ask("GET", "/lie", bearer(bench.token), host=H2HOST)
        host2.release.set()
        assert wire.answer(held).status == 200

    outcome = next(r for r in bench.proxy.records(bench.mark, 2) if r["event"] == "outcome")
    assert (outcome["outcome"], outcome["reason"]) == ("failed", "response_unsafe")


@pytest.mark.parametrize(
    ("name", "coding"),
    [("content-encoding", "compress"), ("grpc-encoding", "gzip"), ("connect-content-encoding", "gzip")],
)
def test_encoded_answer(bench: Bench, host2: H2Site, name: str, coding: str) -> None:
    """An answer in a coding that isn't known, or that is encoded message by message, can't be scrubbed."""
    host2.handlers["/encoded"] = lambda request: request.side.send(request, b"encoded", (name, coding), end=False)
    host2.handlers["/held"] = Held(host2)
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        held = wire.request("GET", "/held", host=H2HOST)
        wire.head(held)
        asks = [("accept-encoding", "gzip"), ("grpc-accept-encoding", "gzip"), ("connect-accept-encoding", "gzip")]
        answer = wire.ask("GET", "/encoded", bearer(bench.token), *asks, host=H2HOST)
        host2.release.set()

        assert wire.answer(held).body == b"first, last"
    bench.failed(answer, "response_unsafe")
    assert {host2.requests[1].header(asked) for asked, _ in asks} == {"identity"}
    wait_for(lambda: host2.requests[1].reset, "the reset at the host")


@pytest.mark.parametrize("agent", ["h1", "h2"])
def test_body_where_none_is(bench: Bench, host2: H2Site, agent: str) -> None:
    """HTTP/2 lets a host send one with any answer. Nobody looked at how it is encoded: it goes no further."""

    def unchanged(request: H2Request) -> None:
        body = gzip.compress(request.authorization.encode())
        request.side.send(request, body, ("content-encoding", "gzip"), status=304)

    host2.handlers["/unchanged"] = unchanged
    came = b""
    with contextlib.suppress(ResetStreamError, ConnectionError, ClosedError):
        if agent == "h2":
            with h2_tunnel(bench.proxy, H2HOST) as wire:
                stream = wire.request("GET", "/unchanged", bearer(bench.token), host=H2HOST)
                try:
                    wire.answer(stream)
                finally:
                    came = bytes(wire.streams[stream].body)
        else:
            with bench.proxy.tunnel(H2HOST) as wire1:
                wire1.send_head("GET", "/unchanged", bearer(bench.token), host=H2HOST)
                while data := wire1.receive():
                    came += data

    assert b"\x1f\x8b" not in came
    outcome = next(r for r in bench.proxy.records(bench.mark, 2) if r["event"] == "outcome")
    assert (outcome["outcome"], outcome["reason"]) == ("failed", "upstream_malformed")


@pytest.mark.parametrize("host", HOSTS)
def test_trailers_of_a_request(bench: Bench, host2: H2Site, host: str) -> None:
    """They end here: a token in them would come behind every check."""
    with h2_tunnel(bench.proxy, host) as wire:
        stream = wire.request("POST", "/echo", bearer(bench.token), host=host, body=b"body", end=False)
        wire.http.send_headers(stream, [("x-late", bench.token)], end_stream=True)
        wire.flush()
        answer = wire.answer(stream)

    assert answer.status == 200
    assert "x-late" not in answer.text()
    assert [r.body for r in (*host2.requests, *bench.upstream.requests)] == [b"body"]


def test_cookies(bench: Bench, host2: H2Site) -> None:
    """Cookies in crumbs are one header."""
    cookies = [("cookie", "a=1"), ("cookie", "b=2")]
    with h2_tunnel(bench.proxy, H1HOST) as wire:
        assert wire.ask("GET", "/echo", *cookies, host=H1HOST).status == 200

    assert bench.upstream.requests[0].header("cookie") == "a=1; b=2"


@pytest.mark.parametrize("agent", ["h1", "h2"])
def test_host_goes_away(bench: Bench, host2: H2Site, agent: str) -> None:
    """A host that takes no more streams ends those that it has; the next goes over a new connection."""

    def leave(request: H2Request) -> None:
        # In this order: who has the head knows that no more are taken.
        request.side.raw(GoAwayFrame(last_stream_id=request.stream, error_code=0))
        request.side.send(request, b"first, ", end=False)
        request.side.later.append((host2.release, lambda: request.side.send(request, b"last", head=False)))

    host2.handlers["/leave"] = leave
    if agent == "h1":
        with bench.proxy.tunnel(H2HOST) as wire:
            wire.send_head("GET", "/leave", bearer(bench.token), host=H2HOST)
            wire.answer_head()
            host2.release.set()
            assert wire.piece() + wire.piece() == b"first, last"
            assert wire.piece() == b""
            assert wire.request("GET", "/echo", bearer(bench.token), host=H2HOST).status == 200
    else:
        with h2_tunnel(bench.proxy, H2HOST) as wire2:
            leaving = wire2.request("GET", "/leave", bearer(bench.token), host=H2HOST)
            wire2.head(leaving)
            serves(bench, wire2, H2HOST)
            host2.release.set()
            assert wire2.answer(leaving).body == b"first, last"
    first, second = host2.requests
    assert first.connection != second.connection
    wait_for(lambda: first.side.closed, "the end of the old connection")


def test_host_goes_away_without_answering(bench: Bench, host2: H2Site) -> None:
    """A stream that the host doesn't take any more is answered; one that it takes goes on."""
    host2.handlers["/held"] = Held(host2)
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        held = wire.request("GET", "/held", host=H2HOST)
        wire.head(held)
        (first,) = host2.requests
        host2.handlers["/late"] = lambda r: r.side.raw(GoAwayFrame(last_stream_id=first.stream, error_code=0))
        answer = wire.ask("GET", "/late", bearer(bench.token), host=H2HOST)
        host2.release.set()

        assert bench.failed(answer, "upstream_unreachable")["host"] == H2HOST
        assert wire.answer(held).body == b"first, last"


def test_agent_goes_away(bench: Bench, host2: H2Site) -> None:
    """An agent that says it opens no more streams gets the answers to those that are open."""
    host2.handlers["/held"] = Held(host2)
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        held = wire.request("GET", "/held", host=H2HOST)
        wire.head(held)
        wire.send_frame(GoAwayFrame(last_stream_id=0, error_code=0))
        host2.release.set()

        assert wire.answer(held).body == b"first, last"


def test_host_resets(bench: Bench, host2: H2Site) -> None:
    """A stream that the host resets is answered, or broken off where the answer had begun; the others go on."""

    def reset(request: H2Request) -> None:
        if request.path == "/late":
            request.side.send(request, b"first", end=False)
        request.side.http.reset_stream(request.stream, ErrorCodes.REFUSED_STREAM)

    host2.handlers["/reset"] = host2.handlers["/late"] = reset
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        answer = wire.ask("GET", "/reset", bearer(bench.token), host=H2HOST)
        assert (answer.status, answer.code) == (502, "upstream_malformed")
        with pytest.raises(ResetStreamError):
            wire.ask("GET", "/late", bearer(bench.token), host=H2HOST)
        serves(bench, wire, H2HOST)


@pytest.mark.parametrize("host", HOSTS)
def test_agent_resets(bench: Bench, host2: H2Site, host: str) -> None:
    """A stream that the agent resets ends at the host too, and is on record; the others go on."""
    host2.handlers["/held"] = Held(host2)
    path = "/held" if host == H2HOST else "/chunked/100000000"
    with h2_tunnel(bench.proxy, host, reads=False) as wire:
        stream = wire.request("GET", path, bearer(bench.token), host=host)
        wire.head(stream)
        wire.http.reset_stream(stream, ErrorCodes.CANCEL)
        wire.flush()
        intent, outcome = bench.proxy.records(bench.mark, 2)
        serves(bench, wire, host)

    assert (intent["event"], outcome["event"], outcome["outcome"]) == ("intent", "outcome", "failed")
    if host == H2HOST:
        wait_for(lambda: host2.requests[0].reset, "the reset at the host")


def test_early_answer(bench: Bench) -> None:
    """A host may answer before the request has ended; the agent has all of it then."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        stream = wire.request("POST", "/early", bearer(bench.token), host=H2HOST, body=b"first", end=False)

        assert wire.answer(stream).status == 200
        serves(bench, wire, H2HOST)


def test_refused_before_the_end(bench: Bench) -> None:
    """A refusal comes at once and whole, while the request goes on."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        stream = wire.request("POST", "/", ("x-wrong", bench.token), host=H2HOST, body=b"first", end=False)

        bench.refused(wire.answer(stream), "token_misplaced")
        serves(bench, wire, H2HOST)


def test_refused_head(bench: Bench) -> None:
    """The answer to HEAD has no body, a refusal neither."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        answer = wire.ask("HEAD", "/", ("x-wrong", bench.token), host=H2HOST)

        assert (answer.status, answer.code, answer.body) == (400, "token_misplaced", b"")
        serves(bench, wire, H2HOST)


@pytest.mark.parametrize("length", ["3", "5", "x", "-4"])
def test_content_length(bench: Bench, host2: H2Site, length: str) -> None:
    """A body that isn't as long as was said never passes for one that is."""
    with h2_tunnel(bench.proxy, H1HOST) as wire:
        fields = [*pseudo("POST", "/echo", H1HOST), ("content-length", length)]
        stream = wire.send_fields(*fields, end=False)
        with contextlib.suppress(ResetStreamError, ClosedError, OSError):
            wire.send(stream, b"four", end=True)
            assert wire.answer(stream).status == 400

    assert not [request for request in bench.upstream.requests if request.complete]


def test_protocol_is_not_switched(bench: Bench) -> None:
    """A host that answers 101 to an HTTP/2 agent is refused."""

    async def switch(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

    bench.upstream.route("GET", "/switch", switch)
    with h2_tunnel(bench.proxy, H1HOST) as wire:
        answer = wire.ask("GET", "/switch", host=H1HOST)

        assert (answer.status, answer.code) == (502, "upstream_malformed")
        serves(bench, wire, H1HOST)


def test_unverified_host(bench: Bench, folder: Path) -> None:
    """Where the host's certificate isn't good, each of the streams that wait for it is told so."""
    site = Site(folder / "unverified")
    site.secret("openai")
    with H2Site(H2HOST) as stranger, Proxy(site, "--http2", *stranger.connect_to()) as proxy:
        token = site.token("openai")
        with h2_tunnel(proxy, H2HOST) as wire:
            streams = [wire.request("GET", "/echo", bearer(token), host=H2HOST) for _ in range(5)]

            assert [wire.answer(stream).code for stream in streams] == ["upstream_untrusted"] * 5
        assert stranger.requests == []


class Chooser:
    """A host that says which protocol was agreed on, and nothing else."""

    def __init__(self, host: str, protocols: list[str]) -> None:
        self.ca, self.chosen = trustme.CA(), list[str | None]()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.set_alpn_protocols(protocols)
        self.ca.issue_cert(host).configure_cert(self._tls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, self._tls.wrap_socket(client, server_side=True) as tls:
                    self.chosen.append(tls.selected_alpn_protocol())


@pytest.mark.parametrize(("headers", "chosen"), [([], "h2"), ([("Upgrade", "websocket")], "http/1.1")])
def test_websocket(folder: Path, tmp_path: Path, headers: list[tuple[str, str]], chosen: str) -> None:
    """A WebSocket's handshake is HTTP/1.1: such a request isn't sent over HTTP/2, all others are."""
    host = "sockets.example.com"
    site = Site(folder / f"sockets-{len(headers)}")
    key = [
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "bm90IGEgc2VjcmV0IGtleQ=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    with Chooser(host, ["h2", "http/1.1"]) as server:
        server.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        reach = ["--connect-to", f"{host}:443:127.0.0.1:{server.port}", "--upstream-ca", str(tmp_path / "ca.pem")]
        with Proxy(site, "--http2", *reach) as proxy, proxy.tunnel(host) as wire:
            answer = wire.request("GET", "/", *headers, *key, host=host)

    assert answer.code == "upstream_unreachable"
    assert server.chosen == [chosen]
