r"""A credential of which some characters, any of them, are escaped.

Percent-encoding (`%73`), JSON (`\u0073`, `\/`), HTML (`&#115;`, `&#x73;`, `&amp;`) and quoted-printable (`=73`, and
line ends behind `=`) leave it to the writer which characters they escape. So there is no list of forms: where an
escape stands for a character of the credential, and what precedes it is the beginning of the credential, the rest
is compared character by character.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Final

from seks_addon.scrub.automaton import Automaton
from seks_addon.scrub.forms import Known

_LEADS: Final = b"%=\\&"
_SAME: Final = b"/\\\"'"
_ESCAPE: Final = re.compile(
    rb"=(?P<fold>\r?\n)"
    rb"|\\u(?P<unit>[0-9A-Fa-f]{4})|\\x(?P<code>[0-9A-Fa-f]{2})|\\(?P<same>[/\\\"'])"
    rb"|&#(?P<decimal>[0-9]{1,7});?|&#[xX](?P<hex>[0-9A-Fa-f]{1,6});?|&(?P<name>amp|lt|gt|quot|apos);"
)
_BYTES: Final = {
    b"%c%c%c" % (lead, high, low): bytes([int(bytes([high, low]), 16)])
    for lead in b"%="
    for high in b"0123456789abcdefABCDEF"
    for low in b"0123456789abcdefABCDEF"
}
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
#: What a character of a credential may take up, in bytes: `&#0000115;` and a fold.
WIDEST: Final = 13


@dataclass(frozen=True, slots=True)
class Found:
    """Where an escaped credential begins, and where it ends."""

    start: int
    end: int
    stand_in: bytes


class Escapes:
    """Finds credentials in texts that somebody escaped."""

    def __init__(self, credentials: Iterable[Known]) -> None:
        self._credentials = [_Escaped(one) for one in credentials if one.value]
        used = frozenset(byte for one in self._credentials for byte in one.value)
        self._automata = [Automaton(sorted(some), leads=True) for some in _beginnings(used)]

    def find(self, text: bytes) -> Iterator[Found]:
        """Give all occurrences with an escape in them, also such as overlap."""
        if not self._credentials:
            return
        places = self._places(text)
        for credential in self._credentials if places else ():
            yield from credential.find(text, places)

    def _places(self, text: bytes) -> set[int]:
        """Where escapes of the characters that matter begin."""
        places: set[int] = set()
        for automaton in self._automata:
            for place, beginning in automaton.find(text):
                places.add(place)
                if beginning == b"\\\\":
                    # The second one may begin an escape of its own; the automaton goes on behind it.
                    places.add(place + 1)
        return places


def _beginnings(used: Set[int]) -> tuple[set[bytes], set[bytes]]:
    """How escapes of these bytes begin, by their leads: few of them, so that most of a text is passed over at once."""
    others = {b"=\n", b"=\r", *(b"&#%c" % c for c in b"0123456789xX")}
    for byte in used:
        others |= {b"%%%02x" % byte, b"%%%02X" % byte, b"=%02x" % byte, b"=%02X" % byte}
    others |= {b"&%b;" % name for name, meaning in _NAMED.items() if meaning[0] in used}
    backslash = {b"\\x", b"\\u" if max(used, default=0) > 0x7F else b"\\u00"}
    return others, backslash | {b"\\%c" % byte for byte in _SAME if byte in used}


class _Escaped:
    """One of the credentials."""

    def __init__(self, known: Known) -> None:
        self.value = known.value.encode()
        self._stand_in = known.stand_in.encode()
        self._places: dict[int, list[int]] = defaultdict(list)
        for index, byte in enumerate(self.value):
            self._places[byte].append(index)

    def find(self, text: bytes, places: Iterable[int]) -> Iterator[Found]:
        for place in places:
            meaning, length = _read(text, place)
            if length == 0:
                continue
            for index in self._indexes(text, place, meaning):
                start = place - index
                # What stands before the first escape is plain. Most are told apart by what is next to it.
                if index and text[place - 1] != self.value[index - 1]:
                    continue
                if not self._may_follow(text, place + length, index + len(meaning)):
                    continue
                plain = start >= 0 and text.startswith(self.value[:index], start)
                if plain and (end := self._end(text, place, index)):
                    yield Found(start, end, self._stand_in)

    def _indexes(self, text: bytes, place: int, meaning: bytes) -> list[int]:
        if meaning:
            return self._places.get(meaning[0], [])
        # A fold stands for nothing: between two characters, of which the first is the one before it.
        return [index + 1 for index in self._places.get(text[place - 1], []) if index + 1 < len(self.value)]

    def _may_follow(self, text: bytes, at: int, index: int) -> bool:
        """Tell at one glance whether the character `index` may stand at `at`."""
        if index == len(self.value) or at >= len(text) or text[at] == self.value[index]:
            return True
        meaning = _BYTES.get(text[at : at + 3])
        return meaning[0] == self.value[index] if meaning else text[at] in _LEADS

    def _end(self, text: bytes, place: int, index: int) -> int:
        """Give where the credential ends, whose character `index` stands at `place`; 0 where it doesn't.

        Of several ways to read it the longest counts.
        """
        end, limit = 0, place + WIDEST * len(self.value)
        waiting, seen = [(place, index)], set[tuple[int, int]]()
        while waiting:
            at, index = waiting.pop()
            if index == len(self.value):
                end = max(end, at)
                continue
            if at >= min(limit, len(text)) or (at, index) in seen:
                continue
            seen.add((at, index))
            if text[at] == self.value[index]:
                waiting.append((at + 1, index + 1))
            if text[at] in _LEADS:
                meaning, length = _read(text, at)
                if length and self.value.startswith(meaning, index):
                    waiting.append((at + length, index + len(meaning)))
        return end


def _read(text: bytes, place: int) -> tuple[bytes, int]:
    """Give what the escape at `place` stands for, and its length; 0 where it is none."""
    if meaning := _BYTES.get(text[place : place + 3]):
        return meaning, 3
    found = _ESCAPE.match(text, place)
    if found is None:
        return b"", 0
    kind, length = found.lastgroup, found.end() - place
    if found["code"]:
        return bytes.fromhex(found["code"].decode()), length
    if found["fold"]:
        return b"", length
    if kind == "same":
        return found["same"], length
    if kind == "name":
        return _NAMED[found["name"]], length
    digits, base = (found["decimal"], 10) if found["decimal"] else (found["unit"] or found["hex"], 16)
    try:
        return chr(int(digits, base)).encode(), length
    except (ValueError, UnicodeEncodeError):
        return b"", 0
