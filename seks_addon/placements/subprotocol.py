"""A token as a subprotocol that a WebSocket's handshake offers: `openai-insecure-api-key.{}`, as browsers send it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.handshake import is_handshake
from seks_addon.head import TCHAR, Head
from seks_addon.placements.base import Match, Placement
from seks_addon.tokens import find_lookalikes

# RFC 6455 section 11.3.4.
_TOKEN: Final = re.compile(f"{TCHAR}+")


@dataclass(frozen=True)
class SubprotocolPlacement(Placement):
    """One of the subprotocols, the only one of this form; the others go through as they came."""

    format: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read a subprotocol with `{}` in it; raises `InputError`."""
        before, hole, after = argument.partition("{}")
        if not hole or len(argument) > 100 or not _TOKEN.fullmatch(f"{before}x{after}") or after[:1].isalnum():
            raise InputError(
                f"{argument!r} is no subprotocol with {{}} for the token",
                hint="write it as subprotocol:openai-insecure-api-key.{}",
            )
        return cls(argument)

    @property
    def spec(self) -> str:
        return f"subprotocol:{self.format}"

    @property
    def where(self) -> str:
        return f"WebSocket subprotocol {self.format}"

    def match(self, head: Head) -> Iterator[Match]:
        if not is_handshake(head):
            return
        for index, (name, value) in enumerate(head.headers):
            if name.lower() != "sec-websocket-protocol":
                continue
            items = [item.strip(" \t") for item in value.split(",")]
            found = [(place, token) for place, item in enumerate(items) if (token := self._token_in(item))]
            if len(found) == 1:
                yield self._match(index, found[0][1], items, found[0][0])

    def values(self, head: Head) -> Iterator[str]:
        before, after = self.format.split("{}")
        items = (item.strip(" \t") for value in head.values("sec-websocket-protocol") for item in value.split(","))
        return (
            item.removeprefix(before).removesuffix(after)
            for item in items
            if item.startswith(before) and item.endswith(after)
        )

    def check_value(self, value: str) -> None:
        if not _TOKEN.fullmatch(value):
            raise InputError(
                "the value holds a character that a WebSocket subprotocol can't", hint="store it for another placement"
            )

    def _token_in(self, item: str) -> str | None:
        before, after = self.format.split("{}")
        token = item.removeprefix(before).removesuffix(after)
        return token if before + token + after == item and find_lookalikes(token) == [token] else None

    def _match(self, index: int, token: str, items: list[str], place: int) -> Match:
        def value(text: str) -> bytes:
            offered = [*items[:place], self.format.replace("{}", text), *items[place + 1 :]]
            return ", ".join(offered).encode()

        return Match(index, token, self.where, render=value, form=str.encode)
