"""A token as the value of one cookie (RFC 6265 section 4.2); the others go through as they came."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.head import TCHAR, Head
from seks_addon.placements.base import Match, Placement
from seks_addon.tokens import find_lookalikes

# A cookie's name has no common case.
_NAME: Final = re.compile(f"{TCHAR}{{1,100}}")
# RFC 6265 section 4.1.1, cookie-octet.
_VALUE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
# RFC 2109 section 4.1 let values be quoted, with a `;` in them; some servers still read them so.
_UNQUOTED: Final = re.compile(r'[^"]*|"[^"\\]*"')


@dataclass(frozen=True)
class CookiePlacement(Placement):
    """The whole value of the cookie `name`, which must be there once."""

    name: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read the cookie's name; raises `InputError`."""
        if not _NAME.fullmatch(argument):
            raise InputError(f"{argument!r} names no cookie", hint="write it as cookie:session")
        return cls(argument)

    @property
    def spec(self) -> str:
        return f"cookie:{self.name}"

    @property
    def where(self) -> str:
        return f"cookie {self.name}"

    def match(self, head: Head) -> Iterator[Match]:
        for index, (name, value) in enumerate(head.headers):
            if name.lower() != "cookie":
                continue
            pairs = _pairs(value)
            places = [place for place, (name, _, _) in enumerate(pairs) if name.strip() == self.name]
            if any(not _UNQUOTED.fullmatch(value.strip()) for _, _, value in pairs):
                # What looks like a cookie may be within another one.
                continue
            if len(places) == 1 and find_lookalikes(token := pairs[places[0]][2]) == [token]:
                yield self._match(index, token, pairs, places[0])

    def values(self, head: Head) -> Iterator[str]:
        pairs = (pair for value in head.values("cookie") for pair in _pairs(value))
        return (value for name, _, value in pairs if name.strip() == self.name)

    def check_value(self, value: str) -> None:
        if not _VALUE.fullmatch(value):
            raise InputError("the value holds a character that a cookie can't", hint="store it for another placement")

    def _match(self, index: int, token: str, pairs: list[tuple[str, str, str]], place: int) -> Match:
        before = "; ".join("".join(pair) for pair in [*pairs[:place], (self.name, "=", "")])
        after = "".join("; " + "".join(pair) for pair in pairs[place + 1 :])

        def value(text: str) -> bytes:
            return before.encode("latin-1") + text.encode() + after.encode("latin-1")

        return Match(index, token, self.where, render=value, form=str.encode)


def _pairs(value: str) -> list[tuple[str, str, str]]:
    return [pair.strip(" \t").partition("=") for pair in value.split(";")]
