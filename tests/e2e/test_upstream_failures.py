"""Hosts that can't be reached, aren't who they should be, or answer what can't be handed on."""

import psutil
import pytest

from seks_addon.handshake import accept_of
from tests.support.bench import HOST, Bench
from tests.support.proxy import wait_for
from tests.support.raw import ClosedError, bearer
from tests.support.upstream import Received, Send


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("closed.example.com", "upstream_unreachable"),
        ("unknown-ca.example.com", "upstream_untrusted"),
        ("wrong-name.example.com", "upstream_untrusted"),
        ("expired.example.com", "upstream_untrusted"),
    ],
)
def test_connection(bench: Bench, host: str, code: str) -> None:
    """No host gets a credential over a connection that wasn't verified for it."""
    token = bench.site.token("bad")

    with bench.proxy.tunnel(host) as wire:
        answers = [wire.request("GET", "/v1/models", bearer(token), host=host) for _ in range(2)]
        without_token = wire.request("GET", "/v1/models", host=host)

    for answer in answers:
        outcome = bench.failed(answer, code)
        assert (outcome["secret"], outcome["host"]) == ("bad", host)
    bench.refused(without_token, code)
    bench.untouched(opened=3)
    bench.serves()


def answers(bench: Bench, path: str, text: str | bytes) -> None:
    """Let the host answer exactly so, then close."""
    data = text.replace("\n", "\r\n").encode("latin-1") if isinstance(text, str) else text

    async def handler(_received: Received, send: Send) -> None:
        await send(data)

    bench.upstream.route("GET", path, handler)


WEBSOCKET_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MALFORMED = {
    "garbage": b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n",
    "no-status": "HTTP/1.1 OK\n\n",
    "no-colon": "HTTP/1.1 200 OK\nnonsense\n\n",
    "bad-name": "HTTP/1.1 200 OK\nX Y: z\nContent-Length: 0\n\n",
    "lengths": "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab",
    "length-and-coding": "HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n1\na\n0\n\n",
    "no-length": "HTTP/1.1 200 OK\nContent-Length: x\n\n",
    "early-hints": "HTTP/1.1 103 Early Hints\nLink: </style>\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "switching": "HTTP/1.1 101 Switching Protocols\nUpgrade: other\nConnection: Upgrade\n\n",
}


SWITCHED = {
    "other-accept": "Upgrade: websocket\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    "other-upgrade": f"Upgrade: h2c\nSec-WebSocket-Accept: {accept_of(WEBSOCKET_KEY)}\n",
    "protocol": f"Upgrade: websocket\nSec-WebSocket-Accept: {accept_of(WEBSOCKET_KEY)}\nSec-WebSocket-Protocol: x\n",
}


@pytest.mark.parametrize("name", SWITCHED)
def test_other_websocket(bench: Bench, name: str) -> None:
    """An upgrade to something that the handshake didn't ask for is not handed on."""
    answers(bench, f"/malformed/{name}", f"HTTP/1.1 101 x\nConnection: upgrade\n{SWITCHED[name]}\n")
    handshake = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    handshake.append(("Sec-WebSocket-Key", WEBSOCKET_KEY))

    answer = bench.get(f"/malformed/{name}", bearer(bench.token), *handshake)

    bench.failed(answer, "upstream_malformed")


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(bench: Bench, name: str) -> None:
    """An answer that is no HTTP, or not one answer, is not handed on: no byte of it."""
    answers(bench, f"/malformed/{name}", MALFORMED[name])

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", f"/malformed/{name}", bearer(bench.token), host=HOST)

        bench.failed(answer, "upstream_malformed")
        bench.serves(None if answer.closes else wire)

    assert "nonsense" not in answer.text()
    assert "style" not in answer.text()


UNSAFE = {
    "part": "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-0/2\nContent-Length: 1\n\na",
    "codings": "HTTP/1.1 200 OK\nContent-Encoding: identity, br\nContent-Length: 1\n\na",
    "unknown": "HTTP/1.1 200 OK\nContent-Encoding: rot13\nContent-Length: 1\n\na",
    "transfer": "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n1\na\n0\n\n",
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe(bench: Bench, name: str) -> None:
    """An answer in which the credential couldn't be found is not handed on."""
    answers(bench, f"/unsafe/{name}", UNSAFE[name])

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", f"/unsafe/{name}", bearer(bench.token), host=HOST)

        bench.failed(answer, "response_unsafe")
        bench.serves(None if answer.closes else wire)


def test_answers_of_a_host_without_secrets(bench: Bench) -> None:
    """There is nothing to find: compressed answers pass as they are."""
    answer = bench.proxy.get("unbound.example.com", "/gzip", bearer("of-another-kind"), ("Accept-Encoding", "gzip"))

    assert (answer.status, answer.header("content-encoding")) == (200, "gzip")


def test_host_closes(bench: Bench) -> None:
    """A host that closes without an answer was not reached."""
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", "/close", bearer(bench.token), host=HOST)

        bench.failed(answer, "upstream_unreachable")
        bench.serves(None if answer.closes else wire)


@pytest.mark.parametrize(
    "head",
    ["HTTP/1.1 200 OK\nContent-Length: 100\n\nabc", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n64\nabc"],
)
def test_answer_breaks_off(bench: Bench, head: str) -> None:
    """An answer that breaks off ends in a broken connection: half a document must not look whole."""
    answers(bench, "/broken", head)

    with bench.proxy.tunnel(HOST) as wire, pytest.raises(ClosedError):
        wire.request("GET", "/broken", bearer(bench.token), host=HOST)

    intent, outcome = bench.proxy.records(bench.mark, 2)
    assert (intent["event"], outcome["event"], outcome["outcome"]) == ("intent", "outcome", "failed")
    assert outcome["response_bytes"] == 3
    bench.serves()


def test_surplus(bench: Bench) -> None:
    """What a host sends behind its answer reaches nobody, and isn't the answer to the next request."""
    answers(bench, "/surplus", "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nX-Planted: yes\n\n")

    with bench.proxy.tunnel(HOST) as wire:
        first = wire.request("GET", "/surplus", bearer(bench.token), host=HOST)
        second = wire.request("GET", "/v1/models", bearer(bench.token), host=HOST)

    assert (first.status, first.body) == (200, b"ok")
    assert "planted" not in first.text().lower() + second.text().lower()
    bench.serves()


def test_reason_and_hop_by_hop_headers(bench: Bench) -> None:
    """The reason phrase is the usual one, and headers of one hop end here."""
    head = "HTTP/1.1 200 Sent by the host\nKeep-Alive: timeout=5\nConnection: X-Hop\nContent-Length: 2\nX-Kept: 1\n\nok"
    answers(bench, "/reason", head)

    answer = bench.get("/reason")

    assert (answer.reason, answer.body) == ("OK", b"ok")
    assert [name for name, _ in answer.headers] == ["x-kept", "transfer-encoding"]


def test_client_goes_away(bench: Bench) -> None:
    """An exchange whose client goes away has one outcome, and its connection to the host ends."""
    with bench.proxy.tunnel(HOST) as wire:
        wire.send_head("GET", "/drip", bearer(bench.token), host=HOST)
        wire.answer_head()
        wire.piece()

    _, outcome = bench.proxy.records(bench.mark, 2)
    assert (outcome["event"], outcome["outcome"]) == ("outcome", "failed")
    bench.serves()


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\n\nok", "HTTP/1.0 200 OK\n\nok"]
)
def test_host_that_closes_each_time(bench: Bench, head: str) -> None:
    """A host that closes after every answer costs a connection a request, each of which ends."""
    answers(bench, "/closing", head)
    process = psutil.Process(bench.proxy.pid)

    with bench.proxy.tunnel(HOST) as wire:
        got = [wire.request("GET", "/closing", bearer(bench.token), host=HOST) for _ in range(20)]
        assert [(answer.status, answer.body) for answer in got] == [(200, b"ok")] * 20
        assert bench.upstream.accepts == 20
        wait_for(lambda: len([c for c in process.net_connections("tcp") if c.status != "LISTEN"]) <= 2)

    bench.serves()
