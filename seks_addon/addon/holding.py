"""What is held in memory: bodies and messages in which a token may stand, until their end is there, and what waits.

Over HTTP/2 a client has credit for a hundred streams, and may have a connection for each of which nobody takes one.
"""

import time
import weakref
from typing import Final

from mitmproxy.connection import Client

from seks_addon.addon.allotment import Allotment

#: How much is held for one agent and in all, in bytes. Who holds little is served, whatever the others hold.
HELD_AN_AGENT: Final = 64 * 1024 * 1024
HELD: Final = 256 * 1024 * 1024
LITTLE: Final = 4 * 1024 * 1024
#: From the first byte of such a body or message to its end, in seconds.
FINISH: Final = 60.0


def allotment() -> Allotment:
    """The memory of one worker."""
    return Allotment(HELD, HELD_AN_AGENT, always=LITTLE)


class Holding:
    """What is held for one client connection."""

    def __init__(self) -> None:
        self._allotment, self._agent = allotment(), ""
        self._unfinished = self._unsent = 0
        self._since: float | None = None

    @property
    def has_room(self) -> bool:
        """Whether its agent may have more."""
        return self._allotment.has_room(self._agent)

    def belong(self, allotment: Allotment, agent: str) -> None:
        """Count it for `agent` from now on."""
        amount = self._unfinished + self._unsent
        self._allotment.give_back(self._agent, amount)
        self._allotment, self._agent = allotment, agent
        self._allotment.take(agent, amount)

    def holds(self, amount: int, since: float | None) -> None:
        """Note what there is now, and when the oldest began of which the end isn't there."""
        self._allotment.take(self._agent, amount - self._unfinished)
        self._unfinished, self._since = amount, since

    def sends(self, amount: int) -> None:
        """Note what waits for hosts to take it: they may never do."""
        self._allotment.take(self._agent, amount - self._unsent)
        self._unsent = amount

    def end(self) -> None:
        """Nothing is held any more."""
        self.holds(0, None)
        self.sends(0)

    def is_over(self) -> bool:
        """Tell whether an end was waited for too long."""
        return self._since is not None and time.monotonic() - self._since > FINISH


_holdings: "weakref.WeakKeyDictionary[Client, Holding]" = weakref.WeakKeyDictionary()


def holding_of(client: Client) -> Holding:
    """What is held for a client connection."""
    return _holdings.setdefault(client, Holding())
