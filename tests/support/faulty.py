"""`seks-proxy` with a fault in it: `python -m tests.support.faulty run …`; or `mitmdump …`, the stock one.

The file that `SEKS_TEST_FAULT` names says where: `PLACE:WHEN:TEXT`. A place is a hook of the add-on, or
`Class.method`; `before` or `after` it did its work, an exception with the text is raised there.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mitmproxy.tools.main import mitmdump

from seks_addon.addon.addon import SeksAddon
from seks_addon.addon.conversation import Conversation
from seks_addon.addon.exchange import Exchange
from seks_addon.addon.service import Service
from seks_addon.addon.upstream import Upstream
from seks_addon.audit import AuditWriter
from seks_addon.scrub import Scrubber
from seks_cli.proxy import main

VARIABLE = "SEKS_TEST_FAULT"

HOOKS = tuple(
    name for name, member in vars(SeksAddon).items() if inspect.isfunction(member) and hasattr(member, "__wrapped__")
)
INSIDE = (
    *((Exchange, name) for name in ("count_request", "inject", "prepare_answer", "pass_answer", "record_intents")),
    *((Scrubber, name) for name in ("feed", "finish", "whole")),
    *((Service, name) for name in ("check_egress", "credentials_at", "is_tunnelled", "reveal")),
    *((Conversation, name) for name in ("check", "judge")),
    *((Upstream, name) for name in ("resolve", "pin", "is_verified_for", "start_tls_to_host")),
    *((AuditWriter, name) for name in ("intent", "outcome", "note")),
)
PLACES = (*HOOKS, *(f"{owner.__name__}.{name}" for owner, name in INSIDE))


class WrittenError(Exception):
    """Says what it was told to."""


def fault(place: str, when: str) -> None:
    """Raise, if it is this place's turn."""
    text = Path(os.environ[VARIABLE]).read_text("utf-8")
    if text.startswith(f"{place}:{when}:"):
        raise WrittenError(text)


def faulty(place: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that can fail before and after its work."""
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
            fault(place, "before")
            result = await method(*args, **kwargs)
            fault(place, "after")
            return result

        return wrapped_async

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        fault(place, "before")
        result = method(*args, **kwargs)
        fault(place, "after")
        return result

    return wrapped


def install() -> None:
    """Put the faults in: into the hooks below their guards, and into what they call."""
    for name in HOOKS:
        guarded = vars(SeksAddon)[name]
        cell = guarded.__closure__[guarded.__code__.co_freevars.index("hook")]
        cell.cell_contents = faulty(name, cell.cell_contents)
    for owner, name in INSIDE:
        setattr(owner, name, faulty(f"{owner.__name__}.{name}", getattr(owner, name)))


if __name__ == "__main__":
    install()
    if sys.argv[1] == "mitmdump":
        mitmdump(sys.argv[2:])
    else:
        main()
