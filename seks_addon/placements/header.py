"""A token as the whole of a header's value, but for the words around it: `Bearer {}`, `token {}`, `{}`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.head import TCHAR, Head
from seks_addon.placements.base import Match, Placement
from seks_addon.tokens import find_lookalikes

_NAME: Final = re.compile(f"{TCHAR}{{1,100}}")

#: Headers that frame or route the request, or that the proxy itself reads or removes.
FORBIDDEN: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "if-range",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True)
class HeaderPlacement(Placement):
    """`name` in any case; the words before `{}` in any case, as schemes are (RFC 9110 section 11.1)."""

    name: str
    format: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read `NAME: FORMAT`; raises `InputError`."""
        name, colon, form = argument.partition(":")
        name, form = name.strip(), form.strip()
        if not colon or not _NAME.fullmatch(name):
            raise InputError(f"{argument!r} names no header", hint="write it as 'X-Api-Key: {}'")
        if name.lower() in FORBIDDEN:
            raise InputError(f"the header {name} can't carry a credential")
        if form.count("{}") != 1 or not form.isascii() or not form.isprintable():
            raise InputError(
                f"the format of {name} must hold {{}} once, for the token",
                hint="for example 'Authorization: Bearer {}'",
            )
        if form.partition("{}")[2][:1].isalnum():
            # Nobody could tell where the token ends.
            raise InputError(f"the format of {name} goes on with a letter or digit right after {{}}")
        return cls(name, form)

    @classmethod
    def parse_bearer(cls, argument: str) -> Self:
        """Read `bearer`, which takes no argument (RFC 6750 section 2.1)."""
        if argument:
            raise InputError("the placement 'bearer' takes no argument")
        return cls("Authorization", "Bearer {}")

    @property
    def spec(self) -> str:
        return f"header:{self.name}: {self.format}"

    @property
    def where(self) -> str:
        return f"header {self.name}: {self.format}"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        before, after = self.format.split("{}")
        blanks = r"[ \t]+" if before.endswith(" ") else ""
        return re.compile(rf"((?i:{re.escape(before.rstrip(' '))}){blanks})(\S+){re.escape(after)}")

    def match(self, head: Head) -> Iterator[Match]:
        for index, (name, value) in enumerate(head.headers):
            if name.lower() != self.name.lower() or not (found := self._pattern.fullmatch(value)):
                continue
            before, token, after = found[1], found[2], value[found.end(2) :]
            if find_lookalikes(token) == [token]:
                yield self._match(index, token, before, after)

    def values(self, head: Head) -> Iterator[str]:
        # To many a server, an underscore in a header's name is a dash (CGI, RFC 3875 section 4.1.18).
        wanted = self.name.lower().replace("_", "-")
        return (value for name, value in head.headers if name.lower().replace("_", "-") == wanted)

    def _match(self, index: int, token: str, before: str, after: str) -> Match:
        def value(text: str) -> bytes:
            return f"{before}{text}{after}".encode()

        return Match(index, token, self.where, render=value, form=str.encode)
