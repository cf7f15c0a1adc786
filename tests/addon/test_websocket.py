"""WebSocket between two sides, frame by frame."""

import itertools
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import options
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import WebsocketEndHook
from mitmproxy.test import tflow
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from seks_addon.addon.websocket import MAX_HELD, MAX_MESSAGE, Piece, SeksPieceHook, SeksWebsocketLayer
from seks_addon.refusal import Refused
from seks_addon.scrub import Known, Scrubber
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

KEY, TOKEN = b"sk-FAKE-key-0001", b"seks_x_token"
PIECES = st.lists(st.sampled_from([KEY, KEY[:5], KEY[5:], b"sk-", b"x", "ä€𝄞".encode(), b""]), max_size=8)


class Pair:
    """The layer between an agent and a host, with `hook` in the place of the add-on."""

    def __init__(self, hook: Callable[[Piece], None]) -> None:
        self.context = Context(tflow.tclient_conn(), options.Options())
        self.context.server = tflow.tserver_conn()
        self.context.server.state = self.context.client.state = ConnectionState.OPEN
        self.flow = tflow.twebsocketflow()
        self.flow.websocket.messages.clear()
        self.layer = SeksWebsocketLayer(self.context, self.flow)
        self.hook = hook
        self.pieces: list[Piece] = []
        self.closed: list[object] = []
        self.ends = 0
        self.agent, self.host = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
        self._run(events.Start())

    def agent_says(self, data: bytes) -> None:
        self._run(events.DataReceived(self.context.client, data))

    def host_says(self, data: bytes) -> None:
        self._run(events.DataReceived(self.context.server, data))

    def leaves(self, *, agent: bool) -> None:
        self._run(events.ConnectionClosed(self.context.client if agent else self.context.server))

    def _run(self, event: events.Event) -> None:
        for command in self.layer.handle_event(event):
            if isinstance(command, SeksPieceHook):
                self.pieces.append(command.piece)
                self.hook(command.piece)
            if isinstance(command, commands.StartHook):
                self.ends += isinstance(command, WebsocketEndHook)
                self._run(events.HookCompleted(command))
            elif isinstance(command, commands.SendData):
                side = self.agent if command.connection is self.context.client else self.host
                side.receive_data(bytes(command.data))
            elif isinstance(command, commands.CloseConnection):
                self.closed.append(command.connection)


def whole(said: Iterable[Event]) -> list[bytes | str]:
    """The messages, put together from their fragments."""
    messages: list[bytes | str] = []
    parts: list[bytes | str] = []
    for event in said:
        assert isinstance(event, TextMessage | BytesMessage)
        parts.append(event.data)
        if event.message_finished:
            first = parts[0]
            messages.append(type(first)().join(parts))  # type: ignore[arg-type]
            parts = []
    assert not parts
    return messages


def scrubbing() -> Callable[[Piece], None]:
    """What the add-on does with what a host says."""
    scrubber = Scrubber([Known("", "", ((KEY, TOKEN),))])

    def hook(piece: Piece) -> None:
        piece.data = scrubber.feed(piece.data) + (scrubber.finish() if piece.last else b"")

    return hook


def let_pass(_: Piece) -> None:
    """Everything may pass."""


@given(PIECES, st.booleans(), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 40), st.booleans())
def test_fragments(pieces: list[bytes], text: bool, cuts: list[int], chunk: int, ping: bool) -> None:
    """However a message is cut into frames, and those into reads, what arrives is the message, scrubbed as a whole."""
    message = b"".join(pieces)
    places = sorted({0, *(cut for cut in cuts if cut < len(message)), len(message)})
    fragments = [message[a:b] for a, b in itertools.pairwise(places)] or [b""]
    frames = b"".join(
        (frame(PING, b"p") if ping else b"")
        + frame((TEXT if text else BINARY) if i == 0 else CONTINUATION, part, fin=i == len(fragments) - 1)
        for i, part in enumerate(fragments)
    )
    pair = Pair(scrubbing_messages := scrubbing())
    pair.hook = lambda piece: None if piece.control else scrubbing_messages(piece)

    for start in range(0, len(frames), chunk):
        pair.host_says(frames[start : start + chunk])

    said = list(pair.agent.events())
    scrubbed = message.replace(KEY, TOKEN)
    assert whole(e for e in said if not isinstance(e, Ping)) == [scrubbed.decode() if text else scrubbed]
    assert sum(isinstance(e, Ping) for e in said) == ping * len(fragments)


def test_what_a_host_says_streams() -> None:
    """The beginning of a long message is passed on before its end is there, and what is held stays small."""
    pair = Pair(scrubbing())

    pair.host_says(frame(BINARY, b"x" * 10, fin=False) + frame(CONTINUATION, b"y" * MAX_HELD, length=1 << 40))

    passed = sum(len(e.data) for e in pair.agent.events() if isinstance(e, BytesMessage))
    assert passed == 10 + MAX_HELD - 1024


def test_short_messages_keep_their_frame() -> None:
    """A frame that comes in several reads goes on as one."""
    pair = Pair(scrubbing())
    data = frame(TEXT, b"x" * 1000)

    for start in range(0, len(data), 100):
        pair.host_says(data[start : start + 100])

    [event] = pair.agent.events()
    assert isinstance(event, TextMessage)
    assert (event.data, event.message_finished) == ("x" * 1000, True)


def test_what_an_agent_says_keeps_its_frames() -> None:
    """A message is judged as a whole and sent on as it was cut; with something else in it, it is one frame."""
    pair = Pair(let_pass)
    frames = (frame(TEXT, "ä".encode()[:1], fin=False, masked=True), frame(PING, b"", masked=True))
    last = frame(CONTINUATION, "ä".encode()[1:] + b"b", masked=True)

    pair.agent_says(frames[0] + frames[1] + last)

    assert [piece.data for piece in pair.pieces] == [b"", "äb".encode()]
    assert [e.data for e in pair.host.events() if isinstance(e, TextMessage)] == ["", "äb"]

    def swap(piece: Piece) -> None:
        piece.data = KEY

    pair.hook = swap
    pair.agent_says(frames[0] + last)
    assert [e.data for e in pair.host.events() if isinstance(e, TextMessage)] == [KEY.decode()]
    # Nothing holds on to it.
    assert pair.pieces[-1].data == "äb".encode()


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("from_agent", [True, False])
def test_control_frames(opcode: int, from_agent: bool) -> None:
    """Pings and pongs are judged too, and stay as short as they must be."""

    def longer(piece: Piece) -> None:
        assert piece.control
        piece.data = piece.data.replace(b"key", b"token")

    pair = Pair(longer)
    data = frame(opcode, b"key" + b"x" * 122, masked=from_agent)

    pair.agent_says(data) if from_agent else pair.host_says(data)

    [event] = (pair.host if from_agent else pair.agent).events()
    assert bytes(event.payload) == b"token" + b"x" * 120  # type: ignore[attr-defined]


def test_close() -> None:
    """A close is passed on with its code and what may pass of its reason; then both sides are hung up on."""
    pair = Pair(scrubbing())

    pair.host_says(frame(CLOSE, b"\x0f\xa0" + KEY))

    [event] = pair.agent.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (4000, TOKEN.decode())
    [answer] = pair.host.events()
    assert isinstance(answer, CloseConnection)
    assert answer.code == 4000
    assert pair.closed == [pair.context.server, pair.context.client]
    assert pair.ends == 1
    # Whatever comes now is nobody's business.
    pair.agent_says(frame(TEXT, b"x", masked=True))
    pair.leaves(agent=True)
    assert (pair.ends, len(pair.pieces)) == (1, 1)


def test_close_without_a_code() -> None:
    pair = Pair(scrubbing())

    pair.agent_says(frame(CLOSE, masked=True))

    [event] = pair.host.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, pair.ends) == (1005, 1)


@pytest.mark.parametrize("agent", [True, False])
def test_gone(agent: bool) -> None:
    """One that leaves without a word is taken at that: the other sees no orderly close."""
    pair = Pair(let_pass)

    pair.leaves(agent=agent)

    assert list(pair.agent.events()) == []
    assert list(pair.host.events()) == []
    assert (len(pair.closed), pair.ends) == (2, 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x"), 1002),
        (frame(TEXT, b"x", masked=True, rsv=1), 1002),
        (frame(TEXT, b"x", masked=True, rsv=4), 1002),
        (frame(3, b"x", masked=True), 1002),
        (frame(CONTINUATION, b"x", masked=True), 1002),
        (frame(TEXT, b"x", masked=True, fin=False) + frame(TEXT, b"x", masked=True), 1002),
        (frame(PING, b"x", masked=True, fin=False), 1002),
        (frame(PING, b"x" * 126, masked=True), 1002),
        (frame(CLOSE, b"x", masked=True), 1002),
        (frame(CLOSE, b"\x03\xedx", masked=True), 1002),
        (frame(BINARY, masked=True, length=1 << 63), 1002),
        (frame(TEXT, b"\xff", masked=True), 1007),
        (frame(TEXT, b"\xc3", masked=True), 1007),
        (frame(CLOSE, b"\x03\xe8\xff", masked=True), 1007),
    ],
)
def test_broken_frames(data: bytes, code: int) -> None:
    """What breaks the protocol ends the connection on both sides, quoting nothing."""
    pair = Pair(let_pass)

    pair.agent_says(data)

    for side in (pair.agent, pair.host):
        [event] = [event for event in side.events() if isinstance(event, CloseConnection)]
        assert (event.code, event.reason) == (code, "")
    assert (len(pair.closed), pair.ends) == (2, 1)


def test_masked_by_a_host() -> None:
    """A host doesn't mask."""
    pair = Pair(let_pass)

    pair.host_says(frame(TEXT, b"x", masked=True))

    assert [e.code for e in pair.agent.events() if isinstance(e, CloseConnection)] == [1002]


@pytest.mark.parametrize("part", [b"x" * 65536, b"x", b""])
def test_message_that_is_too_long(part: bytes) -> None:
    """An agent's message is held up to a limit, in how many frames ever."""
    pair = Pair(let_pass)
    data = frame(CONTINUATION, part, masked=True, fin=False)
    pair.agent_says(frame(BINARY, masked=True, fin=False))

    sent = 0
    while not pair.ends:
        pair.agent_says(data * 64)
        sent += 64
        assert sent * max(len(part), 1) <= MAX_MESSAGE + 128 * 65536

    assert [e.code for e in pair.agent.events() if isinstance(e, CloseConnection)] == [1009]
    assert pair.pieces == []


@pytest.mark.parametrize(("code", "closed_with"), [("token_revoked", 1008), ("vault_locked", 1011)])
@pytest.mark.parametrize("from_agent", [True, False])
def test_refused(code: str, closed_with: int, from_agent: bool) -> None:
    """What is refused goes nowhere, and is the last; both sides hear a constant."""

    def refuse(piece: Piece) -> None:
        piece.data, piece.refused = KEY, Refused(code)

    pair = Pair(refuse)
    data = frame(TEXT, b"one", masked=from_agent) + frame(TEXT, b"two", masked=from_agent)

    pair.agent_says(data) if from_agent else pair.host_says(data)

    for side in (pair.agent, pair.host):
        [event] = side.events()
        assert isinstance(event, CloseConnection)
        assert (event.code, event.reason) == (closed_with, f"refused by the proxy: {code}")
    assert (len(pair.pieces), pair.ends) == (1, 1)
