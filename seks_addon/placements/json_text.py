"""A token as a text in JSON, by its pointer (RFC 6901): in a body, or in a message of an agent's on a WebSocket.

Nothing else changes by a byte: no number, no spelling.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, Self

from seks_addon.errors import InputError
from seks_addon.placements.base import BodyPlacement, Match, Place, TextPlacement
from seks_addon.tokens import find_lookalikes

_POINTER: Final = re.compile(r"(?:/(?:[^/~]|~[01])*)+")
# A number of any length is a text here: nobody calculates with it.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_BLANKS: Final = re.compile(r"[ \t\n\r]*")


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
        try:
            whole = text.decode()
            start, end = find_text(whole, self._keys)
        except (ValueError, LookupError, RecursionError):
            # Not the JSON that the declared place is in; the host may say so.
            return
        token = whole[start + 1 : end - 1]
        if find_lookalikes(token) == [token]:
            yield self._match(token, whole[:start], whole[end:])

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


def find_text(text: str, keys: list[str]) -> tuple[int, int]:
    """Give where the JSON string that `keys` lead to begins and ends in `text`, with its quotes.

    Raises `ValueError` where `text` isn't JSON, or names a key on the way twice, and `LookupError` where no string
    is there.
    """
    start = _skip_blanks(text, 0)
    _, end = _DECODER.raw_decode(text, start)
    if _skip_blanks(text, end) != len(text):
        raise ValueError("more follows")
    for key in keys:
        start = _descend(text, start, key)
    if text[start] != '"':
        raise LookupError
    return start, _DECODER.raw_decode(text, start)[1]


def _descend(text: str, start: int, key: str) -> int:
    """Give where the member `key` of the object or array at `start` begins. The text is known to be JSON."""
    if text[start] not in "{[" or (text[start] == "[" and not key.isdecimal()):
        raise LookupError
    found: list[int] = []
    position, number = _skip_blanks(text, start + 1), 0
    while text[position] not in "}]":
        name = str(number)
        if text[start] == "{":
            name, position = _DECODER.raw_decode(text, position)
            position = _skip_blanks(text, _skip_blanks(text, position) + 1)
        if name == key:
            found.append(position)
            if text[start] == "[":
                break
        _, position = _DECODER.raw_decode(text, position)
        position = _skip_blanks(text, position)
        if text[position] == ",":
            position = _skip_blanks(text, position + 1)
        number += 1
    if len(found) > 1:
        # Servers differ in which one they take.
        raise ValueError("the key is there twice")
    if not found:
        raise LookupError
    return found[0]


def _skip_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    return blanks.end() if blanks else position
