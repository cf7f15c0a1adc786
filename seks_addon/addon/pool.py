"""The connections to hosts that one client connection has: which stream gets which, and when one is opened.

mitmproxy gives each stream of an HTTP/2 client a connection of its own where the host speaks HTTP/1.1, and lets
streams wait inside a connection where it speaks HTTP/2. Here HTTP/1.1 connections are used again, one stream at a
time, and no stream gets an HTTP/2 connection that has no room for it now.
"""

import weakref
from collections import Counter
from dataclasses import dataclass
from typing import Any

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, layer, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpClient,
    HttpLayer,
    HTTPMode,
    RegisterHttpConnection,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.proxy.utils import expect

from seks_addon.addon.http1 import SeksHttp1Client
from seks_addon.addon.http2 import SeksHttp2Client

Commands = layer.CommandGenerator[None]

#: The address, as the request names it, that a connection was opened for; its own is the pinned one.
_opened_for: "weakref.WeakKeyDictionary[Connection, tuple[str, int]]" = weakref.WeakKeyDictionary()


def remember_address(server: Server) -> None:
    """Keep the address that a connection is asked for, before it is pinned to another."""
    assert server.address is not None
    _opened_for[server] = (server.address[0], server.address[1])


@dataclass
class GetConnection(GetHttpConnection):
    """Finds an open connection by the name that it was opened for. `http1`: what is asked for needs HTTP/1.1."""

    http1: bool = False

    __hash__ = GetHttpConnection.__hash__

    def connection_spec_matches(self, connection: Connection) -> bool:
        return (
            isinstance(connection, Server)
            # One that failed is tried again; mitmproxy would repeat the error as long as the client stays.
            and connection.error is None
            and _opened_for.get(connection) == self.address
            and self.tls == connection.tls
            and self.via == connection.via
            and not (self.http1 and connection.alpn == b"h2")
        )


class SeksHttpClient(HttpClient):
    """Opens a connection to a host and speaks what was agreed on."""

    @expect(events.Start)
    def _handle_event(self, event: events.Event) -> Commands:
        error = yield commands.OpenConnection(self.context.server)
        if not error:
            http2 = self.context.server.alpn == b"h2"
            self.child_layer = SeksHttp2Client(self.context) if http2 else SeksHttp1Client(self.context)
            self._handle_event = self.child_layer.handle_event
            yield from self._handle_event(event)
        yield RegisterHttpConnection(self.context.server, error)


class ConnectionPool(HttpLayer):
    """An HTTP layer with its connections to hosts."""

    def __init__(self, context: Context, mode: HTTPMode) -> None:
        super().__init__(context, mode)
        self._waiting: list[GetHttpConnection] = []
        self._opening: set[Connection] = set()

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Commands:
        self._waiting.append(event)
        self._drop_ended()
        yield from self.serve_waiting()

    def register_connection(self, command: RegisterHttpConnection) -> Commands:
        self._opening.discard(command.connection)
        if command.err:
            # While others work or are tried, one stream is told; the last attempt speaks for all.
            others = self._opening or any(self._is_open(connection) for connection in self.connections)
            for get in self._waiting[:1] if others else list(self._waiting):
                yield from self._complete(get, (None, command.err))
        yield from self.serve_waiting()

    def serve_waiting(self) -> Commands:
        """Give connections to those that wait for one, and open what is missing."""
        if not self._waiting:
            return
        # Counted once, not for each that waits and each connection: it is asked after every event.
        riders: Counter[Connection] = Counter(stream.context.server for stream in self.streams.values())
        free = [connection for connection in self.connections if self._has_room(connection, riders)]
        for get in list(self._waiting) if free else ():
            connection = next((found for found in free if get.connection_spec_matches(found)), None)
            if connection is None:
                continue
            yield from self._complete(get, (connection, None))
            riders[connection] += 1
            if not self._has_room(connection, riders):
                free.remove(connection)
        if any(self._is_open(connection) and self._is_new(connection) for connection in self.connections):
            return
        # One at first: it may have room for all.
        at_once = len(self._waiting) if self._speaks_http1() else min(1, len(self._waiting))
        for get in self._waiting[len(self._opening) : at_once]:
            yield from self._open(get)

    def reader(self, connection: Connection) -> Any:
        """What reads from a connection: mitmproxy's class for the protocol, or ours."""
        found = self.connections.get(connection)
        return found.context.layers[-1] if found is not None else None

    def _complete(self, get: GetHttpConnection, reply: tuple[None, str] | tuple[Connection, None]) -> Commands:
        self._waiting.remove(get)
        yield from self.event_to_child(self.command_sources.pop(get), GetHttpConnectionCompleted(get, reply))

    def _open(self, get: GetHttpConnection) -> Commands:
        context = self.context.fork()
        context.server = Server(address=get.address, transport_protocol="tcp")
        stack = tunnel.LayerStack()
        if get.tls:
            if isinstance(get, GetConnection) and get.http1:
                context.server.alpn_offers = [b"http/1.1"]
            stack /= ServerTLSLayer(context)
        stack /= SeksHttpClient(context)
        self.connections[context.server] = stack[0]
        self._opening.add(context.server)
        yield from self.event_to_child(stack[0], events.Start())

    def _has_room(self, connection: Connection, riders: Counter[Connection]) -> bool:
        if not isinstance(connection, Server) or not self._is_open(connection):
            return False
        match self.reader(connection):
            case SeksHttp2Client() as http2:
                return riders[connection] < http2.room
            case Http1Client() as http1:
                return riders[connection] == 0 and http1.stream_id is None
        return False

    def _is_open(self, connection: Connection) -> bool:
        return isinstance(connection, Server) and connection.connected and connection not in self._opening

    def _is_new(self, connection: Connection) -> bool:
        reader = self.reader(connection)
        return isinstance(reader, SeksHttp2Client) and reader.is_new

    def _speaks_http1(self) -> bool:
        return any(self._is_open(connection) and connection.alpn != b"h2" for connection in self.connections)

    def _drop_ended(self) -> None:
        # mitmproxy keeps ended connections as long as the client stays. A request is under way, and it wants another.
        for connection in list(self.connections):
            if (
                isinstance(connection, Server)
                and connection.state is ConnectionState.CLOSED
                and connection not in self._opening
            ):
                del self.connections[connection]
