"""Hooks that fail closed. mitmproxy logs an exception from a hook and forwards the flow; here nothing is forwarded."""

import functools
import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any

from seks_addon.errors import AuditError, SeksError
from seks_addon.refusal import Refused

logger = logging.getLogger("seks.addon")

#: What a hook's data is shut with: the addon, the data, and what it is refused for.
Shut = Callable[[Any, Any, Refused], None]


def fails_closed(shut: Shut) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap a hook method: whatever it raises ends in `shut`, and in a log line without any value in it."""

    def decorate(hook: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(hook):

            @functools.wraps(hook)
            async def wrapped_async(self: Any, data: Any) -> None:
                try:
                    await hook(self, data)
                except Exception as error:  # noqa: BLE001 - that is the point
                    shut(self, data, as_refusal(hook.__name__, error))

            return wrapped_async

        @functools.wraps(hook)
        def wrapped(self: Any, data: Any) -> None:
            try:
                hook(self, data)
            except Exception as error:  # noqa: BLE001
                shut(self, data, as_refusal(hook.__name__, error))

        return wrapped

    return decorate


def as_refusal(where: str, error: Exception) -> Refused:
    """A refusal as it is; anything else as `internal`, logged by its kind and place only: its text may hold a value."""
    if isinstance(error, Refused):
        # It is kept with what it refused, which its frames hold: neither would ever be freed.
        error.__context__ = None
        return error.with_traceback(None)
    if isinstance(error, SeksError):
        logger.error("the hook %s failed: %s", where, error.message)
        return Refused("audit_unavailable" if isinstance(error, AuditError) else "vault_locked")
    frames = traceback.extract_tb(error.__traceback__)
    place = ", ".join(f"{frame.name}:{frame.lineno}" for frame in frames[-4:])
    logger.error("the hook %s failed: %s in %s", where, type(error).__name__, place)
    return Refused("internal")
