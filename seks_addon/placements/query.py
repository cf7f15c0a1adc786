"""A token as the value of a parameter in the query: `?key={}`."""

import itertools
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements.base import Match, Place, Placement
from seks_addon.tokens import find_lookalikes

_VALUE: Final = re.compile("(?:=([^&;]*))?")


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
        found = _spellings(self.name, any_case=True).finditer(head.query)
        return (_VALUE.match(head.query, match.end())[1] or "" for match in found)  # type: ignore[index] # it fits all

    def _match(self, before: str, token: str, after: str) -> Match:
        def encoded(text: str) -> bytes:
            # RFC 3986 section 2.3: all that isn't unreserved; UTF-8 first.
            return urllib.parse.quote(text, safe="").encode()

        def target(text: str) -> bytes:
            return before.encode("latin-1") + encoded(text) + after.encode("latin-1")

        return Match(Place.TARGET, token, self.where, render=target, form=encoded)


def find_parameter(query: str, name: str) -> tuple[str, str, str] | None:
    """Give what stands before the value of the parameter `name`, the value, and what follows it.

    None unless it is there once, whether or not `;` separates parameters, and its value looks like a token.
    """
    # One may be a megabyte long, and full of what could be the name.
    found = list(itertools.islice(_spellings(name).finditer(query), 2))
    if len(found) != 1 or query[found[0].end() :][:1] != "=" or query[: found[0].start()][-1:] not in {"", "&"}:
        return None
    start = found[0].end() + 1
    end = query.find("&", start)
    value = query[start:] if end < 0 else query[start:end]
    if find_lookalikes(value) != [value]:
        return None
    return query[:start], value, query[start + len(value) :]


@lru_cache(256)
def _spellings(name: str, *, any_case: bool = False) -> re.Pattern[str]:
    """Finds a parameter's name, percent-encoded or not. `;` separates parameters too, for some servers."""
    spelled = "".join(rf"(?:%{ord(c):02x}|{_plainly(c)})" if any_case or not c.isalpha() else _letter(c) for c in name)
    return re.compile(f"(?:^|(?<=[&;])){spelled}(?=[=&;]|\\Z)", re.IGNORECASE)


def _letter(letter: str) -> str:
    # The digits of its code in any case, itself as it is.
    return f"(?:%{ord(letter):02x}|(?-i:{letter}))"


def _plainly(character: str) -> str:
    return r"[+ ]" if character == " " else r"(?!)" if character == "+" else re.escape(character)
