"""A token at the beginning of the path: `/bot{}/` as Telegram has it, `/services/{}`."""

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements.base import Match, Place, Placement
from seks_addon.tokens import find_lookalikes

# RFC 3986 section 3.3: segments of unreserved characters and the marks that need no encoding there.
_FORMAT: Final = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@]*)*/[A-Za-z0-9\-._~!$&'()*+,;=:@]*\{\}/?")
_PLAIN: Final = "!$&'()*+,;=:@"


@dataclass(frozen=True)
class PathPlacement(Placement):
    """What stands before `{}` comes first; the token ends its segment."""

    format: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read the beginning of a path; raises `InputError`."""
        if not _FORMAT.fullmatch(argument) or {".", ".."} & set(argument.split("/")):
            raise InputError(
                f"{argument!r} is no beginning of a path with {{}} at the end of a segment",
                hint="write it as path:/bot{}/",
            )
        return cls(argument)

    @property
    def spec(self) -> str:
        return f"path:{self.format}"

    @property
    def where(self) -> str:
        return f"path {self.format}"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        before, after = self.format.split("{}")
        # Behind the token its segment ends; where the format says so, another one follows.
        return re.compile(rf"({re.escape(before)})([^/?]+)({'/.*' if after else '(?:[/?].*)?'})")

    def match(self, head: Head) -> Iterator[Match]:
        found = self._pattern.fullmatch(head.target)
        if found and find_lookalikes(found[2]) == [found[2]]:
            yield self._match(*found.groups())

    def values(self, head: Head) -> Iterator[str]:
        if found := self._pattern.fullmatch(head.target):
            yield found[2]

    def check_value(self, value: str) -> None:
        if value in (".", ".."):
            raise InputError("the value can't stand in a path: it would change where the path leads")

    def _match(self, before: str, token: str, after: str) -> Match:
        def encoded(text: str) -> bytes:
            return urllib.parse.quote(text, safe=_PLAIN).encode()

        def target(text: str) -> bytes:
            return before.encode("latin-1") + encoded(text) + after.encode("latin-1")

        return Match(Place.TARGET, token, self.where, render=target, form=encoded)
