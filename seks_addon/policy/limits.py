"""How often: a rate, a number of uses, and how many at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from seks_addon.errors import InputError
from seks_addon.refusal import Refused

#: No limit is higher.
MAX: Final = 1_000_000_000

#: The kinds of limits, as they are stored.
LIMITS: Final = ("rate", "max_uses", "max_concurrent")

_SECOND: Final = 1_000_000_000
#: A unit's length in nanoseconds, and what it is called.
_UNITS: Final = MappingProxyType(
    {
        "s": (_SECOND, "a second"),
        "min": (60 * _SECOND, "a minute"),
        "h": (3600 * _SECOND, "an hour"),
        "day": (86400 * _SECOND, "a day"),
    }
)
# A million a second at the most: then a nanosecond is fine enough.
_RATE: Final = re.compile(r"([1-9][0-9]{0,5}|1000000)/(s|min|h|day)")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a unit of time."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `10/s`, `60/min`, `1000/h` or `5/day`; raises `InputError`."""
        match = _RATE.fullmatch(text)
        if not match:
            raise InputError(f"{text!r} is no rate", hint="write 10/s, 60/min, 1000/h or 5/day, a million at the most")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"

    @property
    def words(self) -> str:
        return f"{_counted(self.count, 'request')} {_UNITS[self.unit][1]}"

    @property
    def interval(self) -> int:
        """From one request to the next, in nanoseconds."""
        return _UNITS[self.unit][0] // self.count


@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of a secret's or token's use: how often, when the next is due, how many are under way.

    `arrival` is the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371, annex A), in
    nanoseconds since 1970.
    """

    uses: int = 0
    arrival: int = 0
    under_way: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """None means: no limit of that kind."""

    rate: Rate | None = None
    max_uses: int | None = None
    max_concurrent: int | None = None

    @classmethod
    def parse(cls, rate: str | None, max_uses: int | None, max_concurrent: int | None) -> "Limits":
        """Read what a person typed; raises `InputError`."""
        for option, number in (("--max-uses", max_uses), ("--max-concurrent", max_concurrent)):
            if number is not None and not 1 <= number <= MAX:
                raise InputError(f"{option} {number} is no limit", hint=f"write a number from 1 to {MAX}")
        return cls(None if rate is None else Rate.parse(rate), max_uses, max_concurrent)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Limits":
        rate = value.get("rate")
        return cls(None if rate is None else Rate.parse(rate), value.get("max_uses"), value.get("max_concurrent"))

    def to_json(self) -> dict[str, Any]:
        """Give the limits that there are."""
        limits = {
            "rate": str(self.rate) if self.rate else None,
            "max_uses": self.max_uses,
            "max_concurrent": self.max_concurrent,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def __bool__(self) -> bool:
        return self != Limits()


class Exceeded(Refused):
    """A limit is reached; `subject` is the id of what it is a limit of."""

    subject: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of one secret or token: its id, how a refusal names it, and what holds for it."""

    subject: str
    whose: str
    limits: Limits

    def admit(self, usage: Usage, moment: int) -> Usage:
        """Give what the usage is with one more request at `moment`; raises `Exceeded`."""
        limits = self.limits
        if limits.max_uses is not None and usage.uses >= limits.max_uses:
            raise self._exceeded(
                "uses_exhausted",
                f"{_counted(limits.max_uses, 'use')}, and there are none left",
                hint="Whoever runs SEKS can issue a new token, or store the secret anew.",
            )
        if limits.max_concurrent is not None and usage.under_way >= limits.max_concurrent:
            raise self._exceeded(
                "rate_limited",
                f"{_counted(limits.max_concurrent, 'request')} at a time",
                hint="Wait until another request has ended.",
                retry_after=1,
            )
        arrival = self._next_arrival(limits.rate, usage.arrival, moment) if limits.rate else usage.arrival
        return replace(usage, uses=usage.uses + 1, arrival=arrival)

    def _next_arrival(self, rate: Rate, arrival: int, moment: int) -> int:
        # Further away than this it is only where the clock was set back.
        arrival = min(max(arrival, moment), moment + rate.count * rate.interval)
        wait = arrival - (rate.count - 1) * rate.interval - moment
        if wait > 0:
            seconds = -(-wait // _SECOND)
            hint = f"Wait {_counted(seconds, 'second')}, then try again."
            raise self._exceeded("rate_limited", rate.words, hint=hint, retry_after=seconds)
        return arrival + rate.interval

    def _exceeded(self, code: str, allowed: str, *, hint: str, retry_after: int | None = None) -> Exceeded:
        message = f"The policy of {self.whose} allows {allowed}."
        exceeded = Exceeded(code, message, hint=hint, retry_after=retry_after)
        exceeded.subject = self.subject
        return exceeded


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
