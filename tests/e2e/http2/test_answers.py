"""Answers over HTTP/2: scrubbed as all others, with their trailers."""

import contextlib
import gzip

import pytest

from tests.e2e.http2.conftest import H2HOST, serves
from tests.e2e.http2.test_streams import Held
from tests.support.bench import Bench
from tests.support.h2site import H2Request, H2Site
from tests.support.h2wire import ResetStreamError, h2_tunnel
from tests.support.proxy import wait_for
from tests.support.raw import ClosedError, bearer


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


def test_early_answer(bench: Bench) -> None:
    """A host may answer before the request has ended; the agent has all of it then."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        stream = wire.request("POST", "/early", bearer(bench.token), host=H2HOST, body=b"first", end=False)

        assert wire.answer(stream).status == 200
        serves(bench, wire, H2HOST)
