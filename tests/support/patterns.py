"""The rules of path patterns, word by word: slow, and written apart from the code under test."""

import re


def split(text: str) -> list[list[str]]:
    """Segments, each as a list of characters, escapes, and stars."""
    return [re.findall(r"%..|\*\*|.", segment, re.DOTALL) for segment in text.split("/")]


def reads_as(pattern: list[list[str]], path: list[list[str]]) -> bool:
    """Try everything that stars may stand for."""
    if not pattern:
        return not path
    if pattern[0] == ["**"]:
        return any(reads_as(pattern[1:], path[taken:]) for taken in range(len(path) + 1))
    if not path:
        return False
    return _segment_reads_as(pattern[0], path[0]) and reads_as(pattern[1:], path[1:])


def _segment_reads_as(pattern: list[str], segment: list[str]) -> bool:
    if "*" in pattern and not segment:
        return False
    return _characters_read_as(pattern, segment)


def _characters_read_as(pattern: list[str], segment: list[str]) -> bool:
    if not pattern:
        return not segment
    if pattern[0] == "*":
        return any(
            _characters_read_as(pattern[1:], segment[taken:])
            for taken in range(len(segment) + 1)
            if "%2F" not in segment[:taken]
        )
    return bool(segment) and segment[0] == pattern[0] and _characters_read_as(pattern[1:], segment[1:])
