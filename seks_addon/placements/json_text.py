"""A token as a text in JSON, by its pointer (RFC 6901): in a body, or in a message of an agent's on a WebSocket.

Nothing else changes by a byte: no number, no spelling.
"""

import contextlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, Self

from seks_addon.errors import InputError
from seks_addon.placements.base import BodyPlacement, Match, Place, TextPlacement
from seks_addon.tokens import LOOKALIKE

_POINTER: Final = re.compile(r"(?:/(?:[^/~]|~[01])*)+")
# A number of any length is a text here: nobody calculates with it. An object is its members, in their order.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=tuple)
_QUOTED: Final = re.compile(f'"{LOOKALIKE.pattern}"', LOOKALIKE.flags)


@dataclass(frozen=True)
class _Pointed(TextPlacement):
    """The whole text at `pointer`."""

    pointer: str

    kind: ClassVar[str]

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read the pointer; raises `InputError`."""
        if not _POINTER.fullmatch(argument) or len(argument) > 200 or not argument.isprintable():
            raise InputError(f"{argument!r} is no JSON pointer", hint=f"write it as {cls.kind}:/client/secret")
        return cls(argument)

    @property
    def spec(self) -> str:
        return f"{self.kind}:{self.pointer}"

    @cached_property
    def _keys(self) -> list[str]:
        return [key.replace("~1", "/").replace("~0", "~") for key in self.pointer.split("/")[1:]]

    def match_text(self, text: bytes) -> Iterator[Match]:
        return self.match_all(text, [self])

    @classmethod
    def match_all(cls, text: bytes, places: Iterable[Self]) -> Iterator[Match]:
        try:
            document = Document(text.decode())
        except (ValueError, RecursionError):
            # Not the JSON that the declared places are in; the host may say so.
            return
        for place in places:
            with contextlib.suppress(LookupError):
                start, end = document.find(place._keys)  # noqa: SLF001 - one of its own kind
                yield place._match(document.text[start + 1 : end - 1], document.text[:start], document.text[end:])  # noqa: SLF001

    def _match(self, token: str, before: str, after: str) -> Match:
        def value(credential: str) -> bytes:
            return (before + json.dumps(credential) + after).encode()

        return Match(Place.TEXT, token, self.where, render=value, form=lambda text: json.dumps(text)[1:-1].encode())


class JsonPlacement(_Pointed, BodyPlacement):
    """In a JSON body."""

    kind = "json"

    @property
    def where(self) -> str:
        return f"JSON body {self.pointer}"

    def reads(self, content_type: str) -> bool:
        return content_type == "application/json" or content_type.endswith("+json")


class MessagePlacement(_Pointed):
    """In a text message of the agent's on a WebSocket: `/d/token`, as Discord's gateway has it."""

    kind = "message"

    @property
    def where(self) -> str:
        return f"WebSocket message {self.pointer}"


class Document:
    """JSON, and where in its text what looks like a token stands.

    Read once, by what is written in C: a megabyte in Python would keep others waiting for half a second. Each whole
    text that looks like a token is marked first, so that what is found at a pointer says where it came from.
    """

    def __init__(self, text: str) -> None:
        """Read it; raises `ValueError` or `RecursionError` where it isn't JSON."""
        self.text = text
        # Nobody can have guessed it.
        mark = secrets.token_hex(16)
        self._places = {f"{mark}{number}": found.span() for number, found in enumerate(_QUOTED.finditer(text))}
        marks = iter(self._places)
        self._value = _DECODER.decode(_QUOTED.sub(lambda _: f'"{next(marks)}"', text))

    def find(self, keys: Iterable[str]) -> tuple[int, int]:
        """Give where the token that `keys` lead to begins and ends, with its quotes; raises `LookupError`."""
        value = self._value
        for key in keys:
            value = _descend(value, key)
        if not isinstance(value, str):
            raise LookupError
        return self._places[value]


def _descend(value: object, key: str) -> object:
    if isinstance(value, tuple):
        found = [member for name, member in value if name == key]
        # Servers differ in which one they take.
        if len(found) == 1:
            return found[0]
    elif isinstance(value, list) and key.isdecimal() and key == str(int(key)):
        return value[int(key)]
    raise LookupError
