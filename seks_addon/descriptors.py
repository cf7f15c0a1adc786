"""File descriptors: as many as the connections need."""

import contextlib
import logging
import resource
from typing import Final

logger = logging.getLogger("seks.proxy")

#: For the databases, the log, 128 lookups, 64 clients that are turned away, and 100 that are taken at once.
_SPARE: Final = 384
#: The agent's side and the host's: as many of the one as of the other may be open.
_EACH: Final = 2


def make_room(connections: int) -> int:
    """Raise the process's limit so that `connections` fit below it; gives how many do."""
    wanted = connections * _EACH + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # Some systems allow less than they say.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
            soft = possible
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    fitting = max((soft - _SPARE) // _EACH, 1)
    logger.warning("the limit of %d open files has room for %d connections, not %d", soft, fitting, connections)
    return fitting
