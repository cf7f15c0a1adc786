"""A token as the value of a parameter in the query: `?key={}`."""

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements.base import Match, Place, Placement
from seks_addon.tokens import find_lookalikes

#: What makes a part of a query mean something else than it says.
_ODD: Final = re.compile("[%+;]")


@dataclass(frozen=True)
class QueryPlacement(Placement):
    """The whole value of the parameter `name`, which must be there once, in any spelling."""

    name: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read the parameter's name; raises `InputError`."""
        if not argument or not argument.isascii() or not argument.isprintable() or len(argument) > 100:
            raise InputError(f"{argument!r} names no parameter of a query", hint="write it as query:key")
        return cls(argument)

    @property
    def spec(self) -> str:
        return f"query:{self.name}"

    @property
    def where(self) -> str:
        return f"query parameter {self.name}"

    def match(self, head: Head) -> Iterator[Match]:
        if found := find_parameter(head.query, self.name):
            before, token, after = found
            yield self._match(f"{head.path}?{before}", token, after)

    def values(self, head: Head) -> Iterator[str]:
        # In any case: some servers read names so.
        pairs = (piece.partition("=") for piece in re.split("[&;]", head.query))
        wanted = self.name.lower()
        return (value for name, _, value in pairs if urllib.parse.unquote_plus(name, "latin-1").lower() == wanted)

    def _match(self, before: str, token: str, after: str) -> Match:
        def encoded(text: str) -> bytes:
            # RFC 3986 section 2.3: all that isn't unreserved; UTF-8 first.
            return urllib.parse.quote(text, safe="").encode()

        def target(text: str) -> bytes:
            return before.encode("latin-1") + encoded(text) + after.encode("latin-1")

        return Match(Place.TARGET, token, self.where, render=target, form=encoded)


def find_parameter(query: str, name: str) -> tuple[str, str, str] | None:
    """Give what stands before the value of the parameter `name`, the value, and what follows it.

    None unless it is there once, and its value looks like a token.
    """
    parts = query.split("&")
    places = [place for place, part in enumerate(parts) if _names(part, name)]
    if len(places) != 1:
        return None
    place = places[0]
    spelling, _, value = parts[place].partition("=")
    if find_lookalikes(value) != [value]:
        return None
    return "&".join([*parts[:place], f"{spelling}="]), value, "".join(f"&{part}" for part in parts[place + 1 :])


def _names(part: str, name: str) -> bool:
    if not _ODD.search(part):
        return part.partition("=")[0] == name
    # `;` separates parameters too, for some servers.
    spellings = (piece.partition("=")[0] for piece in part.split(";"))
    return name in (urllib.parse.unquote_plus(spelling, "latin-1") for spelling in spellings)
