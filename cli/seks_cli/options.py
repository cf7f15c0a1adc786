"""Options that several commands share, and reading what they say."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import click

from seks_addon.errors import ConfigError, InputError, UsageError
from seks_addon.timing import now, parse_moment, timestamp

#: `seks_addon.vault.DEFAULT`, whose import takes longer than most commands' help.
DEFAULT: Final = "default"

type Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
client: Decorator = click.option("--client", default=DEFAULT, show_default=True, metavar="CLIENT", help="Whose it is.")
of_client: Decorator = click.option("--client", metavar="CLIENT", help="Only this client's.  [default: all]")
agent: Decorator = click.option(
    "--agent", default=DEFAULT, show_default=True, metavar="AGENT", help="Who uses the token."
)
yes: Decorator = click.option("--yes", "-y", is_flag=True, help="Don't ask.")
expires: Decorator = click.option(
    "--expires", metavar="TIME", help="When it ends: 24h, 30d, 2026-12-31 or 2026-12-31T18:00Z."
)
proxy: Decorator = click.option(
    "--proxy", "proxy_url", metavar="URL", help="The proxy's URL.  [default: that of the running proxy]"
)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Read what stands on the command line in the block: what can't be read there is wrong usage, as it is to click."""
    try:
        yield
    except (InputError, ConfigError) as error:
        raise UsageError(error.message, hint=error.hint) from None


def end(text: str | None) -> datetime | None:
    """Read an end, which must be to come; raises `UsageError`."""
    if text is None:
        return None
    with reading():
        moment = parse_moment(text)
    if moment <= now():
        raise UsageError(f"{text!r} is past", hint="write a time to come: 24h, 30d, 2030-12-31")
    return moment


def past(text: str | None) -> str | None:
    """Read a time of the past as records have it: `24h` is 24 hours ago; raises `UsageError`."""
    with reading():
        return timestamp(parse_moment(text, past=True)) if text is not None else None


def name(kind: str, text: str) -> None:
    """Raise `UsageError` unless `text` can name a new client, agent or secret."""
    from seks_addon.vault.clients import check_name

    with reading():
        check_name(kind, text)


def stored(moment: datetime | None) -> str | None:
    """A moment as the databases have it."""
    return timestamp(moment) if moment else None
