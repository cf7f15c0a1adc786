"""HTTP/2 on both sides. Inside the proxy a request and its answer are HTTP/1.1; here they become that, or cease to be.

mitmproxy's classes keep what they can't send, forget nothing as long as a connection lasts, and take a GOAWAY for
the end. What differs here: each stream may keep `STREAM_WINDOW` bytes waiting, what costs the other side nothing is
counted, a GOAWAY ends no stream that the other side goes on with, and what is malformed is answered in its stream.
"""

import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import h2.config
import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError
from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import (
    Http2Client,
    Http2Connection,
    Http2Server,
    StreamState,
    format_h2_response_headers,
)

from seks_addon.addon.h2connection import GoAway, SeksH2Connection
from seks_addon.addon.malformed import Malformed, SeksMalformedHook, code_of
from seks_addon.addon.respond import new_request_id, refusal_response
from seks_addon.h2head import read_head
from seks_addon.refusal import Refused

Commands = layer.CommandGenerator[None]

#: What frames that cost their sender nothing may sum up to: at once, and each second.
_BURST: Final = 2000
_REFILL: Final = 200
#: A stream that is opened and reset makes work (CVE-2023-44487): a hundred at once, then ten a second.
RESET_COST: Final = 20
_CHEAP: Final = (
    h2.events.RemoteSettingsChanged,
    h2.events.PingReceived,
    h2.events.PriorityUpdated,
    h2.events.UnknownFrameReceived,
    h2.events.InformationalResponseReceived,
)


@dataclass
class Tend(events.Event):
    """The streams that may be sent more of, by their sender's number, and those that anybody still cares for."""

    credit: list[int]
    live: Collection[int]


class Budget:
    """What is left to spend: `_BURST` at first, refilled as time goes by."""

    def __init__(self) -> None:
        self._left, self._since = float(_BURST), time.monotonic()

    def spend(self, cost: int) -> bool:
        """Take `cost`; False where it isn't there any more."""
        moment = time.monotonic()
        self._left = min(_BURST, self._left + (moment - self._since) * _REFILL) - cost
        self._since = moment
        return self._left >= 0


class _Edge(Http2Connection):
    """What both sides have in common; mixed into mitmproxy's two classes."""

    h2_conn: SeksH2Connection

    def __init__(self, context: Context) -> None:
        super().__init__(context)  # type: ignore[call-arg]
        self.h2_conn = SeksH2Connection(self.h2_conf)
        self.budget = Budget()
        self._owed: defaultdict[int, int] = defaultdict(int)

    def _handle_event(self, event: events.Event) -> Commands:
        if not isinstance(event, Tend):
            yield from super()._handle_event(event)
            return
        self.tidy(event.live)
        for stream_id in event.credit:
            self.h2_conn.acknowledge_received_data(self._owed.pop(stream_id, 0), stream_id)
        yield from self.flush()

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        if not self.budget.spend(_cost(event)):
            yield from self.protocol_error("enough", ErrorCodes.ENHANCE_YOUR_CALM)
            return True
        if isinstance(event, DenialOfServiceError):
            yield from self.protocol_error("enough", event.error_code)
            return True
        if isinstance(event, GoAway):
            yield from self.goes_away(event.last_stream_id)
            return False
        if isinstance(event, h2.events.DataReceived) and (
            self.streams.get(event.stream_id) is StreamState.HEADERS_RECEIVED
        ):
            if event.data:
                yield ReceiveHttp(self.ReceiveData(event.stream_id, event.data))
            self._owed[event.stream_id] += event.flow_controlled_length or 0
            return False
        return (yield from super().handle_h2_event(event))

    def goes_away(self, last_stream_id: int) -> Commands:
        """The other side opens or takes no more streams; what runs goes on."""
        yield from ()

    def protocol_error(self, message: str, error_code: int = ErrorCodes.PROTOCOL_ERROR) -> Commands:
        # mitmproxy's message quotes what came.
        yield from super().protocol_error("protocol error", error_code)

    @property
    def owing(self) -> list[int]:
        """The streams that were sent to us and are owed credit."""
        return list(self._owed)

    def flush(self) -> Commands:
        """Send what is ready to be sent."""
        if data := self.h2_conn.data_to_send():
            yield commands.SendData(self.conn, data)

    def done(self, event: events.Event) -> Commands:
        # After the end mitmproxy expects some events only.
        yield from ()

    def tidy(self, live: Collection[int]) -> None:
        """Forget the streams that are closed. `live` are by the agent's number."""
        for stream_id in [stream_id for stream_id in self.streams if self.is_closed(stream_id)]:
            del self.streams[stream_id]
        for stream_id in [stream_id for stream_id in self.h2_conn.stream_buffers if self.is_closed(stream_id)]:
            self.h2_conn.forget(stream_id)


class SeksHttp2Server(_Edge, Http2Server):
    """HTTP/2 towards the agent."""

    h2_conf = h2.config.H2Configuration(**Http2Connection.h2_conf_defaults, client_side=False)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # Done by `read_head`: h2 closes the connection over one bad request.
        self.h2_conf.validate_inbound_headers = False
        #: What is still to come of a body that said how long it is, by stream.
        self._due: dict[int, int] = {}

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, ResponseProtocolError) and self._can_answer(event):
            yield from self._answer(event.stream_id, Refused(code_of(event)), new_request_id())
            yield from self.flush()
            return
        yield from super()._handle_event(event)

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, h2.events.TrailersReceived):
            if self._due.get(event.stream_id):
                # h2 looks at the length only where a piece of the body is the end (RFC 9113 section 8.1.1).
                yield from self.protocol_error("the body is shorter than announced")
                return True
            # They would come behind every check; nothing obliges a proxy to pass them on (RFC 9110 section 6.5.1).
            return False
        if isinstance(event, h2.events.DataReceived) and event.stream_id in self._due:
            self._due[event.stream_id] -= len(event.data or b"")
        if not isinstance(event, h2.events.RequestReceived):
            return (yield from super().handle_h2_event(event))
        ended = event.stream_ended is not None
        try:
            head = read_head(event.headers, ended=ended)
        except Refused as refused:
            return (yield from self._malformed(event.stream_id, refused, ended=ended))
        request = http.Request(
            host="",
            port=0,
            method=head.method,
            scheme=b"https",
            authority=head.authority,
            path=head.path,
            http_version=b"HTTP/1.1",
            headers=http.Headers(head.fields),
            content=None,
            trailers=None,
            timestamp_start=time.time(),
            timestamp_end=None,
        )
        self.streams[event.stream_id] = StreamState.HEADERS_RECEIVED
        length = request.headers.get("content-length", "")
        if length.isdecimal():
            self._due[event.stream_id] = int(length)
        yield ReceiveHttp(RequestHeaders(event.stream_id, request, end_stream=ended))
        return False

    def tidy(self, live: Collection[int]) -> None:
        super().tidy(live)
        for stream_id in self._due.keys() - self.streams.keys():
            del self._due[stream_id]

    def turn_away(self, stream_id: int) -> Commands:
        """Refuse a stream that wasn't looked at; its client may try again."""
        self.streams.pop(stream_id, None)
        if not self.is_closed(stream_id):
            self.h2_conn.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        yield from self.flush()

    def _malformed(self, stream_id: int, refused: Refused, *, ended: bool) -> layer.CommandGenerator[bool]:
        """Answer a head that never becomes a request; the others go on, unless there are too many of these."""
        data = Malformed(self.context, refused, new_request_id())
        yield SeksMalformedHook(data)
        yield from self._answer(stream_id, refused, data.request_id)
        if not ended and not self.is_closed(stream_id):
            self.h2_conn.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        if not self.budget.spend(RESET_COST):
            yield from self.protocol_error("enough", ErrorCodes.ENHANCE_YOUR_CALM)
            return True
        return False

    def _can_answer(self, event: ResponseProtocolError) -> bool:
        return (
            event.code.http_status_code() is not None
            and self.is_open_for_us(event.stream_id)
            and not self.h2_conn.streams[event.stream_id].state_machine.headers_sent
        )

    def _answer(self, stream_id: int, refused: Refused, request_id: str) -> Commands:
        if self.is_open_for_us(stream_id):
            response = refusal_response(refused, request_id)
            event = ResponseHeaders(stream_id, response)
            self.h2_conn.send_headers(stream_id, (yield from format_h2_response_headers(self.context, event)))
            self.h2_conn.send_data(stream_id, response.raw_content or b"", end_stream=True)


class SeksHttp2Client(_Edge, Http2Client):
    """HTTP/2 towards the host."""

    h2_conf = h2.config.H2Configuration(**Http2Connection.h2_conf_defaults, client_side=True)
    #: Until the host says how many streams it takes, which is the first that it has to say.
    provisional_max_concurrency: int | None = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._answered: set[int] = set()
        self._leaving = False

    @property
    def room(self) -> int:
        """How many streams the host takes at once."""
        if self._leaving:
            return 0
        return self.provisional_max_concurrency or self.h2_conn.remote_settings.max_concurrent_streams

    @property
    def is_new(self) -> bool:
        """Whether the host hasn't said yet how many streams it takes."""
        return self.provisional_max_concurrency is not None

    @property
    def is_done(self) -> bool:
        """Whether the host went away and all of its streams have ended."""
        return self._leaving and not self.streams

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, HttpEvent) and event.stream_id not in self.our_stream_id:
            if not isinstance(event, RequestHeaders):
                # Of a stream that the host was never told of, or that is over.
                return
            if self.h2_conn.open_outbound_streams >= self.room:
                # mitmproxy would keep the head and send it later: without the credential, which is taken back by then.
                yield ReceiveHttp(ResponseProtocolError(event.stream_id, "no room", ErrorCode.CONNECT_FAILED))
                return
        yield from super()._handle_event(event)

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, h2.events.StreamReset) and event.stream_id in self._answered:
            # The answer is there; the host doesn't want the rest of the request.
            self.streams.pop(event.stream_id, None)
            return False
        if isinstance(event, h2.events.StreamEnded):
            self._answered.add(event.stream_id)
        return (yield from super().handle_h2_event(event))

    def goes_away(self, last_stream_id: int) -> Commands:
        self._leaving = True
        for stream_id in [stream_id for stream_id in self.streams if stream_id > last_stream_id]:
            del self.streams[stream_id]
            yield ReceiveHttp(ResponseProtocolError(stream_id, "the host went away", ErrorCode.CONNECT_FAILED))

    def waiting(self, stream_id: int) -> int:
        """How many bytes of a stream, by the agent's number, the host gives no credit for."""
        ours = self.our_stream_id.get(stream_id)
        return 0 if ours is None else self.h2_conn.waiting(ours)

    def tidy(self, live: Collection[int]) -> None:
        for theirs in self.our_stream_id.keys() - set(live):
            ours = self.our_stream_id.pop(theirs)
            del self.their_stream_id[ours]
            self._answered.discard(ours)
            self.streams.pop(ours, None)
            if not self.is_closed(ours):
                self.h2_conn.reset_stream(ours, ErrorCodes.CANCEL)
        super().tidy(live)


def _cost(event: h2.events.Event) -> int:
    if isinstance(event, h2.events.StreamReset):
        return RESET_COST
    if isinstance(event, h2.events.DataReceived):
        return int(not event.data and event.stream_ended is None)
    return int(isinstance(event, _CHEAP))
