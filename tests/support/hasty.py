"""`seks-proxy` in a hurry: `python -m tests.support.hasty run …`.

Its deadlines are seconds, the one between requests only where `SEKS_TEST_IDLE` says how many. The name server never
answers for hosts below `silent.example.com`.
"""

import os
import socket
import threading
from typing import Any

from seks_addon.addon import connections, holding, patience, sockets
from seks_cli.proxy import main

VARIABLE = "SEKS_TEST_IDLE"

HEAD = 2.0
FINISH = 3.0
OPENING = 2.0
LINGER = 2.0

_resolve = socket.getaddrinfo


def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Wait for ever for some names."""
    if str(host).endswith(".silent.example.com"):
        threading.Event().wait()
    return _resolve(host, *args, **kwargs)


if __name__ == "__main__":
    patience.HEAD = HEAD  # type: ignore[misc]
    patience.IDLE = float(os.environ.get(VARIABLE, patience.IDLE))  # type: ignore[misc]
    holding.FINISH = FINISH  # type: ignore[misc]
    sockets.OPENING = OPENING  # type: ignore[misc]
    sockets.LINGER = connections.LINGER = LINGER  # type: ignore[misc, attr-defined]
    socket.getaddrinfo = resolve
    main()
