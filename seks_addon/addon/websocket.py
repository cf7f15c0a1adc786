"""WebSocket as it is spoken here, to both sides; what may pass is decided by the hook.

What a host says streams, in frames of at most 64 KiB: a message of any length costs no more memory. What an agent
says is held until it is a whole message, as a token may stand in it, and goes on in the frames that it came in.
"""

import codecs
import contextlib
import time
from dataclasses import dataclass
from typing import Final

from mitmproxy import connection, http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import WebsocketEndHook
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from seks_addon.addon.holding import holding_of
from seks_addon.refusal import Refused

Commands = layer.CommandGenerator[None]
_Said = TextMessage | BytesMessage

#: How long a message of an agent's may be, in bytes. Audio for a realtime API comes in up to 15 MiB at once.
MAX_MESSAGE: Final = 16 * 1024 * 1024
#: What a frame is counted for besides its bytes: a message of many empty ones takes memory too.
FRAME_COST: Final = 128
#: How much of a host's frame is held until it is passed on.
MAX_HELD: Final = 64 * 1024
# RFC 6455 section 5.5.
_MAX_CONTROL: Final = 125


@dataclass(slots=True, eq=False)
class Piece:
    """What is about to be passed on: an agent's whole message, the next bytes of a host's, or a control frame's.

    The hook puts what may pass into `data`, or says in `refused` why nothing may. `control` is a ping, a pong, or
    the reason of a close.
    """

    flow: http.HTTPFlow
    from_agent: bool
    data: bytes
    text: bool = False
    last: bool = True
    control: bool = False
    refused: Refused | None = None


@dataclass
class SeksPieceHook(commands.StartHook):
    """Something was said on a WebSocket."""

    piece: Piece


class SeksWebsocketLayer(layer.Layer):
    """Passes on what the hook lets pass; ends with the first thing that it refuses."""

    def __init__(self, context: Context, flow: http.HTTPFlow) -> None:
        super().__init__(context)
        self.flow = flow
        self._agent = Connection(ConnectionType.SERVER)
        self._host = Connection(ConnectionType.CLIENT)
        self._from_agent = _Frames()
        self._from_host = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ended = False

    @property
    def held(self) -> int:
        """What is kept of a message of the agent's."""
        return self._from_agent.cost

    @property
    def held_since(self) -> float | None:
        """Since when its end is waited for."""
        return self._from_agent.since

    def _handle_event(self, event: events.Event) -> Commands:
        if self._ended:
            return
        if isinstance(event, events.ConnectionClosed):
            yield from self._end(CloseReason.ABNORMAL_CLOSURE, by_agent=event.connection == self.context.client)
        elif isinstance(event, events.DataReceived):
            source = self._agent if event.connection == self.context.client else self._host
            yield from self._receive(event.data, source)

    def _receive(self, data: bytes, source: Connection) -> Commands:
        source.receive_data(data)
        for said in source.events():
            yield from self._take(said, source)
            if self._ended:
                return

    def _take(self, said: Event, source: Connection) -> Commands:
        from_agent = source is self._agent
        if isinstance(said, CloseConnection):
            yield from self._close(said, source)
        elif isinstance(said, Ping | Pong):
            yield from self._control(said, from_agent=from_agent)
        elif isinstance(said, _Said):
            yield from self._from_agent_side(said) if from_agent else self._from_host_side(said)

    def _from_agent_side(self, said: _Said) -> Commands:
        frames = self._from_agent
        frames.add(said)
        if frames.cost > MAX_MESSAGE:
            yield from self._end(CloseReason.MESSAGE_TOO_BIG, "the message is too long for the proxy")
            return
        if not said.message_finished:
            if not holding_of(self.context.client).has_room:
                yield from self._end(CloseReason.TRY_AGAIN_LATER, "the proxy is at its limit")
            return
        self._from_agent = _Frames()
        message = frames.message()
        piece = Piece(self.flow, True, message, text=isinstance(said.data, str))
        if (yield from self._may_pass(piece)):
            parts = frames.parts if piece.data is message else [piece.data]
            for number, part in enumerate(parts, 1):
                yield from self._send(self._host, _message(bytes(part), piece.text, last=number == len(parts)))
        # Nothing holds on to a credential that was in it.
        piece.data = message

    def _from_host_side(self, said: _Said) -> Commands:
        self._from_host += _raw(said)
        if not said.frame_finished and len(self._from_host) < MAX_HELD:
            return
        data, self._from_host = bytes(self._from_host), bytearray()
        piece = Piece(self.flow, False, data, text=isinstance(said.data, str), last=said.message_finished)
        if not (yield from self._may_pass(piece)):
            return
        if not piece.text:
            if piece.data or piece.last:
                yield from self._send(self._agent, BytesMessage(piece.data, message_finished=piece.last))
            return
        text = self._decoder.decode(piece.data, piece.last)
        if text or piece.last:
            yield from self._send(self._agent, TextMessage(text, message_finished=piece.last))

    def _control(self, said: Ping | Pong, *, from_agent: bool) -> Commands:
        piece = Piece(self.flow, from_agent, bytes(said.payload), control=True)
        if (yield from self._may_pass(piece)):
            # A token may be longer than the credential that it stands for.
            passed = type(said)(payload=piece.data[:_MAX_CONTROL])
            yield from self._send(self._host if from_agent else self._agent, passed)

    def _close(self, said: CloseConnection, source: Connection) -> Commands:
        if source.state is ConnectionState.OPEN:
            # No close frame, but one that breaks the protocol: the reason is the library's, and may quote it.
            yield from self._end(said.code, by_agent=source is self._agent)
            return
        piece = Piece(self.flow, source is self._agent, (said.reason or "").encode(), control=True)
        if (yield from self._may_pass(piece)):
            yield from self._end(said.code, piece.data.decode(), by_agent=piece.from_agent)

    def _may_pass(self, piece: Piece) -> layer.CommandGenerator[bool]:
        yield SeksPieceHook(piece)
        if piece.refused is None:
            return True
        # RFC 6455 section 7.4.1: 1008 for what a policy forbids, 1011 for what went wrong here.
        failed = piece.refused.status >= 500
        code = CloseReason.INTERNAL_ERROR if failed else CloseReason.POLICY_VIOLATION
        yield from self._end(code, f"refused by the proxy: {piece.refused.code}")
        return False

    def _end(self, code: int, reason: str | None = None, *, by_agent: bool | None = None) -> Commands:
        """Say goodbye to both sides, unless one of them left without, and hang up."""
        self._ended = True
        self._from_agent = _Frames()
        assert self.flow.websocket is not None
        self.flow.websocket.close_code, self.flow.websocket.closed_by_client = int(code), by_agent
        for side in (self._host, self._agent):
            if code != CloseReason.ABNORMAL_CLOSURE:
                with contextlib.suppress(LocalProtocolError):
                    yield from self._send(side, CloseConnection(code, reason))
            yield commands.CloseConnection(self._connection(side))
        yield WebsocketEndHook(self.flow)
        self.flow.live = False

    def _send(self, side: Connection, said: Event) -> Commands:
        if self._connection(side).state & connection.ConnectionState.CAN_WRITE:
            yield commands.SendData(self._connection(side), side.send(said))

    def _connection(self, side: Connection) -> connection.Connection:
        return self.context.client if side is self._agent else self.context.server


class _Frames:
    """A message as it comes: the bytes of each frame, what they cost, and when it began."""

    def __init__(self) -> None:
        self.parts: list[bytearray] = [bytearray()]
        self.cost = 0
        self.since: float | None = None

    def add(self, said: _Said) -> None:
        self.since = self.since or time.monotonic()
        self.parts[-1] += _raw(said)
        self.cost += len(said.data)
        if said.frame_finished and not said.message_finished:
            self.parts.append(bytearray())
            self.cost += FRAME_COST

    def message(self) -> bytes:
        return b"".join(self.parts)


def _raw(said: _Said) -> bytes:
    return said.data.encode() if isinstance(said.data, str) else bytes(said.data)


def _message(data: bytes, text: bool, *, last: bool) -> _Said:
    if text:
        return TextMessage(data.decode(), message_finished=last)
    return BytesMessage(data, message_finished=last)
