"""What may wait in the proxy is bounded: who sends faster than the other side takes is held.

An HTTP/2 sender is held by the stream: it gets no more credit. One that speaks HTTP/1.1 has a connection to itself,
which isn't read from for a while. Where the taker speaks HTTP/1.1, mitmproxy waits for its socket.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mitmproxy.connection import Client, Connection, Server
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.http._http1 import Http1Client

from seks_addon.addon.h2connection import STREAM_WINDOW
from seks_addon.addon.http2 import SeksHttp2Client, SeksHttp2Server, Tend
from seks_addon.addon.pool import ConnectionPool

Commands = layer.CommandGenerator[None]

_HTTP2: Final = (SeksHttp2Server, SeksHttp2Client)


@dataclass
class Hold:
    """Whether a connection is to be read from."""

    client: Client
    connection: Connection
    held: bool


@dataclass
class SeksHoldHook(commands.StartHook):
    """More came over a connection than the other side takes, or there is room again."""

    data: Hold
    blocking = False


class PressuredLayer(ConnectionPool):
    """An HTTP layer that looks after every event at what waits in it."""

    def __init__(self, context: Context, mode: HTTPMode) -> None:
        super().__init__(context, mode)
        self._held: set[Connection] = set()

    def settle(self) -> Commands:
        """Forget what is over, give credit where there is room, hold who sends too much."""
        self._held &= self.connections.keys()
        streams: defaultdict[Connection, list[int]] = defaultdict(list)
        for stream_id, stream in self.streams.items():
            streams[stream.context.client].append(stream_id)
            streams[stream.context.server].append(stream_id)
        for connection in list(self.connections):
            reader = self.reader(connection)
            if isinstance(reader, SeksHttp2Server | SeksHttp2Client):
                credit = [
                    stream_id
                    for stream_id in reader.owing
                    if self._takes_more(connection, self._agents_number(reader, stream_id))
                ]
                # Through the layers below: they encrypt.
                yield from self.event_to_child(self.connections[connection], Tend(credit, self.streams))
                if isinstance(reader, SeksHttp2Client) and reader.is_done:
                    yield commands.CloseConnection(connection)
            elif isinstance(reader, Http1Client) and self._is_abandoned(reader):
                yield commands.CloseConnection(connection)
            else:
                yield from self._hold(connection, streams[connection])
        yield from self.serve_waiting()

    @property
    def unsent(self) -> int:
        """How many bytes wait in it for credit."""
        readers = (self.reader(connection) for connection in self.connections)
        return sum(reader.h2_conn.waiting_in_all for reader in readers if isinstance(reader, _HTTP2))

    def _hold(self, connection: Connection, streams: Iterable[int]) -> Commands:
        """Stop reading from, or go on reading from, a connection with one stream."""
        waiting = max((self._waiting_behind(connection, stream_id) for stream_id in streams), default=0)
        held = waiting > (STREAM_WINDOW // 2 if connection in self._held else STREAM_WINDOW)
        if held != (connection in self._held):
            self._held ^= {connection}
            yield SeksHoldHook(Hold(self.context.client, connection, held))

    def _takes_more(self, source: Connection, stream_id: int | None) -> bool:
        stream = self.streams.get(stream_id) if stream_id is not None else None
        if stream is None or stream_id is None:
            # What comes for it is thrown away.
            return True
        # A stream that waits for a hook or a connection keeps what comes in the meantime.
        return stream._paused is None and self._waiting_behind(source, stream_id) < STREAM_WINDOW  # noqa: SLF001

    def _waiting_behind(self, source: Connection, stream_id: int) -> int:
        """How many bytes of a stream wait for the side that isn't `source`."""
        if isinstance(source, Server):
            taker = self.reader(self.context.client)
            return taker.h2_conn.waiting(stream_id) if isinstance(taker, SeksHttp2Server) else 0
        taker = self.reader(self.streams[stream_id].context.server)
        return taker.waiting(stream_id) if isinstance(taker, SeksHttp2Client) else 0

    @staticmethod
    def _agents_number(reader: SeksHttp2Server | SeksHttp2Client, stream_id: int) -> int | None:
        return reader.their_stream_id.get(stream_id) if isinstance(reader, SeksHttp2Client) else stream_id

    def _is_abandoned(self, reader: Http1Client) -> bool:
        """Tell whether a host still answers a stream that is gone."""
        return (
            self.context.client.alpn == b"h2"
            and reader.stream_id is not None
            and reader.stream_id not in self.streams
            and reader.conn.connected
        )
