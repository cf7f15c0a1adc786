"""Requests over HTTP/2: what holds for HTTP/1.1 holds for every stream."""

import contextlib

import pytest

from tests.e2e.http2.conftest import H1HOST, H2HOST, HOSTS, ask, serves
from tests.e2e.http2.test_streams import Held
from tests.support.bench import Bench
from tests.support.h2site import H2Site
from tests.support.h2wire import ResetStreamError, h2_tunnel, pseudo
from tests.support.raw import ClosedError, bearer
from tests.support.upstream import Received, Send


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
