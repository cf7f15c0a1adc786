"""Telling whether any of many byte strings is in a text, at the speed of memory: Aho-Corasick, mostly vectorised.

How long it takes says how much of a string is there. So it looks for what may be known.
"""

import itertools
from collections.abc import Iterable
from typing import Final, NamedTuple

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

#: The library's vectorised search takes 64 patterns, and slows down before.
_GROUP: Final = 40
#: In no text that matters, and never a match where they are: with them the library doesn't look for the rarest bytes
#: of the patterns, which in a text of hex or base64 are everywhere, but for the beginnings of all of them.
_DECOYS: Final = tuple(bytes([lead, *range(0xF8, 0xFF)]) for lead in range(0xF0, 0xF6))


class Match(NamedTuple):
    """Where something is that is looked for, and what to write instead."""

    start: int
    end: int
    instead: bytes


class Automaton:
    """Looks for at most 40 patterns; without `decoys`, for any number that begin with the same byte."""

    def __init__(self, patterns: Iterable[bytes], *, decoys: bool = True) -> None:
        self.patterns = [*patterns]
        self._built = BytesAhoCorasick(
            [*self.patterns, *(_DECOYS if decoys else ())],
            matchkind=MatchKind.LeftmostLongest,
            implementation=Implementation.NoncontiguousNFA,
        )

    @classmethod
    def groups(cls, patterns: Iterable[bytes]) -> "list[Automaton]":
        """As many as the patterns need."""
        return [cls(some) for some in itertools.batched(patterns, _GROUP)]

    def places(self, text: bytes) -> list[tuple[int, int]]:
        """Give where patterns begin and end in a text; where some overlap, one of them."""
        found = self._built.find_matches_as_indexes(text)
        return [(start, end) for number, start, end in found if number < len(self.patterns)]
