"""A client's connection and those to hosts on its behalf, as mitmproxy handles them, with six differences.

1. nothing is read from a client while what it sent before can't be passed on: mitmproxy would keep it all;
2. each side is read no faster than the other one reads, and a side that doesn't read never stops the other;
3. a host that can't be connected to in time is given up;
4. a socket is closed when its connection ends, whatever its task is at and whether the other side reads or not;
5. an agent whose bytes cost much waits for its turn: see `pace`;
6. a client that goes is noticed while nothing is read from it.
"""

import asyncio
import contextlib
import select
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from seks_addon.addon.h2connection import MAX_STREAMS
from seks_addon.addon.holding import holding_of
from seks_addon.addon.pace import Pace, Share

#: For a host's name to be looked up, the connection to be opened, and TLS to be spoken, in seconds.
OPENING: Final = 20.0
#: What is kept of a client's bytes while they can't be passed on.
KEPT: Final = 256 * 1024
#: How long the other side may take to read the rest when a connection is closed, in seconds.
LINGER: Final = 10.0
#: A side that is gone without a word is noticed after two minutes. The options as Linux calls them.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class _TimedLock(asyncio.Lock):
    """mitmproxy's tasks of one client take turns; `began` is when this turn did, in the thread's own time."""

    began = 0.0

    async def acquire(self) -> Literal[True]:
        await super().acquire()
        self.began = time.thread_time()
        return True


class SeksConnectionHandler(ProxyConnectionHandler):
    """Handles one client's connection."""

    @classmethod
    def take_over(cls, handler: Any) -> "SeksConnectionHandler":
        """Turn mitmproxy's own handler, which it has just made, into one of these."""
        handler.__class__ = cls
        handler.prepare()
        return handler  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """What `__init__` would do."""
        self._opening: set[Connection] = set()
        self._when_closed: dict[Connection, Callable[[], None]] = {}
        self._hooks = 0
        self._kept = 0
        self._reads = -1
        self._moved = asyncio.Event()
        self._share = Share()
        self._server_event_lock = self._turns = _TimedLock()
        # A client has a connection to its host for each of its streams: mitmproxy lets it have five.
        self.max_conns = defaultdict(partial(asyncio.Semaphore, MAX_STREAMS))

    @property
    def writer(self) -> asyncio.StreamWriter | None:
        """What the client is written to, while it is there."""
        transport = self.transports.get(self.client)
        return transport.writer if transport else None  # type: ignore[return-value]

    # What is waited for.

    async def hook_task(self, hook: commands.StartHook) -> None:
        self._hooks += 1
        try:
            await super().hook_task(hook)
        finally:
            self._hooks -= 1
            self._moved.set()

    async def server_event(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived) and event.connection is self.client:
            self._kept += len(event.data)
        await super().server_event(event)
        if isinstance(event, events.DataReceived) and (pace := self._pace_of(event.connection)):
            pace.cost(time.thread_time() - self._turns.began)
        if isinstance(event, events.OpenConnectionCompleted):
            self._opening.discard(event.command.connection)
        self._moved.set()

    def _is_waiting(self) -> bool:
        return self._hooks > 0 or any(not self._is_ready(conn) for conn in self.transports if isinstance(conn, Server))

    def _is_ready(self, host: Server) -> bool:
        return host not in self._opening and (not host.connected or not host.tls or host.tls_established)

    # Reading no faster than the other side.

    async def drain_writers(self) -> None:
        transport = self.transports.get(self.client)
        if transport is None or asyncio.current_task() is not transport.handler:
            # A host is read as fast as the client reads; whether it reads itself is another matter.
            await self._drain(self.client)
            return
        holding = holding_of(self.client)
        holding.sends(sum(map(self._unsent, self.transports)))
        for connection in list(self.transports):
            await self._drain(connection)
        holding.sends(0)
        while self._is_waiting():
            if self._kept < KEPT:
                return
            self._moved.clear()
            await self._moved.wait()
        self._kept = 0

    def _unsent(self, connection: Connection) -> int:
        writer = self.transports[connection].writer
        return writer.transport.get_write_buffer_size() if isinstance(writer, asyncio.StreamWriter) else 0

    async def _drain(self, connection: Connection) -> None:
        transport = self.transports.get(connection)
        if transport is None or transport.writer is None:
            return
        try:
            await transport.writer.drain()
        except OSError as error:
            if transport.handler is not None:
                transport.handler.cancel(f"Error sending data: {error}")

    def hold(self, connection: Connection, *, held: bool) -> None:
        """Stop reading from a connection, or go on. asyncio reads a little ahead, then the sender has to wait."""
        if (pace := self._pace_of(connection)) is None:
            return
        if held:
            pace.go_on.clear()
        else:
            pace.go_on.set()

    def belong(self, share: Share) -> None:
        """Count what is read from now on for `share`."""
        self._share = share
        for connection in self.transports:
            if pace := self._pace_of(connection):
                pace.share = share

    def _pace_of(self, connection: Connection) -> Pace | None:
        transport = self.transports.get(connection)
        reader: Any = transport.reader if transport else None
        return reader if isinstance(reader, Pace) else None

    def end_if_left(self) -> None:
        """End the exchanges of a client that went away, where nothing was read from it since the last look."""
        transport, pace = self.transports.get(self.client), self._pace_of(self.client)
        if transport is None or transport.handler is None or pace is None or pace.is_reading:
            return
        stuck, self._reads = pace.reads == self._reads, pace.reads
        if stuck and self.writer is not None and _has_left(self.writer.get_extra_info("socket")):
            transport.handler.cancel("client disconnected")

    # Opening and closing.

    async def open_connection(self, command: commands.OpenConnection) -> None:
        host = command.connection
        self._opening.add(host)
        timer = asyncio.get_running_loop().call_later(OPENING, self._give_up, host)
        try:
            await super().open_connection(command)
        finally:
            timer.cancel()
            self._let_go(host)
            if host in self._opening:
                # Given up before mitmproxy would say so by itself.
                host.error = "connection cancelled"
                await self.server_event(events.OpenConnectionCompleted(command, host.error))

    def _give_up(self, host: Server) -> None:
        transport = self.transports.get(host)
        if transport is None or self._is_ready(host):
            return
        if isinstance(transport.writer, asyncio.StreamWriter):
            # Its task learns of it as if the host had closed.
            transport.writer.transport.abort()
        elif transport.handler is not None:
            transport.handler.cancel("timeout")

    async def handle_connection(self, connection: Connection) -> None:
        transport = self.transports[connection]
        assert isinstance(transport.writer, asyncio.StreamWriter)
        _keep_alive(transport.writer.get_extra_info("socket"))
        transport.reader = Pace(transport.reader, self._share)  # type: ignore[assignment] # it reads as they do
        try:
            await super().handle_connection(connection)
        finally:
            # mitmproxy closes by cancelling the task, which may be waiting for its turn and not get here.
            self.transports.setdefault(connection, transport)
            self._let_go(connection)

    def when_closed(self, connection: Connection, call: Callable[[], None]) -> None:
        """Call back when there is no socket any more, or there was none."""
        self._when_closed[connection] = call

    def _let_go(self, connection: Connection) -> None:
        transport = self.transports.pop(connection, None)
        lingers = False
        if transport is not None and isinstance(transport.writer, asyncio.StreamWriter):
            connection.state = ConnectionState.CLOSED
            lingers = close(transport.writer)
        if call := self._when_closed.pop(connection, None):
            asyncio.get_running_loop().call_later(LINGER if lingers else 0, call)


def close(writer: asyncio.StreamWriter) -> bool:
    """Close for good, even where the other side doesn't read what is still to be sent; tells whether that waits."""
    writer.close()
    lingers = bool(writer.transport.get_write_buffer_size())
    if lingers:
        asyncio.get_running_loop().call_later(LINGER, writer.transport.abort)
    return lingers


def _keep_alive(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if option := getattr(socket, name, None):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _has_left(connection: socket.socket) -> bool:
    """Tell without reading whether the other side closed. Who closed only its half is taken for gone everywhere."""
    if connection.fileno() < 0:
        return True
    poll = select.poll()
    # Without the first, which Linux has, only a reset is seen.
    poll.register(connection.fileno(), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
