"""Lines of mitmproxy's own quote what came over the wire, and exceptions do: neither gets into a log."""

import logging
from typing import Final

#: The loggers that write such lines in a stock mitmproxy.
_QUOTING: Final = ("mitmproxy.proxy.server", "mitmproxy.addonmanager", "asyncio")


class Foreign(logging.Filter):
    """Of a line that isn't SEKS's own, what remains is where it comes from; below a warning, nothing.

    Not even the traceback is kept: it ends in the exception's text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "seks" or record.name.startswith("seks."):
            return True
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "a message"
        record.msg = f"{kind} from {record.name}, {record.module}:{record.lineno}"
        record.args, record.exc_info, record.exc_text = (), None, None
        return record.levelno >= logging.WARNING


def quiet_mitmproxy() -> None:
    """Keep what came over the wire out of a stock mitmproxy's log."""
    for name in _QUOTING:
        logging.getLogger(name).addFilter(Foreign())
