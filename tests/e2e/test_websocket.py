"""WebSockets: a credential in the handshake or in a message, and what comes back."""

import contextlib
import json
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection
from websockets.typing import Subprotocol

from seks_addon.tokens import find_lookalikes, new_token
from tests.e2e.conftest import connect_to
from tests.support.bench import HOST
from tests.support.frames import BINARY, CLOSE, PING, TEXT, frame
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import basic, bearer
from tests.support.site import Site
from tests.support.talker import Talk, Talker

GATEWAY = "gateway.example.com"
UNBOUND = "unbound.example.com"
MIB = 1 << 20
PLACES = {
    "ws-header": "header:X-Key: {}",
    "ws-basic": "basic:password",
    "ws-query": "query:key",
    "ws-path": "path:/bot{}/",
    "ws-cookie": "cookie:session",
}


@pytest.fixture(scope="module")
def host() -> Iterator[Talker]:
    """The server that all hosts are."""
    talker = Talker(HOST, GATEWAY, UNBOUND, *(f"{name}.example.com" for name in PLACES))
    with talker.serving():
        yield talker


@pytest.fixture(scope="module")
def proxy(host: Talker, folder: Path) -> Iterator[Proxy]:
    """A proxy with a secret a place."""
    site = Site(folder / "websocket")
    site.secret("openai")
    site.secret("gateway", (GATEWAY, "message:/d/token"))
    for name, place in PLACES.items():
        site.secret(name, (f"{name}.example.com", place))
    (folder / "talker-ca.pem").write_bytes(host.ca.cert_pem.bytes())
    options = [word for name in host.hosts for word in connect_to(name, host.port)]
    with Proxy(site, *options, "--upstream-ca", str(folder / "talker-ca.pem")) as running:
        yield running


class Bench:
    """One test's view: tokens of its own, and the records that it makes."""

    def __init__(self, proxy: Proxy, host: Talker) -> None:
        wait_for(lambda: not proxy.site.owes_outcomes(), "the end of earlier exchanges")
        self.proxy, self.host, self.site = proxy, host, proxy.site
        host.clear()
        self.mark = proxy.mark()
        self.token = self.site.token("openai")
        self.key = self.site.credentials[0]
        self.gateway_token = self.site.token("gateway")
        self.gateway_key = self.site.credentials[1]

    def connect(self, host: str = HOST, path: str = "/v1/realtime", **options: object) -> ClientConnection:
        """Open a WebSocket as a client library does."""
        tls = ssl.create_default_context(cafile=self.site.home.ca_cert)
        return connect(
            f"wss://{host}{path}",
            ssl=tls,
            proxy=f"http://127.0.0.1:{self.proxy.port}",
            user_agent_header=None,
            **options,  # type: ignore[arg-type]
        )

    def with_token(self) -> ClientConnection:
        """A WebSocket that is opened with a token."""
        return self.connect(additional_headers={"Authorization": f"Bearer {self.token}"})

    def records(self, count: int = 2) -> list[dict[str, object]]:
        """What was recorded."""
        return self.proxy.records(self.mark, count)


@pytest.fixture
def bench(proxy: Proxy, host: Talker) -> Bench:
    return Bench(proxy, host)


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


@contextlib.contextmanager
def disabled_agent(site: Site) -> Iterator[None]:
    """The agent is disabled meanwhile."""
    with site.vault() as vault:
        client = vault.clients.get("default")
        vault.agents.set_enabled(client, "default", False)
    yield
    with site.vault() as vault:
        vault.agents.set_enabled(client, "default", True)


@pytest.mark.parametrize("by_host", [True, False])
def test_revoked_token_ends_the_socket(bench: Bench, by_host: bool) -> None:
    """Nothing passes in either direction after the token was revoked."""
    go = threading.Event()

    def talk(connection: ServerConnection) -> None:
        go.wait(10)
        connection.send("from the host")

    if by_host:
        bench.host.talk = talk
    with bench.with_token() as socket:
        bench.site.revoke(bench.token)
        go.set()
        if not by_host:
            socket.send("from the agent")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "refused by the proxy: token_revoked")
    assert bench.host.heard == []
    _, outcome = bench.records()
    assert (outcome["outcome"], outcome["reason"], outcome["status"]) == ("failed", "token_revoked", 101)


def test_revoked_token_of_a_message(bench: Bench) -> None:
    """The same for a token that a message carried."""
    with bench.connect(GATEWAY) as socket:
        socket.send(json.dumps({"d": {"token": bench.gateway_token}}))
        socket.recv()
        bench.site.revoke(bench.gateway_token)
        assert ended(socket) == (1008, "refused by the proxy: token_revoked")

    assert len(bench.host.heard) == 1
    bench.records()


def test_expired_token_ends_the_socket(bench: Bench) -> None:
    """The same at a token's end, without any change of the vault."""
    end = datetime.now(UTC) + timedelta(seconds=3)
    token = bench.site.token("openai", expires=end)
    with bench.connect(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send("in time")
        socket.recv()
        wait_for(lambda: datetime.now(UTC) >= end)
        assert ended(socket) == (1008, "refused by the proxy: token_expired")

    assert bench.host.heard == ["in time"]
    bench.records()


@pytest.mark.parametrize("name", [HOST, UNBOUND])
def test_disabled_agent(bench: Bench, name: str) -> None:
    """An agent that is disabled talks to nobody any more, with a credential or without."""
    with bench.connect(name) as socket, disabled_agent(bench.site):
        assert ended(socket) == (1008, "refused by the proxy: agent_disabled")

    assert bench.host.heard == []


def test_removed_secret(bench: Bench) -> None:
    """A secret that is removed takes its sockets with it."""
    bench.site.secret("passing", (GATEWAY, "bearer"))
    token = bench.site.token("passing")
    with bench.connect(GATEWAY, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send("hello")
        socket.recv()
        with bench.site.vault() as vault:
            vault.secrets.remove(vault.clients.get("default"), "passing")
        assert ended(socket) == (1008, "refused by the proxy: token_unknown")

    bench.records()


def test_secret_of_later(bench: Bench) -> None:
    """A credential that comes to be bound to the host meanwhile is scrubbed and swapped from then on."""
    with bench.connect(GATEWAY) as socket:
        late = bench.site.secret("late", (GATEWAY, "message:/late"))
        token = bench.site.token("late")
        socket.send(json.dumps({"late": token}))
        assert socket.recv() == json.dumps({"late": token})

    assert bench.host.heard == [json.dumps({"late": late})]
    bench.records()


def test_unbound_host(bench: Bench) -> None:
    """A socket without a token passes, and leaves no record."""
    with bench.connect(UNBOUND) as socket:
        socket.send(bench.token)
        assert socket.recv() == bench.token

    assert bench.site.records(bench.mark) == []


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
