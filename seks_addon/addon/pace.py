"""What an agent's bytes cost the event loop, which all agents share.

A body of one-byte chunks, or HTTP/2 frames without end, take a thousand times as long to read as the same bytes in
one piece. Whoever sends such has to wait in between, on all of its connections together; and all who do, one after
the other, so that they have no more of the loop than one of them would. What costs little waits for nothing.
"""

import asyncio
import time
from typing import Any, Final

#: What a read may cost before it is counted, in seconds of the thread's own time.
FREE: Final = 0.005
#: How much longer than that it took is waited then.
REST: Final = 3.0
#: How much is read at once, and of a connection whose bytes may cost much: a TLS record is not longer than twice that.
WHOLE: Final = 64 * 1024
SLICE: Final = 8 * 1024
#: After so many cheap reads bytes are taken to go on being cheap.
FORGIVEN: Final = 100


class Queue:
    """Those whose bytes cost much: they have their turns one after the other, with a rest in between."""

    def __init__(self) -> None:
        self._free_at = 0.0
        self._turn = asyncio.Lock()

    def spend(self, seconds: float) -> None:
        """Count what one of them just did."""
        self._free_at = max(self._free_at, time.monotonic()) + seconds * REST

    async def turn(self) -> None:
        """Wait until it is the next one's turn."""
        async with self._turn:
            while (wait := self._free_at - time.monotonic()) > 0:  # noqa: ASYNC110 - what it waits for is a time
                await asyncio.sleep(wait)


class Share:
    """The time that one agent, or one address that hasn't said which agent it is, takes of the event loop."""

    def __init__(self, queue: Queue | None = None) -> None:
        """`queue` is what it has in common with others."""
        self._queue = queue or Queue()
        self._free_at = 0.0
        self._cheap = FORGIVEN

    def spend(self, seconds: float) -> bool:
        """Count what was just done; tells whether it was much."""
        if seconds <= FREE:
            self._cheap += 1
            return False
        self._free_at = max(self._free_at, time.monotonic()) + seconds * REST
        self._cheap = 0
        self._queue.spend(seconds)
        return True

    async def turn(self) -> None:
        """Wait until it is this one's turn again. Of several that wait, one goes on, as what it does is counted."""
        while self._cheap < FORGIVEN:
            await self._queue.turn()
            if (wait := self._free_at - time.monotonic()) <= 0:
                return
            await asyncio.sleep(wait)


class Pace:
    """Reads from one connection in the place of its reader: when it is its turn, and not while it is held."""

    def __init__(self, reader: Any, share: Share) -> None:
        self.share = share
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._reader = reader
        self._cheap = 0
        #: How often was read, and whether it is being waited for what comes.
        self.reads = 0
        self.is_reading = False

    async def read(self, _size: int) -> bytes:
        await self.go_on.wait()
        self.is_reading = True
        data: bytes = await self._reader.read(WHOLE if self._cheap >= FORGIVEN else SLICE)
        self.is_reading, self.reads = False, self.reads + 1
        await self.share.turn()
        return data

    def cost(self, seconds: float) -> None:
        """Count what it took to take in what was read last."""
        self._cheap = 0 if self.share.spend(seconds) else self._cheap + 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
