"""What was once found to work against the proxy, and must not again."""

import contextlib
import ssl

import pytest

from tests.support.bench import HOST, Bench
from tests.support.proxy import wait_for
from tests.support.raw import ClosedError, bearer
from tests.support.upstream import Received, Send


@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("body", [b"x", None])
def test_expect_does_not_move_the_credential(bench: Bench, behind: bool, body: bytes | None) -> None:
    """Wherever `Expect` stands, the key stands in Authorization and nowhere else."""
    expect, token = ("Expect", "100-continue"), bearer(bench.token)
    headers = [token, expect] if behind else [expect, token]

    with bench.proxy.tunnel(HOST) as wire:
        length = [("Content-Length", "1")] if body else []
        wire.send_head("POST", "/echo", *headers, ("X-Note", "mine"), *length, host=HOST)
        if body:
            wire.send(body)
        answer = wire.answer_head("POST")
        if answer.status == 100:
            answer = wire.answer_head("POST")
        while wire.piece():
            pass

    assert answer.status == 200
    (received,) = bench.upstream.requests
    assert [name for name, value in received.headers if bench.key in value] == ["Authorization"]


def test_a_client_hello_that_does_not_end(bench: Bench) -> None:
    """It is cut off before it costs anything, and others are served."""
    record = b"\x16\x03\x01\x00\x01"
    with bench.proxy.wire() as wire:
        assert wire.connect(f"{HOST}:443").status == 200

        try:
            wire.send(record + b"\x01" + record + b"\xff" + (record + b"\xff") * 10_000)
        except ConnectionError:
            pass
        else:
            assert wire.is_closed()

    bench.serves()


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: api.openai.com\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("start", [b"", CHUNKED])
def test_a_line_that_does_not_end(bench: Bench, start: bytes) -> None:
    """A head, or a chunk's size, is read up to a limit; then the connection ends."""
    with bench.proxy.tunnel(HOST) as wire:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            wire.send(start + b"1;")
            for _ in range(200):
                wire.send(b"a" * 4096)
        with contextlib.suppress(ClosedError):
            assert wire.answer().code == "headers_too_large"

        assert wire.is_closed()

    bench.serves()


def test_a_client_that_goes_while_its_intent_is_written(bench: Bench) -> None:
    """Every intent has its outcome while the proxy runs, not only after its next start."""
    for _ in range(30):
        with bench.proxy.tunnel(HOST) as wire:
            wire.send_head("GET", "/v1/models", bearer(bench.token), host=HOST)

    bench.serves()
    wait_for(lambda: not bench.site.owes_outcomes(), "the outcomes")
    events = [record["event"] for record in bench.site.records(bench.mark)]
    assert events.count("intent") == events.count("outcome") >= 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 " + b"9" * 400 + b" OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_head_that_is_none(bench: Bench, head: bytes) -> None:
    """An odd status, a folded line, a NUL: answered for the host, and recorded."""

    async def handler(_: Received, send: Send) -> None:
        await send(head)

    bench.upstream.route("GET", "/odd", handler)

    answer = bench.get("/odd")

    bench.failed(answer, "upstream_malformed")


def test_nothing_follows_a_304(bench: Bench) -> None:
    """A framing header on an answer without a body doesn't put the client out of step."""

    async def handler(_: Received, send: Send) -> None:
        await send(b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")

    bench.upstream.route("GET", "/unchanged", handler)
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", "/unchanged", bearer(bench.token), host=HOST)

        assert answer.status == 304
        assert answer.header("transfer-encoding") is None
        bench.serves(wire)


def test_empty_lines_before_a_request(bench: Bench) -> None:
    """They are skipped, as RFC 9112 section 2.2 asks."""
    with bench.proxy.tunnel(HOST) as wire:
        wire.send(b"\r\n\r\n")
        bench.serves(wire)


def test_a_token_as_a_host_name(bench: Bench) -> None:
    """It stands in no record, and is looked up nowhere."""
    host = f"{bench.token.lower()}.example.com"

    with bench.proxy.wire() as wire:
        answer = wire.connect(f"{host}:443")

    assert bench.refused(answer, "token_misplaced")["host"] is None


def test_international_names(bench: Bench) -> None:
    """A name in its `xn--` form is judged as it is."""
    with bench.proxy.wire() as wire:
        assert wire.connect("xn--bcher-kva.example:443").status == 200


@pytest.mark.parametrize("name", ["X_HTTP_Method_Override", "X-Original-URL", "Method-Override"])
def test_headers_that_change_the_request(bench: Bench, name: str) -> None:
    """What a server may read as another method or path doesn't reach it with a credential."""
    bench.get("/v1/models", bearer(bench.token), (name, "DELETE"))

    (received,) = bench.upstream.requests
    assert received.header(name) is None


def test_slow_names_keep_nobody_waiting(bench: Bench) -> None:
    """More lookups at once than an agent may have are refused, not queued."""
    wires = [bench.proxy.wire() for _ in range(4)]
    try:
        for number, wire in enumerate(wires):
            wire.send_head("GET", f"http://n{number}.invalid/", host=f"n{number}.invalid")

        bench.serves()

        assert {wire.answer().code for wire in wires} <= {"upstream_unreachable", "overloaded"}
    finally:
        for wire in wires:
            wire.close()
