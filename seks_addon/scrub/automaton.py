"""Finding many byte strings at once, at the speed of memory: Aho-Corasick with a vectorised search in front of it."""

import itertools
from collections.abc import Iterator, Mapping
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
    """Looks for at most 40 patterns; or, with `leads`, for any number that begin with one of three bytes."""

    def __init__(self, instead: Mapping[bytes, bytes], *, leads: bool = False) -> None:
        self._instead = [*instead.values()]
        self._built = BytesAhoCorasick(
            [*instead, *(() if leads else _DECOYS)],
            matchkind=MatchKind.LeftmostLongest,
            implementation=Implementation.NoncontiguousNFA,
        )

    @classmethod
    def groups(cls, instead: Mapping[bytes, bytes]) -> "list[Automaton]":
        """As many as the patterns need."""
        return [cls(dict(some)) for some in itertools.batched(instead.items(), _GROUP)]

    def find(self, text: bytes, position: int = 0) -> Iterator[Match]:
        """Give the matches from `position` on, without overlaps, and the longest of those at one place."""
        for number, start, end in self._built.find_matches_as_indexes(text[position:] if position else text):
            if number < len(self._instead):
                yield Match(position + start, position + end, self._instead[number])
