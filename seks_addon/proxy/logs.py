"""The log on standard error: SEKS's own lines, and of mitmproxy's only that there was one."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from seks_addon.addon.quiet import Foreign
from seks_addon.tokens import redact

FORMATS: Final = ("text", "json")
LEVELS: Final = ("debug", "info", "warning", "error")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname:<7} {redact(record.getMessage())}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": _time(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": redact(record.getMessage()),
            }
        )


def configure(log_format: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Send the log to `stream`, standard error by default. Others' lines are let through from `error` on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    handler.addFilter(Foreign())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    logging.getLogger("seks").setLevel(level.upper())
    logging.captureWarnings(True)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
