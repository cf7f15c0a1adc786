"""HTTP/1 towards the agent: heads are read up to a limit, and what is said in mitmproxy's place is constant."""

from collections.abc import Iterator
from typing import Any, Final

import h11
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server, TBodyReader, make_body_reader, should_make_pipe
from mitmproxy.proxy.utils import expect

from seks_addon.addon.malformed import Malformed, SeksMalformedHook, code_of
from seks_addon.addon.patience import patience_of
from seks_addon.addon.respond import new_request_id, refusal_response
from seks_addon.refusal import Refused
from seks_addon.strict import MAX_HEAD

Commands = layer.CommandGenerator[None]

#: What may wait to be read as HTTP, in bytes; bodies pass and don't.
MAX_BUFFERED: Final = 256 * 1024


class ReadsBodies:
    """For a reader of HTTP/1: a body as it goes further."""

    @property
    def body_reader(self) -> TBodyReader:
        return self._reader

    @body_reader.setter
    def body_reader(self, reader: TBodyReader) -> None:
        self._reader: TBodyReader = _BodyReader(reader)  # type: ignore[assignment] # it reads as they do


class _BodyReader:
    """Reads on as another one does, but for two things.

    All that has come is one piece: each goes through every layer, and a body may be cut into chunks of a byte. And
    trailers are dropped (RFC 9112 section 7.1.2 allows it): they would come behind every check, and mitmproxy would
    break off the whole connection over them.
    """

    def __init__(self, reader: TBodyReader) -> None:
        self._reader = reader
        self._behind: h11.Event | h11.ProtocolError | None = None

    def __call__(self, buf: ReceiveBuffer) -> h11.Event | None:
        event, pieces = self._next(buf), list[bytes]()
        while isinstance(event, h11.Data):
            pieces.append(event.data)
            event = self._next(buf)
        if pieces:
            self._behind = event
            return h11.Data(b"".join(pieces))
        if isinstance(event, h11.ProtocolError):
            raise event
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def _next(self, buf: ReceiveBuffer) -> h11.Event | h11.ProtocolError | None:
        if (event := self._behind) is not None:
            self._behind = None
            return event
        try:
            return self._reader(buf)
        except h11.ProtocolError as error:
            return error

    def read_eof(self) -> Any:
        return self._reader.read_eof()


class SeksHttp1Client(ReadsBodies, Http1Client):
    """HTTP/1 towards a host."""


class SeksHttp1Server(ReadsBodies, Http1Server):
    """HTTP/1 towards the agent."""

    def _handle_event(self, event: events.Event) -> Commands:
        yield from super()._handle_event(event)
        if len(self.buf) > MAX_BUFFERED:
            # Requests sent before the answer to the first, or the line of a chunk that doesn't end.
            self.state = self.ignore
            yield commands.CloseConnection(self.conn)

    def send(self, event: Any) -> Commands:
        if not isinstance(event, ResponseProtocolError):
            yield from super().send(event)
            return
        # What can't be answered in the stream: nothing was sent yet, or it breaks off in the middle.
        status = event.code.http_status_code()
        if self.conn.connected and not self.response and status is not None:
            yield from self._send_refusal(Refused(code_of(event)), new_request_id())
        yield commands.CloseConnection(self.conn)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.conn)
            return
        # RFC 9112 section 2.2: empty lines before a request are skipped.
        while (lines := self.buf.maybe_extract_lines()) == []:
            pass
        if not lines:
            if self.buf:
                patience_of(self.context.client).head()
            if len(self.buf) > MAX_HEAD:
                yield from self._malformed(Refused("headers_too_large"))
            return
        patience_of(self.context.client).busy()
        try:
            self.request = http1.read_request_head([bytes(line) for line in lines])
            size = http1.expected_http_body_size(self.request)
        except ValueError:
            self.request = None
            yield from self._malformed(Refused("request_malformed", "That is no HTTP request."))
            return
        yield ReceiveHttp(RequestHeaders(self.stream_id, self.request, size == 0))
        self.body_reader = make_body_reader(size)
        self.state = self.read_body
        yield from self.state(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        done = (request or self.request_done) and (response or self.response_done)
        if done and self.request and self.response and not should_make_pipe(self.request, self.response):
            # Before the rest: the next head may be here already.
            patience_of(self.context.client).idle()
        yield from super().mark_done(request=request, response=response)

    def _malformed(self, refused: Refused) -> Commands:
        """Answer a head that never becomes a request; the connection can't be used after it."""
        self.state = self.ignore
        data = Malformed(self.context, refused, new_request_id())
        yield SeksMalformedHook(data)
        yield from self._send_refusal(refused, data.request_id)
        yield commands.CloseConnection(self.conn)

    def _send_refusal(self, refused: Refused, request_id: str) -> Commands:
        response = refusal_response(refused, request_id, close=True)
        yield commands.SendData(self.conn, http1.assemble_response(response))

    @expect(events.DataReceived, events.ConnectionClosed)
    def ignore(self, _: events.Event) -> Iterator[commands.Command]:
        self.buf = type(self.buf)()
        yield from ()
