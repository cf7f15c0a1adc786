"""A request and its answer as mitmproxy passes them on, with five differences.

1. a credential is injected when the connection that carries it is open and verified, just before the head is
   sent, and taken back right after;
2. what is refused is answered with a constant, and the connection stays usable where HTTP allows;
3. the body of a refused request is thrown away as it comes, not kept;
4. no text of mitmproxy's own, which quotes what it got, reaches the client;
5. a WebSocket is passed on by SEKS's own layer.
"""

import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Final

from mitmproxy import http
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    HTTPMode,
    HttpStream,
    SendHttp,
)
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.utils import expect

from seks_addon.addon.exchange import exchange_of
from seks_addon.addon.holding import holding_of
from seks_addon.addon.malformed import code_of
from seks_addon.addon.pool import GetConnection
from seks_addon.addon.respond import new_request_id, refusal_response
from seks_addon.addon.websocket import SeksWebsocketLayer
from seks_addon.refusal import Refused
from seks_addon.strict import MAX_BODY

Commands = layer.CommandGenerator[None]

#: What a piece of a body takes besides its bytes: it may have but one.
EVENT_COST: Final = 256
#: Up to this length, in bytes, pieces that wait are made one with the next.
JOINED: Final = 4096


@dataclass
class SeksInjectHook(commands.StartHook):
    """The connection that will carry the request is open; its head is sent next."""

    flow: http.HTTPFlow


@dataclass
class SeksSentHook(commands.StartHook):
    """A request was sent unless it was refused: now the host works, and there is time for what its answer needs."""

    flow: http.HTTPFlow
    blocking = False


@dataclass(frozen=True)
class Claim:
    """What an absolute-form target said, before mitmproxy rewrote it. `authority` is None for origin form."""

    scheme: str
    authority: str | None


_claims: "weakref.WeakKeyDictionary[http.Request, Claim]" = weakref.WeakKeyDictionary()


def claim_of(request: http.Request) -> Claim:
    """What the request's target said."""
    return _claims[request]


class _Queue(deque[events.Event]):
    """What comes while a stream waits; then it is all dealt with at once, so small pieces of a body are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.cost = 0

    def append(self, event: events.Event, /) -> None:
        last = self[-1] if self else None
        if isinstance(event, RequestData) and isinstance(last, RequestData) and len(last.data) < JOINED:
            last.data += event.data
            self.cost += len(event.data)
            return
        super().append(event)
        self.cost += _cost(event)

    def popleft(self) -> events.Event:
        event = super().popleft()
        self.cost -= _cost(event)
        return event


def _cost(event: events.Event) -> int:
    return EVENT_COST + (len(event.data) if isinstance(event, RequestData | ResponseData) else 0)


class SeksHttpStream(HttpStream):
    """One request and its answer."""

    _ended_early = False
    #: Since when a body comes that is read whole.
    _body_since: float | None = None

    def __init__(self, context: Context, stream_id: int) -> None:
        super().__init__(context, stream_id)
        self._paused_event_queue = self._queue = _Queue()

    @property
    def paused(self) -> int:
        """How many bytes came while it waits for a hook or a connection."""
        return self._queue.cost

    @property
    def held(self) -> int:
        """How many bytes of a body or a message are kept until all of it is there, or longer."""
        if isinstance(self.child_layer, SeksWebsocketLayer):
            return self.child_layer.held
        return len(self.request_body_buf) + len(self.flow.request.data.content or b"")

    @property
    def held_since(self) -> float | None:
        """Since when the end of it is waited for."""
        if isinstance(self.child_layer, SeksWebsocketLayer):
            return self.child_layer.held_since
        return self._body_since if self.request_body_buf else None

    @expect(RequestHeaders)
    def state_wait_for_request_headers(self, event: RequestHeaders) -> Commands:
        request = event.request
        # As it was sent: mitmproxy's own property rewrites international names.
        authority = request.data.authority.decode("latin-1") if request.method != "CONNECT" else ""
        _claims[request] = Claim(request.scheme, authority or None)
        if self.mode is HTTPMode.regular and not authority and request.method != "CONNECT":
            # Addressed to the proxy itself. The hook refuses it; mitmproxy would look for a host to send it to.
            request.data.host, request.data.port = "proxy.invalid", 0
        yield from super().state_wait_for_request_headers(event)
        if self._refused:
            self.server_state = self.state_errored

    def check_invalid(self, request: bool) -> layer.CommandGenerator[bool]:
        if request:
            # The hook checks more, and answers.
            return False
        assert self.flow.response is not None
        try:
            validate_headers(self.flow.response)
            if self._multiplexed and self.flow.response.status_code == 101:
                raise ValueError("HTTP/2 doesn't switch protocols")
        except ValueError:
            yield from self._leave_host()
            yield from self._refuse(Refused("upstream_malformed"))
            return True
        return False

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        exchange = exchange_of(self.flow)
        if exchange is not None and exchange.refusal is not None and not exchange.answered:
            if self.flow.response is not None:
                yield from self._leave_host()
            yield from self._refuse(exchange.refusal)
            return True
        killed = yield from super().check_killed(emit_error_hook)
        if killed:
            # mitmproxy keeps it as long as the client stays.
            yield DropStream(self.stream_id)
        return killed

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        connection, error = yield GetConnection(
            (self.flow.request.host, self.flow.request.port),
            self.flow.request.scheme == "https",
            self.flow.server_conn.via,
            self.flow.server_conn.transport_protocol,
            # A WebSocket: the hook lets no other upgrade pass.
            http1="upgrade" in self.flow.request.headers,
        )
        if error:
            yield from self.handle_protocol_error(
                ResponseProtocolError(self.stream_id, error, ErrorCode.CONNECT_FAILED)
            )
            return False
        self.context.server = self.flow.server_conn = connection
        exchange = exchange_of(self.flow)
        if connection.alpn == b"h2" and self._multiplexed and exchange and exchange.takes_trailers:
            # The only header of one hop that HTTP/2 has. A gRPC server asks for it.
            self.flow.request.headers.fields += ((b"te", b"trailers"),)
        yield SeksInjectHook(self.flow)
        return not (yield from self.check_killed(True))

    def start_request_stream(self) -> Commands:
        if not (yield from self.make_server_connection()):
            return
        yield SendHttp(RequestHeaders(self.stream_id, self.flow.request, end_stream=False), self.context.server)
        self._restore()
        yield SeksSentHook(self.flow)
        self.client_state = self.state_stream_request_body

    @expect(RequestData, RequestTrailers, RequestEndOfMessage)
    def state_consume_request_body(self, event: events.Event) -> Commands:
        yield from super().state_consume_request_body(event)
        self._restore()
        if isinstance(event, RequestEndOfMessage):
            yield SeksSentHook(self.flow)
        if not self.request_body_buf:
            return
        self._body_since = self._body_since or time.monotonic()
        too_large = len(self.request_body_buf) > MAX_BODY
        if too_large or not holding_of(self.context.client).has_room:
            self.request_body_buf.clear()
            yield from self._refuse(Refused("body_too_large" if too_large else "overloaded"))

    @expect(ResponseHeaders)
    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        response = event.response
        if response.is_http2:
            response.http_version = "HTTP/1.1"
            if self.flow.request.is_http11 and "content-length" not in response.headers:
                response.headers["Transfer-Encoding"] = "chunked"
        yield from super().state_wait_for_response_headers(event)

    @expect(ResponseData, ResponseTrailers, ResponseEndOfMessage)
    def state_stream_response_body(self, event: events.Event) -> Commands:
        exchange = exchange_of(self.flow)
        if exchange is None:
            return
        if isinstance(event, ResponseTrailers):
            if not self._multiplexed:
                return
            event.trailers = exchange.answer.clean_trailers(event.trailers)
        try:
            yield from super().state_stream_response_body(event)
        except Refused:
            # What went out can't be taken back; the client sees that the rest is missing.
            exchange.answered = True
            yield from self._leave_host()
            unsafe = ResponseProtocolError(self.stream_id, "the answer is unsafe", ErrorCode.GENERIC_SERVER_ERROR)
            yield from super().handle_protocol_error(unsafe)

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        if isinstance(event, ResponseProtocolError) and self._can_still_answer:
            exchange = exchange_of(self.flow)
            failure = exchange.session.failure if exchange and event.code is ErrorCode.CONNECT_FAILED else None
            yield from self._refuse(failure or Refused(code_of(event)))
            return
        if isinstance(event, ResponseProtocolError) and self._refused:
            # The client has its answer: another would look like the one to its next request.
            return
        yield from super().handle_protocol_error(event)

    def send_response(self, already_streamed: bool = False) -> Commands:
        yield from super().send_response(already_streamed)
        exchange = exchange_of(self.flow)
        if exchange is not None and exchange.answer.is_last and self.client_state == self.state_done:
            yield commands.CloseConnection(self.flow.server_conn)
        answered = self.server_state == self.state_done and (self._multiplexed or not self._refused)
        if answered and self.client_state != self.state_done:
            # An early answer. mitmproxy ends it after the request: a client that gives that up would wait for ever.
            self._ended_early = True
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def flow_done(self) -> Commands:
        if self.flow.websocket is not None:
            self.child_layer = SeksWebsocketLayer(self.context, self.flow)
            self._handle_event = self.passthrough
            yield from self.child_layer.handle_event(events.Start())
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
            return
        if not self._ended_early:
            yield from super().flow_done()
            return
        self.flow.live = False
        yield DropStream(self.stream_id)

    @expect(RequestData, RequestTrailers, RequestEndOfMessage)
    def state_discard_request_body(self, event: events.Event) -> Commands:
        if isinstance(event, RequestEndOfMessage):
            self.client_state = self.state_done
            yield from self.flow_done()

    def handle_connect_regular(self) -> Commands:
        exchange = exchange_of(self.flow)
        if exchange is not None and exchange.session.raw_tunnel and not self.flow.response:
            self.child_layer = TCPLayer(self.context, ignore=True)
        else:
            self.child_layer = layer.NextLayer(self.context)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]

    def _refuse(self, refused: Refused) -> Commands:
        """Answer in the host's place, once."""
        exchange = exchange_of(self.flow)
        if exchange is not None:
            exchange.refuse(refused)
            exchange.answered = True
        self._restore()
        # A client that waits for `100 Continue` may send its body or not: the next bytes could be either.
        close = "expect" in self.flow.request.headers or refused.code == "request_malformed"
        self.flow.error = None
        self.flow.response = refusal_response(
            refused, exchange.request_id if exchange else new_request_id(), close=close
        )
        if self.flow.request.method == "HEAD":
            self.flow.response.data.content = b""
        if self.client_state != self.state_done:
            self.client_state = self.state_discard_request_body
        yield from self.send_response()
        # What the host still says is nobody's business.
        self.server_state = self.state_errored

    def _leave_host(self) -> Commands:
        """End what the host still has to say, and nothing else that it is asked."""
        host = self.flow.server_conn
        if host.alpn == b"h2":
            yield SendHttp(RequestProtocolError(self.stream_id, "left", ErrorCode.CANCEL), host)
        else:
            yield commands.CloseConnection(host)

    def _restore(self) -> None:
        exchange = exchange_of(self.flow)
        if exchange is not None:
            exchange.restore(self.flow.request)

    @property
    def _multiplexed(self) -> bool:
        """Whether the client speaks HTTP/2."""
        return self.context.client.alpn == b"h2"

    @property
    def _refused(self) -> bool:
        exchange = exchange_of(self.flow)
        return exchange is not None and exchange.answered

    @property
    def _can_still_answer(self) -> bool:
        return (
            not self._refused
            and self.flow.response is None
            and self.client_state != self.state_errored
            and self.server_state not in (self.state_done, self.state_errored)
        )
