"""A token as the value of a field in a form (`application/x-www-form-urlencoded`)."""

import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from seks_addon.errors import InputError
from seks_addon.placements.base import BodyPlacement, Match, Place
from seks_addon.placements.query import find_parameter


@dataclass(frozen=True)
class FormPlacement(BodyPlacement):
    """The whole value of the field `name`, which must be there once, in any spelling."""

    name: str

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read the field's name; raises `InputError`."""
        if not argument or not argument.isascii() or not argument.isprintable() or len(argument) > 100:
            raise InputError(f"{argument!r} names no field of a form", hint="write it as form:client_secret")
        return cls(argument)

    @property
    def spec(self) -> str:
        return f"form:{self.name}"

    @property
    def where(self) -> str:
        return f"form field {self.name}"

    def reads(self, content_type: str) -> bool:
        return content_type == "application/x-www-form-urlencoded"

    def match_text(self, text: bytes) -> Iterator[Match]:
        if found := find_parameter(text.decode("latin-1"), self.name):
            yield self._match(*found)

    def _match(self, before: str, token: str, after: str) -> Match:
        def encoded(text: str) -> bytes:
            return urllib.parse.quote_plus(text).encode()

        def value(text: str) -> bytes:
            return before.encode("latin-1") + encoded(text) + after.encode("latin-1")

        return Match(Place.TEXT, token, self.where, render=value, form=encoded)
