"""What is said on a WebSocket: scrubbed, swapped, or refused."""

import contextlib
import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection

from seks_addon.tokens import find_lookalikes, new_token
from tests.e2e.websocket.conftest import GATEWAY, Bench
from tests.support.bench import HOST
from tests.support.frames import BINARY, CLOSE, PING, TEXT, frame
from tests.support.memory import MIB
from tests.support.proxy import wait_for
from tests.support.raw import bearer
from tests.support.talker import Talk


def talk_of(*said: str | bytes, close: str | None = None) -> Talk:
    """A host that says something of itself."""

    def talk(connection: ServerConnection) -> None:
        for message in said:
            connection.send(message)
        if close is not None:
            connection.close(4000, close)

    return talk


@pytest.mark.parametrize("with_token", [True, False])
def test_messages_are_scrubbed(bench: Bench, with_token: bool) -> None:
    """Every credential that the agent has at a host is scrubbed, also where the handshake carried none."""
    other = bench.site.secret(name := f"other-{with_token}", (HOST, "header:X-Other: {}"))
    other_token = bench.site.token(name)
    text = f"{other} and {bench.key}"
    bench.host.talk = talk_of(text, text.encode(), close=f"bad key {bench.key}")

    with bench.with_token() if with_token else bench.connect() as socket:
        said = [socket.recv(), socket.recv()]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()

    assert find_lookalikes(str(said[0])) == [other_token, bench.token]
    assert isinstance(said[1], bytes)
    assert said[1].decode() == said[0]
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, f"bad key {bench.token}")
    if with_token:
        assert bench.records()[1]["scrubbed"] == 5
    else:
        assert bench.site.records(bench.mark) == []


def test_split_over_fragments(bench: Bench) -> None:
    """A credential that a host cuts into fragments is found; one in a ping too."""
    half = len(bench.key) // 2

    def talk(connection: ServerConnection) -> None:
        connection.send([bench.key[:half], bench.key[half:]])
        # The client counts pings from now on.
        connection.recv()
        connection.ping(bench.key)
        bench.host.echo(connection)

    bench.host.talk = talk
    pings: list[bytes] = []
    with bench.with_token() as socket:
        take = socket.protocol.recv_frame

        def recv_frame(frame: Frame) -> None:
            if frame.opcode is Opcode.PING:
                pings.append(bytes(frame.data))
            take(frame)

        socket.protocol.recv_frame = recv_frame  # type: ignore[method-assign]
        assert socket.recv() == bench.token
        socket.send("now ping")
        wait_for(lambda: pings)

    assert pings == [bench.token.encode()]


def test_message(bench: Bench) -> None:
    """A token in the declared field of a message goes out as the credential; anywhere else it stays one."""
    identify = '{"op": 2, "d": {"token": "%s", "n": 1.0, "text": "%s"}}'
    elsewhere = json.dumps({"op": 3, "d": {"token": f"Bot {bench.gateway_token}"}})

    with bench.connect(GATEWAY) as socket:
        socket.send(elsewhere)
        assert socket.recv() == elsewhere
        assert bench.site.records(bench.mark) == []
        socket.send(identify % (bench.gateway_token, bench.gateway_token))
        assert socket.recv() == identify % (bench.gateway_token, bench.gateway_token)
        socket.send(elsewhere.encode())
        assert socket.recv() == elsewhere.encode()
        socket.send(identify % (bench.gateway_token, "again"))
        socket.recv()

    swapped = [identify % (bench.gateway_key, text) for text in (bench.gateway_token, "again")]
    assert bench.host.heard == [elsewhere, swapped[0], elsewhere.encode(), swapped[1]]
    intent, outcome = bench.records()
    assert (intent["event"], intent["secret"], outcome["outcome"]) == ("intent", "gateway", "allowed")
    assert (outcome["status"], outcome["scrubbed"]) == (101, 2)


def test_message_in_fragments(bench: Bench) -> None:
    """A token that is split over an agent's frames is one."""
    message = json.dumps({"d": {"token": bench.gateway_token}})

    with bench.connect(GATEWAY) as socket:
        socket.send([message[:25], message[25:]])
        assert socket.recv() == message

    assert bench.host.heard == [json.dumps({"d": {"token": bench.gateway_key}})]
    bench.records()


def ended(socket: ClientConnection, message: str = "hello") -> tuple[int, str]:
    """Say something, and hear why it is the last."""
    socket.send(message)
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize("what", ["revoked", "unknown", "expired"])
def test_refused_message(bench: Bench, what: str) -> None:
    """A token that may not be used ends the socket; the host hears nothing of the message."""
    token = bench.gateway_token
    if what == "expired":
        token = bench.site.token("gateway", expires=datetime.now(UTC) - timedelta(seconds=1))
    if what == "unknown":
        token = new_token("custom")
    if what == "revoked":
        bench.site.revoke(token)
    message = f'{{"d":{{"token":"{token}"}}}}'
    code = f"token_{what}"

    with bench.connect(GATEWAY) as socket:
        assert ended(socket, message) == (1008, f"refused by the proxy: {code}")

    assert bench.host.heard == []
    wait_for(lambda: bench.host.ended)
    assert bench.host.ended == [(1008, f"refused by the proxy: {code}")]
    [record] = bench.records(1)
    assert (record["event"], record["outcome"], record["reason"]) == ("refused", "refused", code)


def test_message_without_a_record(bench: Bench) -> None:
    """While the audit log can't be written, no credential leaves in a message."""
    with bench.connect(GATEWAY) as socket, contextlib.closing(sqlite3.connect(bench.site.home.audit)) as log:
        log.execute("BEGIN IMMEDIATE")
        assert ended(socket, json.dumps({"d": {"token": bench.gateway_token}})) == (
            1011,
            "refused by the proxy: audit_unavailable",
        )

    assert bench.host.heard == []
    [record] = bench.records(1)
    assert (record["event"], record["reason"]) == ("refused", "audit_unavailable")


def test_revoked_while_the_use_is_recorded(bench: Bench) -> None:
    """The last look is behind the last thing that is waited for."""
    message = json.dumps({"d": {"token": bench.gateway_token}})
    with bench.connect(GATEWAY) as socket, contextlib.closing(sqlite3.connect(bench.site.home.audit)) as log:
        log.execute("BEGIN IMMEDIATE")
        socket.send(message)
        time.sleep(0.5)
        bench.site.revoke(bench.gateway_token)
        log.rollback()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "refused by the proxy: token_revoked"
    assert bench.host.heard == []
    intent, outcome = bench.records()
    assert (intent["event"], outcome["outcome"], outcome["reason"]) == ("intent", "failed", "token_revoked")


def test_secret_of_later(bench: Bench) -> None:
    """A credential that comes to be bound to the host meanwhile is scrubbed and swapped from then on."""
    with bench.connect(GATEWAY) as socket:
        late = bench.site.secret("late", (GATEWAY, "message:/late"))
        token = bench.site.token("late")
        socket.send(json.dumps({"late": token}))
        assert socket.recv() == json.dumps({"late": token})

    assert bench.host.heard == [json.dumps({"late": late})]
    bench.records()


def test_long_message_of_a_host(bench: Bench) -> None:
    """A message of any length streams, every byte of it looked at, through a proxy that keeps none of it."""
    piece, count = b"x" * MIB, 256
    bench.host.talk = lambda connection: connection.send(piece for _ in range(count))
    process = psutil.Process(bench.proxy.pid)
    before = peak = process.memory_info().rss
    got = 0

    with bench.connect(path="/long", max_size=None) as socket:
        for part in socket.recv_streaming():
            got += len(part)
            peak = max(peak, process.memory_info().rss)

    assert got == count * MIB
    assert peak - before < 32 * MIB


def test_long_message_of_an_agent(bench: Bench) -> None:
    """A message that the proxy would have to hold is refused from a limit on; below, it goes on as it is."""
    with bench.connect(max_size=None) as socket:
        socket.send(b"x" * (15 * MIB))
        assert len(socket.recv()) == 15 * MIB
        with contextlib.suppress(ConnectionClosed):
            socket.send(b"x" * (17 * MIB))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_many_sockets(bench: Bench) -> None:
    """Sockets don't hold each other up, and each has its outcome."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(bench.with_token()) for _ in range(20)]
        for number, socket in enumerate(reversed(sockets)):
            socket.send(str(number))
        for number, socket in enumerate(reversed(sockets)):
            assert socket.recv() == str(number)

    records = bench.records(40)
    assert {record["outcome"] for record in records if record["event"] == "outcome"} == {"allowed"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"not masked"), 1002),
        (frame(TEXT, b"x", masked=True, rsv=4), 1002),
        (frame(PING, b"x", masked=True, fin=False), 1002),
        (frame(BINARY, masked=True, length=1 << 63), 1002),
        (frame(TEXT, b"\xff", masked=True), 1007),
    ],
)
def test_broken_frame(bench: Bench, data: bytes, code: int) -> None:
    """An agent that breaks the protocol hears so, the host hears nothing of it, and the log isn't troubled."""
    handshake = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    handshake += [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), bearer(bench.token)]
    before = len(bench.proxy.log)

    with bench.proxy.tunnel(HOST) as wire:
        wire.send_head("GET", "/live", *handshake, host=HOST)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += wire.receive()
        wire.send(data)
        said = wire.receive()
        assert said == frame(CLOSE, code.to_bytes(2))
        assert wire.is_closed()

    assert head.startswith(b"HTTP/1.1 101 ")
    wait_for(lambda: bench.host.ended)
    assert (bench.host.heard, bench.host.ended) == ([], [(code, "")])
    assert bench.records()[1]["outcome"] == "allowed"
    assert "Traceback" not in (log := bench.proxy.log[before:])
    assert "failed" not in log
