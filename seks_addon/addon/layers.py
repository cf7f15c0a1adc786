"""The layers of a client connection: TLS towards the agent, HTTP over it, and the end of what is neither.

What HTTP does differently from mitmproxy's stands in `stream`, `pool`, `pressure`, `http1` and `http2`.
"""

from collections.abc import Collection
from typing import Final, cast

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.tls import ClientTLSLayer

from seks_addon.addon.guard import as_refusal
from seks_addon.addon.h2connection import MAX_STREAMS, STREAM_WINDOW
from seks_addon.addon.holding import holding_of
from seks_addon.addon.http1 import MAX_BUFFERED, SeksHttp1Server
from seks_addon.addon.http2 import SeksHttp2Server
from seks_addon.addon.patience import patience_of
from seks_addon.addon.pressure import PressuredLayer
from seks_addon.addon.stream import SeksHttpStream

Commands = layer.CommandGenerator[None]

#: How much may wait in an HTTP/2 connection whatever its agent has waiting elsewhere: a few streams that are slow.
UNSENT: Final = 2 * STREAM_WINDOW
#: A ClientHello with post-quantum key shares is about 2 KiB long.
MAX_CLIENT_HELLO: Final = 16 * 1024


class SeksHttpLayer(PressuredLayer):
    """mitmproxy's, with the classes above in it."""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            speaks = SeksHttp2Server if self.context.client.alpn == b"h2" else SeksHttp1Server
            self.connections[self.context.client] = speaks(self.context.fork())
        if isinstance(event, events.ConnectionEvent) and self._is_forgotten(event.connection):
            return
        try:
            yield from super()._handle_event(event)
            if isinstance(event, events.DataReceived):
                reader = self.reader(event.connection)
                if isinstance(reader, Http1Client) and len(reader.buf) > MAX_BUFFERED:
                    # A head, or the line of a chunk, that doesn't end.
                    yield commands.CloseConnection(event.connection)
            yield from self.settle()
            yield from self._count_held()
        except Exception as error:  # noqa: BLE001
            # mitmproxy would log it with its text, and leave the client waiting. HTTP/1 trailers end here.
            as_refusal("http layer", error)
            yield commands.CloseConnection(self.context.client)

    def _count_held(self) -> Commands:
        streams = cast("Collection[SeksHttpStream]", self.streams.values())
        if any(stream.flow.request.method == "CONNECT" for stream in streams):
            # What is in the tunnel counts for itself.
            return
        since = [stream.held_since for stream in streams if stream.held_since is not None]
        holding, unsent = holding_of(self.context.client), self.unsent + sum(stream.paused for stream in streams)
        holding.holds(sum(stream.held for stream in streams) + unsent, min(since, default=None))
        if unsent > UNSENT and not holding.has_room:
            # The credit for it was given long ago: there is nothing else left to take back.
            yield commands.CloseConnection(self.context.client)

    def _is_forgotten(self, connection: Connection) -> bool:
        return (
            isinstance(connection, Server) and connection not in self.connections and connection != self.context.server
        )

    def make_stream(self, stream_id: int) -> Commands:
        to_agent = self.connections[self.context.client]
        if isinstance(to_agent, SeksHttp2Server) and len(self.streams) >= 2 * MAX_STREAMS:
            # Those that were reset while something was waited for are still here.
            yield from to_agent.turn_away(stream_id)
            return
        self.streams[stream_id] = SeksHttpStream(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())


class SeksClientTlsLayer(ClientTLSLayer):
    """TLS towards the agent. mitmproxy parses an unfinished ClientHello anew with every byte, however long it is."""

    def receive_handshake_data(self, data: bytes) -> layer.CommandGenerator[tuple[bool, str | None]]:
        if not self.client_hello_parsed and len(self.recv_buffer) + len(data) > MAX_CLIENT_HELLO:
            return False, "the ClientHello is too long"
        done, problem = yield from super().receive_handshake_data(data)
        if done:
            patience_of(self.context.client).idle()
        return done, problem


class CloseLayer(layer.Layer):
    """For what isn't spoken here: the connection ends."""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)
