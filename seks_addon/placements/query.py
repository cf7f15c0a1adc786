"""A token as the value of a parameter in the query: `?key={}`."""

import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements.base import Match, Placement
from seks_addon.tokens import find_lookalikes


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
        parts = head.query.split("&")
        places = [place for place, part in enumerate(parts) if self._is_named(part)]
        if len(places) == 1:
            name, _, value = parts[places[0]].partition("=")
            if find_lookalikes(value) == [value]:
                before = [*parts[: places[0]], f"{name}="]
                yield self._match(value, f"{head.path}?{'&'.join(before)}", parts[places[0] + 1 :])

    def _is_named(self, part: str) -> bool:
        # `;` separates parameters too, for some servers.
        names = (piece.partition("=")[0] for piece in part.split(";"))
        return self.name in (urllib.parse.unquote_plus(name, "latin-1") for name in names)

    def _match(self, token: str, before: str, rest: list[str]) -> Match:
        after = "".join(f"&{part}" for part in rest)

        def encoded(text: str) -> bytes:
            # RFC 3986 section 2.3: all that isn't unreserved; UTF-8 first.
            return urllib.parse.quote(text, safe="").encode()

        def target(text: str) -> bytes:
            return before.encode("latin-1") + encoded(text) + after.encode("latin-1")

        return Match(None, token, self.where, render=target, form=encoded)
