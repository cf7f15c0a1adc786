"""Finding many byte strings at once, at the speed of memory: Aho-Corasick with a vectorised search in front of it."""

from collections.abc import Iterator, Sequence
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

#: The library's vectorised search takes 64 patterns, and slows down before.
_GROUP: Final = 40
#: In no text that matters, and never a match where they are: with them the library doesn't look for the rarest bytes
#: of the patterns, which in a text of hex or base64 are everywhere, but for the beginnings of all of them.
_DECOYS: Final = tuple(bytes([lead, *range(0xF8, 0xFF)]) for lead in range(0xF0, 0xF6))


class Automaton:
    """Looks for at most 40 patterns; or, with `leads`, for any number that begin with one of three bytes."""

    def __init__(self, patterns: Sequence[bytes], *, leads: bool = False) -> None:
        self.patterns = patterns
        self._built = BytesAhoCorasick(
            [*patterns, *(() if leads else _DECOYS)],
            matchkind=MatchKind.LeftmostLongest,
            implementation=Implementation.NoncontiguousNFA,
        )

    @classmethod
    def groups(cls, patterns: Sequence[bytes]) -> "list[Automaton]":
        """As many as the patterns need."""
        return [cls(patterns[first : first + _GROUP]) for first in range(0, len(patterns), _GROUP)]

    def find(self, text: bytes, position: int = 0) -> Iterator[tuple[int, bytes]]:
        """Give where which pattern is, from `position` on, without overlaps, and the longest of those at one place."""
        for number, start, _ in self._built.find_matches_as_indexes(text[position:] if position else text):
            if number < len(self.patterns):
                yield position + start, self.patterns[number]
