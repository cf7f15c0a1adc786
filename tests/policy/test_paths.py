"""Paths in one spelling, prefixes and patterns over them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.policy.paths import (
    MAX_LENGTH,
    canonical_path,
    fits,
    is_ambiguous,
    is_below,
    parse_pattern,
    parse_prefix,
)
from tests.support.patterns import reads_as, split

#: What a path is made of, encoded octets among it, and few enough of each that they meet.
PIECES = st.sampled_from(["a", "b", "A", "/", ".", "%2F", "%3A", ":", "%C3", "2", "F"])
PATHS = st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces))
PATTERNS = st.lists(PIECES | st.sampled_from(["*", "/**", "/**/", "/**/a", "/*/"]), max_size=10).map(
    lambda pieces: "/" + "".join(pieces)
)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/v1/%6dodels", "/v1/models"),
        ("/v1/%6Dodels", "/v1/models"),
        ("/%7e%2D%5f%2e", "/~-_."),
        ("/a%2fb%3a", "/a%2Fb%3A"),
        ("/a:b", "/a:b"),
        ("/%c3%a9", "/%C3%A9"),
        ("/%2541", "/%2541"),
        ("/%%341", "/%2541"),
        ("/100%", "/100%25"),
        ("/%zz", "/%25zz"),
    ],
)
def test_canonical_path(path: str, canonical: str) -> None:
    """What needs no encoding loses it, other escapes are in upper case, and what encodes nothing is encoded."""
    assert canonical_path(path) == canonical


@given(st.text(st.sampled_from("/%2f5AaFx.") | st.characters()))
def test_canonical_path_of_a_canonical_path(path: str) -> None:
    """A canonical path stays as it is, whatever it was made from."""
    assert canonical_path(canonical_path(path)) == canonical_path(path)


@pytest.mark.parametrize(
    ("path", "ambiguous"),
    [
        ("/", False),
        ("/v1/models/", False),
        ("/v1//models", True),
        ("//v1", True),
        ("/v1/models//", True),
        ("/v1;a=b/models", True),
        ("/v1/models;", True),
        ("/v1/models%3B", True),
        ("/v1/models%253B", True),
        ("/v1/%2Fmodels", True),
        ("/a%2F%2Fb", True),
        ("/a%2Fb", False),
        ("/a%252Fb", True),
        ("/a\\b", True),
        ("/a%255Cb", True),
        ("/100%25", False),
        ("/100%2520off", False),
        ("/%25252525", True),
    ],
)
def test_is_ambiguous(path: str, ambiguous: bool) -> None:
    """Empty segments, parameters, and slashes that only some servers see make a path ambiguous, in any encoding."""
    assert is_ambiguous(path) is ambiguous


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/v1/models", "/v1/models", True),
        ("/v1/models", "/v1/models/", False),
        ("/v1/models", "/v1/models/x", False),
        ("/v1/models", "/V1/models", False),
        ("/v1/models/*", "/v1/models/gpt-test", True),
        ("/v1/models/*", "/v1/models", False),
        ("/v1/models/*", "/v1/models/", False),
        ("/v1/models/*", "/v1/models/a/b", False),
        ("/v1/models/*", "/v1/models/a/", False),
        ("/v1/models/*", "/x/v1/models/a", False),
        ("/v1/models/gpt-*", "/v1/models/gpt-4", True),
        ("/v1/models/gpt-*", "/v1/models/gpt-", True),
        ("/v1/models/gpt-*", "/v1/models/Gpt-4", False),
        ("/v1/models/gpt-*", "/v1/models/xgpt-4", False),
        ("/f/*.json", "/f/a.json", True),
        ("/f/*.json", "/f/a.json.txt", False),
        ("/f/*a*a*", "/f/aa", True),
        ("/f/*a*a*", "/f/a", False),
        ("/f/ab*ba", "/f/aba", False),
        ("/f/ab*ba", "/f/abba", True),
        ("/repos/*/*/issues", "/repos/a/b/issues", True),
        ("/repos/*/*/issues", "/repos/a/issues", False),
        ("/repos/*/*/issues", "/repos/a/b/c/issues", False),
        ("/repos/acme/**", "/repos/acme", True),
        ("/repos/acme/**", "/repos/acme/", True),
        ("/repos/acme/**", "/repos/acme/a/b/c", True),
        ("/repos/acme/**", "/repos/acmex", False),
        ("/repos/acme/**", "/repos/acme%2Fa", False),
        ("/**", "/", True),
        ("/**", "/a/b", True),
        ("/**/issues", "/issues", True),
        ("/**/issues", "/a/b/issues", True),
        ("/**/issues", "/a/b/issues/1", False),
        ("/a/**/b/**/c", "/a/b/c", True),
        ("/a/**/b/**/c", "/a/x/b/y/z/c", True),
        ("/a/**/b/**/c", "/a/x/c/y/b", False),
        ("/a/**/a", "/a", False),
        ("/a/**/**/b", "/a/b", True),
        ("/**/a/**/a/**", "/a", False),
        ("/**/a/**/a/**", "/x/a/y/a", True),
        # An encoded slash is no separator, and no star stands for it.
        ("/projects/*/issues", "/projects/a%2Fb/issues", False),
        ("/projects/*%2F*/issues", "/projects/a%2Fb/issues", True),
        ("/projects/*%2F*/issues", "/projects/a/b/issues", False),
        ("/projects/*%2F*/issues", "/projects/a%2Fb%2Fc/issues", False),
        ("/projects/a%2Fb", "/projects/a/b", False),
        ("/projects/**", "/projects/a%2Fb/issues", True),
        # A token in the path is judged without its name.
        ("/bot{}/send*", "/bot{}/sendMessage", True),
        # A star never stands for a part of an encoded octet.
        ("/f/*20x", "/f/%20x", False),
        ("/f/*2F", "/f/a%2F", False),
        ("/f/*x", "/f/%20x", True),
    ],
)
def test_fits(pattern: str, path: str, allowed: bool) -> None:
    """One star stays in its segment, two take any number of them, all else is literal."""
    assert fits(parse_pattern(pattern), path) is allowed


@pytest.mark.parametrize("path", ["/v1/%6dodels", "/%76%31/models", "/v1/model%73", "/v1/models"])
def test_spellings_are_equal(path: str) -> None:
    """A path is judged by what it means, and so are prefixes and patterns."""
    for allowed in ("/v1/models", "/%761/mode%6cs"):
        assert fits(parse_pattern(allowed), canonical_path(path))
        assert is_below(parse_prefix(allowed), canonical_path(path))


@pytest.mark.parametrize(
    "text",
    [
        *("", "v1", "*", "https://x/", "/a?b=c", "/a#b", "/é", "/a\n", "/a b", "/{id}", "/%zz", "/a%"),
        *("/v1//a", "/v1;a", "/a%3bb", "/a/../b", "/a/%2e/b", "/a%252fb", "/" + "a" * MAX_LENGTH),
    ],
)
def test_what_no_path_has(text: str) -> None:
    """A prefix or pattern that no allowed path could ever be is refused when it is typed."""
    with pytest.raises(InputError, match="no path prefix"):
        parse_prefix(text)
    with pytest.raises(InputError, match="no path pattern"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["/a**", "/**a", "/***", "/a/x**y/b"])
def test_two_stars_are_a_segment(text: str) -> None:
    """Two stars stand alone in a segment."""
    with pytest.raises(InputError, match="no path pattern"):
        parse_pattern(text)


def test_a_star_in_a_prefix() -> None:
    """Who writes a pattern as a prefix is told so."""
    with pytest.raises(InputError) as caught:
        parse_prefix("/v1/*")
    assert "--path" in (caught.value.hint or "")


def respelt(path: str, choices: list[int]) -> str:
    """The path in an equivalent spelling: characters that need no encoding encoded, escapes in lower case."""
    pieces = re.findall(r"%..|.", path)
    how = dict(enumerate(choices))
    return "".join(
        (piece, piece.lower(), piece)[how.get(place, 0)]
        if piece[0] == "%"
        else (piece, f"%{ord(piece):02x}", f"%{ord(piece):02X}")[how.get(place, 0) if piece.isalnum() else 0]
        for place, piece in enumerate(pieces)
    )


@given(
    PATTERNS.filter(lambda text: not re.search(r"\*{3}|[^/]\*\*|\*\*[^/]", text)), PATHS, st.lists(st.integers(0, 2))
)
def test_every_spelling_and_no_other(pattern: str, path: str, choices: list[int]) -> None:
    """What fits is what a plain reading of the pattern says, in every equivalent spelling of both."""
    expected = reads_as(split(pattern), split(path))

    assert fits(pattern, canonical_path(path)) is expected
    assert fits(canonical_path(respelt(pattern, choices)), canonical_path(respelt(path, choices))) is expected


@given(PATHS, PATHS, st.lists(st.integers(0, 2)))
def test_every_spelling_below_a_prefix(prefix: str, path: str, choices: list[int]) -> None:
    """What is below a prefix is so in every equivalent spelling of both."""
    expected = (path + "/").startswith(prefix.removesuffix("/") + "/") and len(path) >= len(prefix)

    assert is_below(prefix, path) is expected
    assert is_below(respelt(prefix, choices), canonical_path(respelt(path, choices))) is expected


def test_no_pattern_takes_long() -> None:
    """What makes a backtracking matcher take a lifetime is answered."""
    for pattern, path in (
        ("/" + "*a" * 500 + "b", "/" + "a" * 60_000),
        ("/**/a" * 200 + "/b", "/a" * 30_000),
        ("/**" + "/a" * 500 + "/b/**", "/a" * 30_000),
        ("/**/" + "*a" * 200 + "/**/b", ("/" + "a" * 300) * 200),
    ):
        assert not fits(pattern, path)
