"""What mitmproxy's handler of a client does with its sockets.

mitmproxy closes a connection by cancelling the task that reads from it. A task that waits for its turn at that moment
ends without having closed the socket: one more file descriptor is open until the client goes, or longer.
"""

import asyncio
from collections import defaultdict
from functools import partial
from typing import Any

from mitmproxy.connection import Connection, ConnectionState

from seks_addon.addon.http2 import MAX_STREAMS


def close_for_good(handler: Any) -> None:
    """Let the `ConnectionHandler` of a client close its sockets, whatever their tasks are at."""
    close = handler.close_connection

    def close_connection(connection: Connection, half_close: bool = False) -> None:
        transport = handler.transports.get(connection)
        close(connection, half_close)
        if transport is None or connection.state is not ConnectionState.CLOSED:
            return

        def ended(_: asyncio.Task[None]) -> None:
            if transport.writer is not None:
                transport.writer.close()
            handler.transports.pop(connection, None)

        transport.handler.add_done_callback(ended)

    handler.close_connection = close_connection


def open_many(handler: Any) -> None:
    """Let a client have a connection to its host for each of its streams: mitmproxy lets it have five."""
    handler.max_conns = defaultdict(partial(asyncio.Semaphore, MAX_STREAMS))


def hold(handler: Any, connection: Connection, *, held: bool) -> None:
    """Stop reading from a connection, or go on. asyncio reads a little ahead, then the sender has to wait."""
    io = handler.transports.get(connection)
    if io is None or io.reader is None:
        return
    if not held:
        io.reader.read.go_on.set()
        del io.reader.read
        return
    read, go_on = io.reader.read, asyncio.Event()

    async def read_later(size: int) -> bytes:
        await go_on.wait()
        return bytes(await read(size))

    read_later.go_on = go_on  # type: ignore[attr-defined]
    io.reader.read = read_later
