"""A token as the user name or the password of HTTP Basic (RFC 7617)."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements.base import Match, Placement
from seks_addon.tokens import find_lookalikes

PARTS: Final = ("username", "password", "either")


def decode_basic(value: str) -> tuple[str, str] | None:
    """Give the user name and password of an `Authorization` value, or None where it isn't Basic or is damaged."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = pair.partition(":")
    return (name, password) if colon else None


@dataclass(frozen=True)
class BasicPlacement(Placement):
    """One half of the pair, as the whole of it; the other half goes through as it came."""

    part: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read `username`, `password`, `either`, or nothing, which means `password`; raises `InputError`."""
        part = argument or "password"
        if part not in PARTS:
            raise InputError(f"Basic has no part {argument!r}", hint=f"write one of: {', '.join(PARTS)}")
        return cls(part)

    @property
    def spec(self) -> str:
        return f"basic:{self.part}"

    @property
    def where(self) -> str:
        return f"Basic {'user name or password' if self.part == 'either' else self.part}"

    def match(self, head: Head) -> Iterator[Match]:
        for index, (name, value) in enumerate(head.headers):
            if name.lower() != "authorization" or (pair := decode_basic(value)) is None:
                continue
            username, password = pair
            # The half that the agent sent keeps its bytes; the credential is UTF-8 (RFC 7617 section 2.1).
            if self.part != "password" and find_lookalikes(username) == [username]:
                yield self._match(index, username, b"", b":" + password.encode("latin-1"))
            elif self.part != "username" and find_lookalikes(password) == [password]:
                yield self._match(index, password, username.encode("latin-1") + b":", b"")

    def values(self, head: Head) -> Iterator[str]:
        return iter(head.values("authorization"))

    def _match(self, index: int, token: str, before: bytes, after: bytes) -> Match:
        def pair(text: str) -> bytes:
            return base64.b64encode(before + text.encode() + after)

        return Match(index, token, self.where, render=lambda text: b"Basic " + pair(text), form=pair)
