"""Paths in one spelling, and what a policy allows of them: all below a prefix, or what fits a pattern.

A pattern is a path in which `*` stands for any characters of one segment and `**`, a segment of its own, for any
number of segments, none too. Nothing is turned into a regular expression: a path is read once, and nothing in it
makes the matching go back.
"""

import re
import string
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from seks_addon.errors import InputError

#: Characters of a prefix or pattern.
MAX_LENGTH: Final = 1024

#: RFC 3986 section 2.3.
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
# RFC 3986 section 3.3, the brackets that some APIs have in their paths, and `{}` where a token stands.
_WRITTEN: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]]|%[0-9A-Fa-f]{2}|\{\})*")
#: What a server may decode of a path, one time after the other.
_DEPTH: Final = 3
#: An encoded octet as one character behind all that stand for themselves, so that no star takes half of it.
_ENCODED: Final = 0x100
_ENCODED_SLASH: Final = chr(_ENCODED + ord("/"))

#: What stands between the stars of a segment.
type _Segment = tuple[str, ...]


def canonical_path(path: str) -> str:
    """Decode what needs no encoding, and put the rest in upper case (RFC 3986 section 6.2.2).

    A percent sign that encodes nothing is itself encoded, so that a canonical path stays as it is.
    """
    return _ESCAPE.sub(_canonical_escape, path)


def _canonical_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "%25"
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def is_ambiguous(path: str) -> bool:
    """Tell whether one server reads other segments in the path than another.

    Some drop empty segments, or what follows a `;` (RFC 3986 section 3.3), or take a backslash for a slash. Some
    decode more than once: then a slash must not appear, and it must come to an end.
    """
    readings = [path]
    for _ in range(_DEPTH):
        readings.append(urllib.parse.unquote(readings[-1], "latin-1"))
    return (
        readings[-1] != readings[-2]
        or readings[-1].count("/") != readings[1].count("/")
        or any(mark in reading for reading in readings for mark in (";", "//", "\\"))
    )


def parse_prefix(text: str) -> str:
    """Read a prefix as a person writes it; raises `InputError`."""
    if not _is_path(text) or "*" in text:
        hint = "for a pattern there is --path" if "*" in text else "write it from the root: /v1/models"
        raise InputError(f"{text!r} is no path prefix", hint=hint)
    return canonical_path(text)


def parse_pattern(text: str) -> str:
    """Read a pattern as a person writes it; raises `InputError`."""
    if not _is_path(text) or any("**" in segment and segment != "**" for segment in text.split("/")):
        raise InputError(
            f"{text!r} is no path pattern",
            hint="write it from the root, * for a segment or a part of it, ** for any number: /repos/*/issues, /v1/**",
        )
    return canonical_path(text)


def _is_path(text: str) -> bool:
    """Tell whether a request with such a path can be allowed at all."""
    if len(text) > MAX_LENGTH or not _WRITTEN.fullmatch(text) or is_ambiguous(text):
        return False
    return {".", ".."}.isdisjoint(canonical_path(text).split("/"))


def is_below(prefix: str, path: str) -> bool:
    """Tell whether a prefix covers a canonical path, by whole segments.

    `/v1` covers `/v1` and `/v1/models`, not `/v10`; `/v1/` covers what is below it only.
    """
    # A prefix of an older vault may be stored in another spelling.
    prefix = canonical_path(prefix)
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def fits(pattern: str, path: str) -> bool:
    """Tell whether a canonical path fits a canonical pattern, the whole of it, in upper and lower case as written.

    A star stands for no slash, encoded or not, and for no empty segment.
    """
    machine = _machine(pattern)
    state = machine.start
    for segment in _folded(path).split("/"):
        state = machine.step(state, segment)
        if not state:
            return False
    return bool(state & machine.final)


@dataclass(frozen=True, slots=True)
class _Machine:
    """A pattern as a set of positions in the bits of a number, all of which go on at once (Shift-And).

    Bit n of a state says that the path so far fits the pattern's first n segments. `literals` and `starred` say at
    which positions a segment stands, `spans` at which there is a `**`.
    """

    literals: Mapping[str, int]
    starred: Mapping[_Segment, int]
    spans: int
    final: int

    @property
    def start(self) -> int:
        return self._over_spans(1)

    def step(self, state: int, segment: str) -> int:
        passed = state & self.literals.get(segment, 0)
        for literals, positions in self.starred.items():
            if state & positions and _segment_fits(literals, segment):
                passed |= state & positions
        return self._over_spans(passed << 1 | state & self.spans)

    def _over_spans(self, state: int) -> int:
        return state | (state & self.spans) << 1


@lru_cache(maxsize=1024)
def _machine(pattern: str) -> _Machine:
    segments = _folded(pattern).split("/")
    # Of several `**` in a row one says the same.
    segments = [s for s, before in zip(segments, ["", *segments], strict=False) if (s, before) != ("**", "**")]
    literals: dict[str, int] = {}
    starred: dict[_Segment, int] = {}
    spans = 0
    for place, segment in enumerate(segments):
        if segment == "**":
            spans |= 1 << place
        elif "*" in segment:
            parts = tuple(segment.split("*"))
            starred[parts] = starred.get(parts, 0) | 1 << place
        else:
            literals[segment] = literals.get(segment, 0) | 1 << place
    return _Machine(literals, starred, spans, 1 << len(segments))


def _folded(path: str) -> str:
    """A canonical path with each encoded octet as one character."""
    return _ESCAPE.sub(lambda match: chr(_ENCODED + int(match[0][1:], 16)), path)


def _segment_fits(literals: _Segment, segment: str) -> bool:
    """Tell whether all literals stand in the segment, in their order; each is found as far left as it can be."""
    first, *middle, last = literals
    position, end = len(first), len(segment) - len(last)
    if not segment or position > end or not (segment.startswith(first) and segment.endswith(last)):
        return False
    for literal in middle:
        found = segment.find(literal, position, end)
        if found < 0:
            return False
        position = found + len(literal)
    # All of them stand in the literals: so none is under a star.
    return segment.count(_ENCODED_SLASH) == sum(literal.count(_ENCODED_SLASH) for literal in literals)
