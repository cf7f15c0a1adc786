"""Looking up names: in threads, as the operating system's resolver waits, and in no more of them than are bearable."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Final

from seks_addon.addon.allotment import Allotment
from seks_addon.destination.address import Address
from seks_addon.refusal import Refused

#: How long looking up a name may take, in seconds.
TIMEOUT: Final = 10.0
#: Lookups at once, and those for one agent: names that are never answered must not keep others waiting.
LOOKUPS: Final = 128
LOOKUPS_AN_AGENT: Final = 16


class Lookups:
    """The lookups of one event loop."""

    def __init__(self) -> None:
        self._running = Allotment(LOOKUPS, LOOKUPS_AN_AGENT)

    async def addresses(self, host: str, port: int, agent: str) -> list[Address]:
        """All addresses of `host`, asked for on behalf of `agent`; raises `Refused`."""
        if not self._running.has_room(agent):
            raise Refused("overloaded", "Too many host names are being looked up, by this agent or in all.")
        answer: asyncio.Future[list[Address] | None] = asyncio.get_running_loop().create_future()
        # Counted until the thread ends, not until somebody stops waiting for it.
        self._running.take(agent)
        # A daemon: the end of the process doesn't wait for a name server.
        threading.Thread(target=self._work, args=(host, port, agent, answer), name="seks-lookup", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            if found := await asyncio.wait_for(answer, TIMEOUT):
                return found
        raise Refused("upstream_unreachable", f"The name {host} could not be resolved.")

    def _work(self, host: str, port: int, agent: str, answer: asyncio.Future[list[Address] | None]) -> None:
        found = None
        with contextlib.suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in answers]
        with contextlib.suppress(RuntimeError):
            # The loop may be closed by now.
            answer.get_loop().call_soon_threadsafe(self._ended, agent, answer, found)

    def _ended(self, agent: str, answer: asyncio.Future[list[Address] | None], found: list[Address] | None) -> None:
        self._running.give_back(agent)
        if not answer.done():
            answer.set_result(found)
