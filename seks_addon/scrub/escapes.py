r"""A credential of which some characters, any of them, are escaped.

Percent-encoding (`%73`), JSON and program code (`\u0073`, `\x73`, `\/`), HTML (`&#115;`, `&#x73;`, `&amp;`) and
quoted-printable (`=73`, and line ends behind `=`) leave it to the writer which characters they escape, and some text
goes through one of them twice. So there is no list of forms but a pattern for each character. What looks for it is a
finite automaton: one look at each byte, whatever the text is full of, which a host may choose to annoy others.
"""

import html.entities
import itertools
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from functools import cache, cached_property
from typing import Final

import re2  # type: ignore[import-untyped]

from seks_addon.scrub.automaton import Automaton, Match
from seks_addon.scrub.forms import Known

#: What a byte that may be escaped takes up at the most, in bytes: `&amp;#0000115;` and a fold.
_WIDEST: Final = 17
_LEADS: Final = b"%=\\&"
#: Below one escape in so many bytes it pays to look first whether one stands for a character of the credential.
_DENSE: Final = 32
#: So few escapes are looked at one by one.
_FEW: Final = 16
#: How many of the bytes are looked at to know.
_SAMPLE: Final = 61
#: So many characters decide whether there is anything to look for.
_START: Final = 6
#: A pattern takes so many characters of a credential, and memory for the automaton that is made of it, in bytes.
_PART: Final = 64
_MAX_MEMORY: Final = 64 * 1024 * 1024
_ALPHANUMERIC: Final = frozenset(string.ascii_letters + string.digits)
_SAME: Final = "/\\\"'"
_BACKSLASH: Final = r"\\{1,3}"
_PERCENT: Final = "%(?:25)?"
_AMPERSAND: Final = "&(?:amp;)?"
_FOLD: Final = r"(?:=\r?\n)?"


def _names() -> dict[str, list[str]]:
    names = defaultdict(list)
    for name, meaning in html.entities.html5.items():
        if name.endswith(";") and len(name) <= len("UnderBar;"):
            names[meaning].append(name)
    return names


_NAMES: Final = _names()


class Escapes:
    """Finds credentials in texts that somebody escaped."""

    def __init__(self, credentials: Iterable[Known]) -> None:
        self._forms: dict[str, _Form] = {}
        for one in credentials:
            if one.value:
                self._forms.setdefault(one.value, _Form(one.value, {*one.value}, one.stand_in.encode()))
            for form, instead in one.encoded():
                text = form.decode("latin-1")
                # What no letter or digit is may be escaped once more.
                if special := {*text} - _ALPHANUMERIC:
                    self._forms.setdefault(text, _Form(text, special, instead))
        used = {byte for form in self._forms.values() for byte in "".join(form.escaped).encode()}
        self._automata = [Automaton(dict.fromkeys(some, b""), leads=True) for some in _beginnings(used)]
        #: How long what is found may be, in bytes.
        self.widest = max((_WIDEST * len(form.text.encode()) for form in self._forms.values()), default=0)

    def finders(self, text: bytes) -> "Iterable[_Form]":
        """Give what can find something in a text, which mostly is nothing."""
        return self._forms.values() if self._may_be_in(text) else ()

    def _may_be_in(self, text: bytes) -> bool:
        if not self._forms or not any(lead in text for lead in _LEADS):
            return False
        sample = text[::_SAMPLE]
        if sum(map(sample.count, _LEADS)) < len(sample) // _DENSE:
            found = [match for automaton in self._automata for match in automaton.find(text)]
            if len(found) < _FEW:
                return any(self._start.search(text, start - self.widest, end + self.widest) for start, end, _ in found)
        return self._start.search(text) is not None

    @cached_property
    def _start(self) -> "re2._Regexp":
        return _compiled("|".join(form.pattern(0, _START) for form in self._forms.values()))


class _Form:
    """What is looked for, which of its characters may be `escaped`, and what is written instead."""

    def __init__(self, text: str, escaped: Set[str], instead: bytes) -> None:
        self.text = text
        self.escaped = escaped
        self._instead = instead
        self._compiled: list[re2._Regexp] = []

    def pattern(self, first: int, end: int) -> str:
        """The pattern of some of its characters."""
        return _FOLD.join(_any_way(c) if c in self.escaped else c for c in self.text[first:end])

    def find(self, text: bytes, position: int = 0) -> Iterator[Match]:
        """Give the matches from `position` on, without overlaps."""
        while match := self._part(0).search(text, position):
            start, end = match.span()
            for number in range(1, len(self._borders) - 1):
                if (match := self._part(number).match(text, end)) is None:
                    break
                end = match.end()
            if match:
                yield Match(start, end, self._instead)
            position = end if match else start + 1

    def _part(self, number: int) -> "re2._Regexp":
        # One after the other: most is compiled where all before it was found.
        while number >= len(self._compiled):
            first, end = self._borders[len(self._compiled) :][:2]
            self._compiled.append(_compiled((_FOLD if first else "") + self.pattern(first, end)))
        return self._compiled[number]

    @cached_property
    def _borders(self) -> list[int]:
        """Where its parts begin, and where the last one ends: such that where one ends depends on itself alone."""
        borders = [0]
        for index in range(1, len(self.text)):
            if index - borders[-1] >= _PART and _ALPHANUMERIC.issuperset(self.text[index - 1 : index + 1]):
                borders.append(index)
        return [*borders, len(self.text)]


def _compiled(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.never_capture = True
    options.max_mem = _MAX_MEMORY
    options.log_errors = False  # they would quote the pattern
    try:
        return re2.compile(pattern.encode("latin-1"), options)
    finally:
        # The library keeps what it compiled; this one holds a credential.
        re2.purge()


@cache
def _any_way(character: str) -> str:
    """A pattern for all ways to write a character."""
    octets = character.encode()
    ways = [_of_code(ord(character)), "".join(map(_of_octet, octets))]
    if character in _SAME:
        ways.append(rf"{_BACKSLASH}\x{ord(character):02x}")
    return f"(?:{'|'.join(ways)})"


def _of_octet(octet: int) -> str:
    digits = _hex(f"{octet:02x}")
    ways = [rf"\x{octet:02x}", f"(?:{_PERCENT}|=|{_BACKSLASH}x){digits}", f"{_BACKSLASH}{octet:03o}"]
    if octet >= 0x80:
        # UTF-8 that somebody took for latin-1, and wrote as UTF-8 again.
        ways += [_of_code(octet), "".join(rf"(?:\x{o:02x}|{_PERCENT}{_hex(f'{o:02x}')})" for o in chr(octet).encode())]
    return f"(?:{'|'.join(ways)})"


def _of_code(point: int) -> str:
    digits, missing = _hex(f"{point:x}"), 6 - len(f"{point:x}")
    units = chr(point).encode("utf-16-be")
    four = [_hex(units[at : at + 2].hex()) for at in range(0, len(units), 2)]
    ways = [
        "".join(f"(?:{_BACKSLASH}|%)u{unit}" for unit in four),
        rf"{_BACKSLASH}(?:u\{{0{{0,{missing}}}{digits}\}}|U00{_hex(f'{point:06x}')})",
        f"{_AMPERSAND}#(?:0{{0,{7 - len(str(point))}}}{point}|[xX]0{{0,{missing}}}{digits});?",
    ]
    if names := _NAMES.get(chr(point)):
        ways.append(f"{_AMPERSAND}(?:{'|'.join(names)})")
    return f"(?:{'|'.join(ways)})"


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _beginnings(used: Set[int]) -> Iterator[set[bytes]]:
    """How escapes of these bytes begin, by their leads: few of them, so that most of a text is passed over at once."""
    yield {b"=\n", b"=\r", b"%25", b"%u", b"&amp;", *(b"&#%c" % c for c in b"0123456789xX")}.union(
        *(_other_beginnings(byte) for byte in used)
    )
    yield {b"\\U00", b"\\u{", b"\\u00"}.union(*(_backslash_beginnings(byte) for byte in used))


@cache
def _other_beginnings(byte: int) -> frozenset[bytes]:
    names = {f"&{name}".encode() for name in _NAMES.get(chr(byte), ())}
    hexes = {f"{lead}{high}{low}".encode() for high, low in _cases(byte) for lead in "%="}
    if byte < 0x80:
        return frozenset(names | hexes)
    # Its character may have a name. What was taken for latin-1 begins with one of two bytes.
    return frozenset(hexes | {b"&%c" % letter for letter in range(0x41, 0x7B)} | {b"%c3", b"%C3", b"%c2", b"%C2"})


@cache
def _backslash_beginnings(byte: int) -> frozenset[bytes]:
    ways = {f"\\x{high}{low}".encode() for high, low in _cases(byte)} | {b"\\%03o" % byte}
    if chr(byte) in _SAME:
        ways.add(b"\\%c" % byte)
    return frozenset(ways if byte < 0x80 else ways | {b"\\u"})


def _cases(byte: int) -> Iterator[tuple[str, ...]]:
    return itertools.product(*({digit.lower(), digit.upper()} for digit in f"{byte:02x}"))
