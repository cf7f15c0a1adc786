"""How long a client may take: for a head or a handshake, and from one request to the next."""

import time
import weakref
from typing import Final

from mitmproxy.connection import Client

#: From the first byte of a head to its end, and for a TLS handshake, in seconds. A new connection's first head is
#: waited for as long.
HEAD: Final = 30.0
#: Between two requests, in seconds.
IDLE: Final = 300.0


class Patience:
    """What is waited for on one client connection. Nothing, while a request is under way, or a tunnel is open."""

    def __init__(self) -> None:
        self._limit: float | None = HEAD
        self._since = time.monotonic()

    def head(self) -> None:
        """A head or a handshake has begun; more of it is no new one."""
        if self._limit != HEAD:
            self._limit, self._since = HEAD, time.monotonic()

    def idle(self) -> None:
        """The next request may come."""
        self._limit, self._since = IDLE, time.monotonic()

    def busy(self) -> None:
        """A request has come."""
        self._limit = None

    def touch(self) -> None:
        """Wait as long again for the next request."""
        if self._limit == IDLE:
            self._since = time.monotonic()

    def is_over(self) -> bool:
        """Tell whether it took too long."""
        return self._limit is not None and time.monotonic() - self._since > self._limit


_patience: "weakref.WeakKeyDictionary[Client, Patience]" = weakref.WeakKeyDictionary()


def patience_of(client: Client) -> Patience:
    """The patience with a client; it begins with the first look."""
    return _patience.setdefault(client, Patience())
