"""An answer in pieces, of which all but the first wait."""

import asyncio
import threading

from tests.support.upstream import Received, Send
from tests.support.vendors import Answer

PATIENCE = 15.0
"""After this the rest goes out, so that what goes wrong ends."""


class Gate:
    """Answers with server-sent events, and stops behind `before` of them until it is opened.

    A client that has a part of the answer while the gate is shut got it through a proxy that doesn't wait for the end.
    """

    def __init__(self, events: Answer, *, before: int) -> None:
        """Hold back all but the first `before` events."""
        assert isinstance(events, list)
        self.events, self.before = events, before
        self.passed = False
        """Whether the rest went out because the gate was opened."""
        self._opened = threading.Event()

    def open(self) -> None:
        """Let the rest go."""
        self._opened.set()

    async def __call__(self, _received: Received, send: Send) -> bool:
        """Write the answer."""
        await send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, event in enumerate(self.events):
            if number == self.before:
                self.passed = await asyncio.to_thread(self._opened.wait, PATIENCE)
            await send(b"%x\r\n%b\r\n" % (len(event), event))
        await send(b"0\r\n\r\n")
        return True
