"""Closing for good.

mitmproxy closes a connection by cancelling the task that reads from it. A task that waits for its turn at that moment
ends without having closed the socket: one more file descriptor is open until the client goes, or longer.
"""

import asyncio
from typing import Any

from mitmproxy.connection import Connection, ConnectionState


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
