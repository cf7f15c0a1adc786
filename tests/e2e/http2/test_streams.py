"""Many streams on one connection: which connection each gets, and what happens when a side goes away."""

import json
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from tests.e2e.http2.conftest import H1HOST, H2HOST, HOSTS, serves
from tests.support.bench import Bench
from tests.support.h2site import H2Request, H2Site
from tests.support.h2wire import ResetStreamError, h2_tunnel
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import bearer
from tests.support.site import Site


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
