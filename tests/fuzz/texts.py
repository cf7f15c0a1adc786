"""Small languages: paths and their patterns, JSON pointers, tokens in a text."""

import contextlib
import json
from typing import Any

from seks_addon.errors import InputError
from seks_addon.placements.json_text import Document
from seks_addon.policy.paths import canonical_path, fits, is_ambiguous, is_below, parse_pattern, parse_prefix
from seks_addon.tokens import find_lookalikes, is_token, redact
from tests.fuzz.marks import TOKENS, spelt
from tests.samples import OTHER_TOKEN, TOKEN
from tests.support.patterns import reads_as, split

#: The plain reading tries everything that stars may stand for.
_SHORT = 24


def path(data: bytes) -> None:
    """A pattern fits what the plain reading of its rules says, and never what a server reads otherwise."""
    written, requested = [*data.decode("latin-1").split("\n", 1), ""][:2]
    seen = canonical_path(requested)
    assert canonical_path(seen) == seen
    is_ambiguous(requested)
    with contextlib.suppress(InputError):
        prefix = parse_prefix(written)
        assert parse_prefix(prefix) == prefix
        assert is_below(prefix, prefix)
        assert is_below(prefix, seen) == (
            f"{seen}/".startswith(f"{prefix.removesuffix('/')}/") and len(seen) >= len(prefix)
        )
    with contextlib.suppress(InputError):
        pattern = parse_pattern(written)
        assert parse_pattern(pattern) == pattern
        allowed = fits(pattern, seen)
        if len(pattern) <= _SHORT and len(seen) <= _SHORT and pattern.count("*") <= 6:
            assert allowed == reads_as(split(pattern), split(seen)), "another reading"


def json_text(data: bytes) -> None:
    """What a pointer leads to is what JSON says is there, and nothing else changes with it."""
    pointer, text = [*spelt(data, TOKENS).decode("utf-8", "replace").split("\n", 1), ""][:2]
    keys = pointer.split("/")
    try:
        start, end = Document(text).find(keys)
    except LookupError:
        _loads(text)
        return
    except (ValueError, RecursionError):
        return
    whole = inner = _loads(text)
    *way, last = keys
    for key in way:
        inner = inner[key if isinstance(inner, dict) else int(key)]
    place = last if isinstance(inner, dict) else int(last)
    assert inner[place] == json.loads(text[start:end])
    inner[place] = "another"
    assert _loads(text[:start] + '"another"' + text[end:]) == whole


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def token(data: bytes) -> None:
    """Every token is found wherever it stands, and none is left in what goes to a log."""
    text = spelt(data, TOKENS).decode("latin-1")
    found = find_lookalikes(text)
    assert all(one in text for one in found)
    assert not find_lookalikes(redact(text))
    if b"\x02" in data and OTHER_TOKEN[-39:].encode() not in data:
        assert OTHER_TOKEN[-39:] not in redact(text), "a part of a token is left"
    for one in filter(is_token, found):
        assert find_lookalikes(one) == [one]
    if data.startswith(b"\x01") and not (text[len(TOKEN) : len(TOKEN) + 1] or " ").isalnum():
        assert found[0] == TOKEN
