"""Paths in one spelling, and what a policy allows of them: all below a prefix, or what fits a pattern.

A pattern is a path in which `*` stands for any characters of one segment and `**`, a segment of its own, for any
number of segments, none too. Nothing is turned into a regular expression: what stands between the stars is looked
for from the left, which finds a fit where there is one and never goes back.
"""

import re
import string
import urllib.parse
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from seks_addon.errors import InputError

#: Characters of a prefix or pattern.
MAX_LENGTH: Final = 1024

#: RFC 3986 section 2.3.
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
# RFC 3986 section 3.3, and the brackets that some APIs have in their paths.
_WRITTEN = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]]|%[0-9A-Fa-f]{2})*")
#: What a server may decode of a path, one time after the other.
_DEPTH: Final = 3
#: An encoded octet as one character behind all that stand for themselves, so that no star takes half of it.
_ENCODED: Final = 0x100
_ENCODED_SLASH: Final = chr(_ENCODED + ord("/"))

type _Segment = tuple[str, ...]
type _Run = tuple[_Segment, ...]


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
    first, *others = _runs(pattern)
    segments = _folded(path).split("/")
    if not others:
        return len(segments) == len(first) and _run_fits(first, segments)
    *middle, last = others
    position, end = len(first), len(segments) - len(last)
    if position > end or not _run_fits(first, segments) or not _run_fits(last, segments[end:]):
        return False
    for run in middle:
        starts = range(position, end - len(run) + 1)
        found = next((start for start in starts if _run_fits(run, segments[start:])), None)
        if found is None:
            return False
        position = found + len(run)
    return True


@lru_cache(maxsize=1024)
def _runs(pattern: str) -> tuple[_Run, ...]:
    """The segments between the pattern's `**`, each as what stands between its stars."""
    runs: list[list[_Segment]] = [[]]
    for segment in _folded(pattern).split("/"):
        if segment == "**":
            runs.append([])
        else:
            runs[-1].append(tuple(segment.split("*")))
    return tuple(map(tuple, runs))


def _folded(path: str) -> str:
    """A canonical path with each encoded octet as one character."""
    return _ESCAPE.sub(lambda match: chr(_ENCODED + int(match[0][1:], 16)), path)


def _run_fits(run: _Run, segments: Sequence[str]) -> bool:
    return all(map(_segment_fits, run, segments))


def _segment_fits(literals: _Segment, segment: str) -> bool:
    first, *others = literals
    if not others:
        return segment == first
    *middle, last = others
    position, end = len(first), len(segment) - len(last)
    if not segment or position > end or not (segment.startswith(first) and segment.endswith(last)):
        return False
    for literal in middle:
        found = segment.find(literal, position, end)
        if found < 0:
            return False
        position = found + len(literal)
    # All others stand in the literals: so none is under a star.
    return segment.count(_ENCODED_SLASH) == sum(literal.count(_ENCODED_SLASH) for literal in literals)
