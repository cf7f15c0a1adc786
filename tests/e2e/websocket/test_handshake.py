"""The request that opens a WebSocket, and what answers it."""

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from seks_addon.tokens import find_lookalikes
from tests.e2e.websocket.conftest import PLACES, UNBOUND, Bench
from tests.support.raw import basic


def test_bearer(bench: Bench) -> None:
    """The credential opens the socket, an echo of it comes back as the token, and the use is on record."""
    with bench.with_token() as socket:
        socket.send("headers")
        echoed = json.loads(socket.recv())
        socket.send(b"\x00\x01")
        assert socket.recv() == b"\x00\x01"
        assert [record["event"] for record in bench.site.records(bench.mark)] == ["intent"]

    assert bench.host.header("authorization") == f"Bearer {bench.key}"
    assert echoed["Authorization"] == f"Bearer {bench.token}"
    intent, outcome = bench.records()
    assert (intent["event"], outcome["event"], outcome["outcome"]) == ("intent", "outcome", "allowed")
    assert (outcome["status"], outcome["request_bytes"], outcome["scrubbed"]) == (101, len("headers") + 2, 1)
    assert outcome["response_bytes"] > 2
    assert outcome["path"] == "/v1/realtime"


@pytest.mark.parametrize("name", PLACES)
def test_places(bench: Bench, name: str) -> None:
    """Every place of a request's head is one of a handshake's."""
    token, key = bench.site.token(name), next(key for key in bench.site.credentials if f"-{name}-" in key)
    path = {"ws-query": f"/?a=1&key={token}", "ws-path": f"/bot{token}/live"}.get(name, "/live")
    header = {
        "ws-header": ("X-Key", token),
        "ws-basic": ("Authorization", basic(f"user:{token}")),
        "ws-cookie": ("Cookie", f"a=b; session={token}"),
    }.get(name, ("X-Other", "1"))

    with bench.connect(f"{name}.example.com", path, additional_headers=dict([header])) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"

    sent = json.dumps(bench.host.handshakes[-1])
    assert (basic(f"user:{key}") if name == "ws-basic" else key) in sent
    assert not find_lookalikes(sent)
    bench.records()


@pytest.mark.parametrize("chosen", [0, 1, None])
def test_subprotocol(bench: Bench, chosen: int | None) -> None:
    """A browser's realtime client: the key is one of the subprotocols, also where the host chooses that very one."""
    offered = ["realtime", f"openai-insecure-api-key.{bench.token}", "openai-beta.realtime-v1"]
    bench.host.choose = lambda seen: seen[chosen] if chosen is not None else None

    with bench.connect(subprotocols=[Subprotocol(item) for item in offered]) as socket:
        assert socket.subprotocol == (offered[chosen] if chosen is not None else None)
        socket.send("hello")
        assert socket.recv() == "hello"

    seen = f"realtime, openai-insecure-api-key.{bench.key}, openai-beta.realtime-v1"
    assert bench.host.header("sec-websocket-protocol") == seen
    _, outcome = bench.records()
    assert outcome["scrubbed"] == (chosen == 1)


def test_upgrade_is_exact(bench: Bench) -> None:
    """Nothing is compressed on the way: what is compressed can't be scrubbed."""
    with bench.with_token() as socket:
        assert socket.protocol.extensions == []

    assert bench.host.header("connection") == "Upgrade"
    assert bench.host.header("upgrade") == "websocket"
    assert bench.host.header("sec-websocket-extensions") is None


def test_rejected(bench: Bench) -> None:
    """An answer that is no upgrade is scrubbed as any other."""
    bench.host.rejects = True

    with pytest.raises(InvalidStatus) as rejected:
        bench.with_token()

    response = rejected.value.response
    assert response.status_code == 403
    assert json.loads(response.body)["Authorization"] == f"Bearer {bench.token}"
    _, outcome = bench.records()
    assert (outcome["status"], outcome["outcome"]) == (403, "allowed")


def test_misplaced(bench: Bench) -> None:
    """A token in a subprotocol that its secret doesn't name is refused, and the host hears nothing."""
    with pytest.raises(InvalidStatus) as rejected:
        bench.connect(subprotocols=[Subprotocol(f"other.{bench.token}")])

    assert rejected.value.response.headers["X-Seks-Error"] == "token_misplaced"
    assert bench.host.handshakes == []
    [record] = bench.records(1)
    assert (record["event"], record["reason"]) == ("refused", "token_misplaced")


def test_unbound_host(bench: Bench) -> None:
    """A socket without a token passes, and leaves no record."""
    with bench.connect(UNBOUND) as socket:
        socket.send(bench.token)
        assert socket.recv() == bench.token

    assert bench.site.records(bench.mark) == []
