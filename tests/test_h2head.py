"""Heads of HTTP/2 requests: what HTTP/1.1 can say the same way, and nothing else."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.h2head import Field, read_head
from seks_addon.refusal import Refused

PSEUDO: list[Field] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"api.example.com"),
    (b":path", b"/v1?q=1"),
]


def instead(name: bytes, value: bytes) -> list[Field]:
    """The fields that every request begins with, one of them with another value."""
    return [(n, value if n == name else v) for n, v in PSEUDO]


def test_head() -> None:
    """Method, path and authority are taken over; the authority becomes the Host header."""
    head = read_head([*PSEUDO, (b"x-own", b"a \xff b"), (b"te", b"trailers")], ended=True)

    assert (head.method, head.authority, head.path) == (b"GET", b"api.example.com", b"/v1?q=1")
    assert head.fields == ((b"Host", b"api.example.com"), (b"x-own", b"a \xff b"), (b"te", b"trailers"))


def test_a_body_that_does_not_come() -> None:
    """A length without a body is no request: HTTP/1.1 would take the next one for it."""
    with pytest.raises(Refused, match="a body that doesn't come"):
        read_head([*PSEUDO, (b"content-length", b"10")], ended=True)


def test_any_order_of_the_first_four() -> None:
    """Their order says nothing."""
    assert read_head(PSEUDO[::-1], ended=True) == read_head(PSEUDO, ended=True)


def test_host() -> None:
    """A Host header that says the same is no second one."""
    assert read_head([*PSEUDO, (b"host", b"API.example.com")], ended=True).fields == ((b"Host", b"api.example.com"),)


def test_cookies_are_joined() -> None:
    """Cookies come in crumbs (RFC 9113 section 8.2.3) and are one header in HTTP/1.1, where the first stood."""
    crumbs = [(b"cookie", b"a=1"), (b"x-own", b"1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")]

    head = read_head([*PSEUDO, *crumbs], ended=True)

    assert head.fields[1:] == ((b"cookie", b"a=1; b=2; c=3"), (b"x-own", b"1"))


@pytest.mark.parametrize(
    ("fields", "ended", "chunked"),
    [
        ([], True, False),
        ([], False, True),
        ([(b"content-length", b"3")], False, False),
        ([(b"content-length", b"0")], True, False),
    ],
)
def test_framing(fields: list[Field], ended: bool, chunked: bool) -> None:
    """A body without a length is chunked in HTTP/1.1."""
    head = read_head([*PSEUDO, *fields], ended=ended)

    assert ((b"transfer-encoding", b"chunked") in head.fields) is chunked


@pytest.mark.parametrize(
    "fields",
    [
        [],
        *([field for field in PSEUDO if field[0] != name] for name, _ in PSEUDO),
        *([*PSEUDO, field] for field in PSEUDO),
        [(b":method", b"POST"), *PSEUDO],
        [*PSEUDO, (b":status", b"200")],
        [*PSEUDO, (b":protocol", b"websocket")],
        [*PSEUDO[:3], (b":", b""), PSEUDO[3]],
        [*PSEUDO[:3], (b"x-own", b"1"), PSEUDO[3]],
        [(b"x-own", b"1"), *PSEUDO],
    ],
)
def test_first_four(fields: list[Field]) -> None:
    """Each of the four is there once, before all others, and no fifth is."""
    refused(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b":method", b""),
        (b":method", b"CONNECT"),
        (b":method", b"GET /evil HTTP/1.1\r\nx:"),
        (b":method", b"GET /evil"),
        (b":scheme", b"http"),
        (b":scheme", b"HTTPS"),
        (b":scheme", b""),
        (b":authority", b""),
        (b":authority", b"api.example.com\r\nx-evil: 1"),
        (b":authority", b"api.example.com evil"),
        (b":authority", b"api.example.com\0"),
        (b":path", b""),
        (b":path", b"*"),
        (b":path", b"v1"),
        (b":path", b"https://api.example.com/v1"),
        (b":path", b"/v1 HTTP/1.1\r\nx-evil: 1\r\nx:"),
        (b":path", b"/v1 HTTP/1.1"),
        (b":path", b"/v1\n"),
        (b":path", b"/v1\t"),
        (b":path", b"/v1\0"),
        (b":path", b"/v\xff"),
    ],
)
def test_values_of_the_first_four(name: bytes, value: bytes) -> None:
    """What would end up in the request line as something else is refused."""
    refused(instead(name, value))


@pytest.mark.parametrize(
    "field",
    [
        (b"X-Own", b"1"),
        (b"", b"1"),
        (b"x own", b"1"),
        (b"x:own", b"1"),
        (b"x-own\r\nx-evil", b"1"),
        (b"x-own\0", b"1"),
        (b"x-own", b"1\r\nx-evil: 2"),
        (b"x-own", b"1\n"),
        (b"x-own", b"\0"),
        (b"x-own", b" 1"),
        (b"x-own", b"1\t"),
        (b"connection", b"x-own"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"te", b"trailers, gzip"),
        (b"te", b""),
    ],
)
def test_fields(field: Field) -> None:
    """A header that HTTP/1.1 would read as two, or that is about a connection, is refused."""
    refused([*PSEUDO, field])


@pytest.mark.parametrize("name", [b"host", b"te"])
def test_twice(name: bytes) -> None:
    """So is a second one of what there is one of."""
    value = b"trailers" if name == b"te" else b"api.example.com"
    refused([*PSEUDO, (name, value), (name, value)])


@pytest.mark.parametrize("host", [b"other.example.com", b"api.example.com:443", b""])
def test_another_host(host: bytes) -> None:
    """Host and :authority say the same."""
    with pytest.raises(Refused) as caught:
        read_head([*PSEUDO, (b"host", host)], ended=True)

    assert caught.value.code == "authority_mismatch"


PIECES = st.lists(
    st.sampled_from(
        [b"a", b"x-own", b"GET", b"/", b" ", b"\r\n", b"\n", b"\0", b":", b"\t", b"\x85", b"\xff", b"H", b"%0a"]
    ),
    max_size=4,
).map(b"".join)


@given(PIECES, PIECES, PIECES, st.lists(st.tuples(PIECES, PIECES), max_size=3))
def test_one_reading(method: bytes, path: bytes, authority: bytes, fields: list[Field]) -> None:
    """What is accepted is, written as HTTP/1.1, one request with exactly these headers."""
    pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", authority), (b":path", b"/" + path)]
    try:
        head = read_head([*pseudo, *fields], ended=True)
    except Refused:
        return

    lines = [b"%b %b HTTP/1.1" % (head.method, head.path), *(b"%b: %b" % field for field in head.fields), b"", b""]
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(b"\r\n".join(lines))
    request = parser.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (method, b"/" + path)
    assert [tuple(field) for field in request.headers.raw_items()] == list(head.fields)
    assert parser.next_event() is not h11.ERROR
    assert parser.trailing_data == (b"", False)


def refused(fields: list[Field]) -> None:
    with pytest.raises(Refused) as caught:
        read_head(fields, ended=True)

    assert caught.value.code == "request_malformed"
    assert "evil" not in caught.value.message
