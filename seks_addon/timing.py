"""Points in time and spans of it, as they are typed, stored and printed."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from seks_addon.errors import InputError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with microseconds; such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `15m`, `24h`, `30d` or `2w`; raises `InputError`."""
    match = _DURATION.fullmatch(text.strip().lower())
    if not match or match[1].strip("0") == "":
        raise InputError(f"{text!r} is not a duration", hint="write a number and a unit: 90s, 15m, 24h, 30d, 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_moment(text: str, *, past: bool = False, reference: datetime | None = None) -> datetime:
    """Read a duration from now (with `past`: before now), or an ISO 8601 date or time; raises `InputError`.

    A date alone means its first instant; without an offset, UTC is meant.
    """
    reference = reference or now()
    try:
        if _DURATION.fullmatch(text.strip().lower()):
            span = parse_duration(text)
            return reference - span if past else reference + span
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise InputError(f"{text!r} is too far away", hint="stay between the years 1 and 9999") from None
    except ValueError:
        raise InputError(
            f"{text!r} is neither a duration nor a date", hint="write 24h, 30d, 2026-12-31 or 2026-12-31T18:00Z"
        ) from None
