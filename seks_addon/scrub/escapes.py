r"""A credential of which some characters, any of them, are escaped.

Percent-encoding (`%73`), JSON and program code (`\u0073`, `\x73`, `\/`), HTML (`&#115;`, `&#x73;`, `&amp;`) and
quoted-printable (`=73`, and line ends behind `=`) leave it to the writer which characters they escape, and some text
goes through one of them twice. So there is no list of forms but a pattern for each character. What looks for it is a
finite automaton: one look at each byte, whatever the text is full of, which a host may choose to annoy others.
"""

import heapq
import html.entities
import itertools
import re
import secrets
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cache, cached_property, lru_cache
from typing import Final

import re2  # type: ignore[import-untyped]

from seks_addon.scrub.automaton import Automaton, Match
from seks_addon.scrub.forms import Known

#: What a byte that may be escaped takes up at the most, in bytes: `&amp;#0000115;` and a fold.
_WIDEST: Final = 17
_LEADS: Final = b"%=\\&"
#: Where more than one byte in so many could begin an escape, it doesn't pay to look first whether one does.
_DENSE: Final = 24
#: One byte in so many is looked at to know.
_SAMPLE: Final = 61
#: Nor in a text so short, once it is compiled what they are looked for with.
_SHORT: Final = 4096
#: So few escapes are looked at one by one.
_FEW: Final = 16
#: So many characters, the last ones, decide whether there is anything to look for.
_END: Final = 6
#: A pattern takes so many characters of a credential, and memory for the automaton that is made of it, in bytes.
_PART: Final = 64
_MAX_MEMORY: Final = 64 * 1024 * 1024
_ALPHANUMERIC: Final = frozenset(string.ascii_letters + string.digits)
_SAME: Final = "/\\\"'"
_BACKSLASH: Final = r"\\{1,3}"
_PERCENT: Final = "%(?:25)?"
_AMPERSAND: Final = "&(?:amp;)?"
_FOLD: Final = r"(?:=\r?\n)?"
#: What patterns are made of here, and how often it stands there.
_ATOM: Final = re.compile(r"(\(\?:|\\x[0-9a-f]{2}|\\.|\[[^]]*\]|[^\\])(\?|\{[0-9,]+\})?")
#: So many forms are looked for, of which one ends in a text: about those of a credential.
_BATCH: Final = 8


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
        # Nobody would escape a letter or a digit; so it costs little that the search doesn't tell which are there.
        self._special = frozenset().union(*(form.escaped - _ALPHANUMERIC for form in self._forms.values()))
        self._batches = [_Batch(forms) for forms in itertools.batched(self._forms.values(), _BATCH)]
        #: How long what is found may be, in bytes.
        self.widest = max((_WIDEST * len(form.text.encode()) for form in self._forms.values()), default=0)

    def finders(self, text: bytes) -> "Iterable[_Form]":
        """Give what can find something in a text, which mostly is nothing."""
        if not self._may_be_in(text):
            return ()
        return [form for batch in self._batches if batch.ends.search(text) for form in batch.forms]

    def _may_be_in(self, text: bytes) -> bool:
        if not self._forms or not any(lead in text for lead in _LEADS):
            return False
        is_quick = len(text) < _SHORT and "_ends" in vars(self)
        if not is_quick and not _is_dense(text):
            places = [place for automaton in _beginnings(self._special) for place in automaton.places(text)]
            if len(places) < _FEW:
                return any(self._ends.search(text, start - self.widest, end + self.widest) for start, end in places)
        return self._ends.search(text) is not None

    @cached_property
    def _ends(self) -> "re2._Regexp":
        return _any_end(self._forms.values())


def _is_dense(text: bytes) -> bool:
    # Nobody who chooses the text knows which bytes count.
    sample = text[secrets.randbelow(_SAMPLE) :: _SAMPLE]
    return len(sample) > _DENSE and sum(map(sample.count, _LEADS)) * _DENSE > len(sample)


class _Batch:
    """Some of the forms, so that where one of them ends, not all are looked for."""

    def __init__(self, forms: Sequence["_Form"]) -> None:
        self.forms = forms

    @cached_property
    def ends(self) -> "re2._Regexp":
        return _any_end(self.forms)


def _any_end(forms: Iterable["_Form"]) -> "re2._Regexp":
    return _compiled("|".join(_FOLD.join(map(form.ways, form.text[-_END:])) for form in forms))


class _Form:
    """What is looked for, which of its characters may be `escaped`, and what is written instead.

    It is read backwards, from where its end is. Reading forwards would go along with whatever begins as it does, which
    takes time: somebody else's guess would, where the credential is in the same text.
    """

    def __init__(self, text: str, escaped: Set[str], instead: bytes) -> None:
        self.text = text
        self.escaped = escaped
        self._instead = instead
        self._compiled: list[re2._Regexp] = []

    def ways(self, character: str) -> str:
        """A pattern for all ways to write a character of it."""
        return _any_way(character) if character in self.escaped else character

    def find(self, text: bytes, position: int = 0) -> Iterator[Match]:
        """Give the matches from `position` on, without overlaps."""
        back = text[::-1]
        found: list[tuple[int, int]] = []
        at = 0
        while end := self._part(0).search(back, at, len(text) - position):
            at = end.start()
            if (start := self._start(back, end.end(), position, 1)) is not None:
                found.append((start, at - len(text)))
            at += 1
        heapq.heapify(found)
        while found:
            first, end_back = heapq.heappop(found)
            if first >= position:
                position = -end_back
                yield Match(first, position, self._instead)
            elif (start := self._start(back, len(text) + end_back, position)) is not None:
                # What was found last ends within it, and another one begins behind that.
                heapq.heappush(found, (start, end_back))

    def _start(self, back: bytes, at: int, position: int, part: int = 0) -> int | None:
        """Where, from `position` on, what ends there begins, if anything does; from a part of it on."""
        for number in range(part, len(self._borders) - 1):
            if (match := self._part(number).match(back, at, len(back) - position)) is None:
                return None
            at = match.end()
        return len(back) - at

    def _part(self, number: int) -> "re2._Regexp":
        # One after the other: most is compiled where all behind it was found.
        while number >= len(self._compiled):
            end, first = self._borders[len(self._compiled) :][:2]
            parts = [_backwards(self.ways(character)) for character in reversed(self.text[first:end])]
            fold = _backwards(_FOLD)
            self._compiled.append(_compiled((fold if number else "") + fold.join(parts)))
        return self._compiled[number]

    @cached_property
    def _borders(self) -> list[int]:
        """Where its parts end, from the last to the first: such that where one begins depends on itself alone."""
        text, borders = self.text, [len(self.text)]
        for index in range(len(text) - 1, 0, -1):
            if (
                borders[-1] - index >= (_PART if borders[1:] else _END)
                and _ALPHANUMERIC.issuperset(text[index - 1 : index + 1])
                and not any(lead in text[max(0, index - _WIDEST) : index].encode() for lead in _LEADS)
            ):
                borders.append(index)
        return [*borders, 0]


@cache
def _backwards(pattern: str) -> str:
    """The pattern of the same texts, last byte first."""
    groups: list[list[list[str]]] = [[[]]]
    for one, times in _ATOM.findall(pattern):
        if one == "(?:":
            groups.append([[]])
        elif one == "|":
            groups[-1].append([])
        else:
            atom = f"(?:{_alternatives(groups.pop())})" if one == ")" else one
            groups[-1][-1].append(atom + times)
    return _alternatives(groups.pop())


def _alternatives(group: list[list[str]]) -> str:
    return "|".join("".join(reversed(atoms)) for atoms in group)


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
    ways = [_of_code(ord(character)), _FOLD.join(map(_of_octet, octets))]
    if character == " ":
        ways.append(r"\+")
    if 0x80 <= ord(character) < 0x100:
        ways.append(_of_octet(ord(character)))
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


@lru_cache(64)
def _beginnings(special: Set[str]) -> list[Automaton]:
    """Find how escapes of these characters begin, and of letters and digits; one for each lead, which is quickest."""
    characters = _ALPHANUMERIC | special
    octets = {octet for character in characters for octet in character.encode()}
    octets |= {ord(character) for character in characters if 0x80 <= ord(character) < 0x100}
    cases = [({digit, digit.upper()} for digit in f"{octet:02x}") for octet in octets]
    hexes = {f"{high}{low}" for digits in cases for high, low in itertools.product(*digits)}
    patterns = {"%25", "%u", "=\n", "=\r", "&amp;", "\\U00", "\\u{", "\\u00", *(f"&#{c}" for c in f"{string.digits}xX")}
    patterns |= {f"{lead}{digits}" for lead in ("%", "=", "\\x") for digits in hexes}
    patterns |= {f"\\{octet:03o}" for octet in octets}
    patterns |= {f"&{name}" for character in special for name in _NAMES.get(character, ())}
    patterns |= {f"\\{character}" for character in special & {*_SAME}}
    if not all(character.isascii() for character in special):
        # As units of UTF-16, and what was taken for latin-1.
        patterns |= {"\\u", "%c3", "%C3", "%c2", "%C2"}
        patterns |= {f"&{name}" for octet in octets for name in _NAMES.get(chr(octet), ())}
    by_lead = itertools.groupby(sorted(patterns), key=lambda pattern: pattern[0])
    return [Automaton([pattern.encode() for pattern in some], decoys=False) for _, some in by_lead]
