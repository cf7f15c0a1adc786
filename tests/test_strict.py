"""The head of a request, and what must hold for one that carries a token."""

import re
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.head import Head
from seks_addon.policy import METHODS
from seks_addon.refusal import Refused
from seks_addon.strict import (
    HOP_BY_HOP,
    MAX_HEAD,
    MAX_HEADERS,
    STRIPPED_WITH_TOKEN,
    check_framing,
    check_with_token,
    strip_for_token,
    strip_hop_by_hop,
)

HOST = ("Host", "api.example.com")


def head(*headers: tuple[str, str], method: str = "GET", target: str = "/v1", version: str = "HTTP/1.1") -> Head:
    return Head(method, target, version, (HOST, *headers))


def code_of(caught: pytest.ExceptionInfo[Refused]) -> str:
    return caught.value.code


def test_parts_of_a_head() -> None:
    """Path and query are parted at the first question mark; a header is found in any case."""
    parsed = head(("X-One", "1"), ("x-ONE", "2"), target="/a/b?c=d?e")

    assert (parsed.path, parsed.query) == ("/a/b", "c=d?e")
    assert parsed.values("x-one") == ["1", "2"]
    assert parsed.without(["x-one"]).headers == (HOST,)
    assert head(target="/a").query == ""


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Content-Length", "0")],
        [("Content-Length", "123456789012345678")],
        [("Transfer-Encoding", "Chunked")],
        [("X-Tab", "a\tb"), ("X-Latin", "\xe9\xff"), ("!#$%&'*+-.^_`|~0aZ", "")],
    ],
)
def test_framing_passes(headers: list[tuple[str, str]]) -> None:
    """What can be read in one way only passes."""
    check_framing(head(*headers))


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "1"), ("Content-Length", "1")],
        [("Content-Length", "1"), ("content-length", "2")],
        [("Content-Length", "1"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", " chunked")],
        [("Transfer-Encoding", "")],
        [("Content-Length", "")],
        [("Content-Length", "+1")],
        [("Content-Length", "-1")],
        [("Content-Length", "0x1")],
        [("Content-Length", "1, 1")],
        [("Content-Length", "1 ")],
        [("Content-Length", "1_0")],
        [("Content-Length", "\xb2")],
        [("Content-Length", "1" * 19)],
        [("", "x")],
        [("X Y", "x")],
        [("X:", "x")],
        [("X\t", "x")],
        [(" X", "x")],
        [("X\n", "x")],
        [("\xe9", "x")],
        *([("X", f"a{chr(number)}b")] for number in (*range(9), *range(10, 32), 127)),
    ],
)
def test_framing_refuses(headers: list[tuple[str, str]]) -> None:
    """What two programs might read in two ways is refused, token or not."""
    with pytest.raises(Refused) as caught:
        check_framing(head(*headers))

    assert code_of(caught) == "request_malformed"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9"])
def test_chunked_is_of_one_version(version: str) -> None:
    """Only HTTP/1.1 has transfer codings."""
    with pytest.raises(Refused) as caught:
        check_framing(head(("Transfer-Encoding", "chunked"), version=version))

    assert code_of(caught) == "request_malformed"


@pytest.mark.parametrize(
    ("parsed", "fits"),
    [
        (head(*[("X", "")] * (MAX_HEADERS - 1)), True),
        (head(*[("X", "")] * MAX_HEADERS), False),
        (head(("X", "a" * (MAX_HEAD - 40))), True),
        (head(("X", "a" * MAX_HEAD)), False),
        (head(("X" * MAX_HEAD, "a")), False),
        (head(target="/" * (MAX_HEAD - 40)), True),
        (head(target="/" * MAX_HEAD), False),
        (head(method="X" * MAX_HEAD), False),
    ],
)
def test_sizes(parsed: Head, fits: bool) -> None:
    """Too many headers, or too many bytes in any part, are refused."""
    if fits:
        check_framing(parsed)
    else:
        with pytest.raises(Refused) as caught:
            check_framing(parsed)
        assert code_of(caught) == "headers_too_large"


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ([(name.title(), "x") for name in sorted(HOP_BY_HOP - {"connection"})], []),
        ([("Connection", "keep-alive"), ("X-One", "1")], [("X-One", "1")]),
        ([("Connection", "X-One , x-TWO"), ("x-one", "1"), ("X-Two", "2"), ("X-Three", "3")], [("X-Three", "3")]),
        ([("Connection", "a"), ("Connection", "b"), ("A", "1"), ("B", "2")], []),
        ([("Connection", ",, ,")], []),
        ([("Transfer-Encoding", "chunked"), ("Upgrade", "h2c")], [("Transfer-Encoding", "chunked")]),
    ],
)
def test_strip_hop_by_hop(headers: list[tuple[str, str]], left: list[tuple[str, str]]) -> None:
    """The headers of one hop go, and those that Connection names."""
    assert strip_hop_by_hop(head(*headers)).headers == (HOST, *left)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Authorization", "cookie"])
def test_connection_names_no_other(name: str) -> None:
    """Connection can't take away what says where a request goes, who sends it, or where it ends."""
    with pytest.raises(Refused) as caught:
        strip_hop_by_hop(head(("Connection", f"close, {name} ")))

    assert code_of(caught) == "request_malformed"


def test_strip_for_token() -> None:
    """With a token, ranges, trailers and method overrides go."""
    parsed = head(*((name.title(), "x") for name in sorted(STRIPPED_WITH_TOKEN)), ("Accept", "*/*"))

    assert strip_for_token(parsed).headers == (HOST, ("Accept", "*/*"))
    assert {"range", "if-range", "x-http-method-override"} <= STRIPPED_WITH_TOKEN


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1/chat/completions",
        "/v1//x",
        "/a;b=c/d@e:f,g(h)!$&'*+~-_.",
        "/a%20b%C3%A9",
        "/...",
        "/.well-known/x",
        "/a/..b",
        "/a/b..",
        "/x?q=../..&r=%2F/./[a]|",
    ],
)
def test_target_passes(target: str) -> None:
    """A path of plain and percent-encoded characters passes; dots in names and in the query are none of its."""
    check_with_token(head(target=target), [], encoded_slash=False)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "v1",
        "https://api.example.com/v1",
        "/.",
        "/..",
        "/../x",
        "/a/./b",
        "/a/../b",
        "/a/..",
        "/a/../",
        "/a/%2e%2e/b",
        "/a/..;/b",
        "/a/.%2e;x/b",
        "/a/%252e%252e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/a/%2e",
        "/%2e?x",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/a\\b",
        "/a b",
        "/a\tb",
        "/a\nb",
        "/a%00",
        "/a%0a",
        "/a%0D",
        "/a%1f",
        "/a%7F",
        "/a?b=%00",
        "/a?b=%0d%0aX",
        "/a?b c",
        "/a#b",
        "/a%",
        "/a%2",
        "/a%zz",
        "/\xe9",
        '/"',
        "/<",
        "/a`",
        "/{a}",
        "/a\x7f",
    ],
)
def test_target_refused(target: str) -> None:
    """A path that two programs might read in two ways carries no token."""
    with pytest.raises(Refused) as caught:
        check_with_token(head(target=target), [], encoded_slash=False)

    assert code_of(caught) == "request_malformed"


@pytest.mark.parametrize("target", ["/projects/a%2Fb", "/projects/a%2fb?c"])
def test_encoded_slash_where_the_api_needs_it(target: str) -> None:
    """An endpoint may admit the encoded slash; dot segments stay refused."""
    check_with_token(head(target=target), [], encoded_slash=True)

    with pytest.raises(Refused):
        check_with_token(head(target=target.replace("/projects", "/projects/..")), [], encoded_slash=True)


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "http/1.1", ""])
def test_version(version: str) -> None:
    """A token travels in HTTP/1.1 only."""
    with pytest.raises(Refused) as caught:
        check_with_token(head(version=version), [], encoded_slash=False)

    assert code_of(caught) == "request_malformed"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "Get", "GET ", "", "PRI", "GET\r\nX"])
def test_method(method: str) -> None:
    """A token is used with methods of the list, in upper case."""
    with pytest.raises(Refused) as caught:
        check_with_token(head(method=method), [], encoded_slash=False)

    assert code_of(caught) == "request_malformed"


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_the_list(method: str) -> None:
    """Each method of the list passes."""
    check_with_token(head(method=method), [], encoded_slash=False)


def test_claimed_header_is_single() -> None:
    """The header that carries the token is there once; others may repeat."""
    repeated = (("X-Key", "a"), ("Accept", "b"), ("Accept", "c"))

    check_with_token(head(*repeated), [1], encoded_slash=False)

    with pytest.raises(Refused) as caught:
        check_with_token(head(*repeated, ("x-kEy", "d")), [1], encoded_slash=False)
    assert code_of(caught) == "request_malformed"


TEXTS = st.text(st.characters(max_codepoint=255), max_size=12)
NAMES = TEXTS | st.sampled_from(
    ["Host", "Connection", "content-length", "Transfer-Encoding", "Range", "TE", "X-A", "Authorization"]
)
VALUES = TEXTS | st.sampled_from(["chunked", "5", "x-a, te", "authorization", "close"])
PIECES = ["/", ".", "..", "%2e", "%2E", "%2f", "%5C", "a", "v1", "?", "%00", "%7f", " ", "\\", "\xe9", "%", "%zz", ";"]
TARGETS = TEXTS | st.lists(st.sampled_from(PIECES), max_size=8).map("".join).map("/".__add__)


@given(
    st.sampled_from(["GET", "POST", "TRACE"]) | TEXTS,
    TARGETS,
    st.sampled_from(["HTTP/1.1", "HTTP/2.0", ""]),
    st.lists(st.tuples(NAMES, VALUES), max_size=8),
)
def test_any_head_is_passed_or_refused(method: str, target: str, version: str, headers: list[tuple[str, str]]) -> None:
    """Nothing but `Refused` comes out, and what passes has none of the headers that were to go."""
    parsed = Head(method, target, version, tuple(headers))

    try:
        check_framing(parsed)
        stripped = strip_for_token(strip_hop_by_hop(parsed))
        check_with_token(stripped, range(len(stripped.headers)), encoded_slash=False)
    except Refused:
        return

    names = [name.lower() for name, _ in stripped.headers]
    assert len(set(names)) == len(names)
    assert not set(names) & (HOP_BY_HOP | STRIPPED_WITH_TOKEN)


@given(TARGETS)
def test_a_path_that_passes_means_what_it_says(target: str) -> None:
    """Decoded, it has the segments that it seems to have, and none that climbs or hides."""
    try:
        check_with_token(head(target=target), [], encoded_slash=False)
    except Refused:
        return

    path = target.partition("?")[0]
    decoded = urllib.parse.unquote(path, "latin-1")
    assert decoded.count("/") == path.count("/")
    assert not {".", ".."} & set(re.split(r"[/\\]", decoded))
    assert not re.search(r"[\x00-\x1f\x7f\\]", decoded)


def test_a_path_that_is_encoded_again_and_again() -> None:
    """Looking for dot segments comes to an end: nobody encodes so often for a good reason."""
    with pytest.raises(Refused) as caught:
        check_with_token(head(target="/%" + "25" * 20_000 + "41"), [], encoded_slash=False)

    assert code_of(caught) == "request_malformed"
