"""Host names in their one canonical form, and patterns over them."""

import contextlib
import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.destination.host import (
    HostPattern,
    Origin,
    canonical_host,
    is_address,
    is_loopback,
    parse_origin,
    parse_user_origin,
)
from seks_addon.errors import InputError

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,6}[a-z0-9])?", fullmatch=True)
#: Without those whose last label is a number in some resolver's eyes.
NAMES = (
    st.lists(LABELS, min_size=1, max_size=4)
    .filter(lambda labels: not re.fullmatch(r"0x[0-9a-f]*|[0-9]+", labels[-1]))
    .map(".".join)
)
ADDRESSES = st.ip_addresses().map(str)
#: Texts that come near to hosts: every piece that some resolver reads in a way of its own.
PIECES = [".", "..", "-", "_", "a", "A", "example", "com", "127", "0x7f", "017", "1", "256", ":", "::", "[", "]", "%"]
PIECES += ["/", "@", " ", "\t", "\0", "\n", "é", "\u212a", "。", "１", "*", "443", "0", "ffff", "xn--", "?", "#", "\\"]
NEAR_HOSTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=20) | NAMES | ADDRESSES


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
        ("a_b.example.com", "a_b.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.example.com", "1.example.com"),
        ("0x7f.example", "0x7f.example"),
        ("a" * 63 + ".com", "a" * 63 + ".com"),
        (".".join(["a" * 49] * 5) + ".com", ".".join(["a" * 49] * 5) + ".com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    """Case, a trailing dot, brackets and the ways to write an IPv6 address make no difference."""
    assert canonical_host(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "example..com",
        ".example.com",
        "example.com..",
        "-a.example.com",
        "a-.example.com",
        "a" * 64 + ".com",
        ".".join(["a" * 49] * 5) + ".commm",
        "exa mple.com",
        " example.com",
        "example.com\n",
        "example.com\0",
        "user@example.com",
        "example.com/x",
        "example.com:443",
        "*.example.com",
        "exämple.com",
        "\u212aelvin.example",
        "example。com",
        "１２７.0.0.1",
        # Addresses as only some resolvers read them.
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.01",
        "127.0.0.0x1",
        "1.2.3.4.5",
        "256.0.0.1",
        "example.0x",
        "example.1",
        "1",
        "0x",
        # IPv6 that isn't.
        "[127.0.0.1]",
        "[example.com]",
        "[::1",
        "::1]",
        "[]",
        ":",
        ":::",
        "1::2::3",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "[::1].",
    ],
)
def test_no_host(text: str) -> None:
    """What some program would read in another way is no host; the message doesn't quote it."""
    with pytest.raises(InputError) as caught:
        canonical_host(text)

    assert not text.strip(".:[]") or text not in caught.value.message


@given(NEAR_HOSTS)
def test_canonical_of_any_text(text: str) -> None:
    """Any text is refused or has a form that is its own form: plain ASCII in lower case, without a dot at its end."""
    try:
        host = canonical_host(text)
    except InputError:
        return

    assert canonical_host(host) == host
    assert canonical_host(host.upper()) == host
    assert re.fullmatch(r"[a-z0-9._:-]+", host)
    assert not host.endswith(".")
    assert is_address(host) == (":" in host or bool(re.fullmatch(r"[0-9.]+", host)))


@given(NAMES)
def test_names_are_taken(name: str) -> None:
    """Every ordinary name is its own form."""
    assert canonical_host(name) == name
    assert canonical_host(name.upper() + ".") == name
    assert not is_address(name)


@given(st.ip_addresses())
def test_addresses_are_taken(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Every address in its usual forms names the same host."""
    assert canonical_host(str(address)) == str(address)
    assert canonical_host(address.exploded.upper()) == str(address)
    assert is_address(str(address))


@given(NEAR_HOSTS | st.builds("{}:{}".format, NEAR_HOSTS, st.integers(-1, 99999)), st.sampled_from([443, None, 80]))
def test_origin_of_any_text(text: str, default: int | None) -> None:
    """Any text is refused or an origin that is read back from what is printed."""
    try:
        origin = parse_origin(text, default)
    except InputError:
        return

    assert canonical_host(origin.host) == origin.host
    assert 1 <= origin.port <= 65535
    assert parse_origin(str(origin)) == origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("Example.com", Origin("example.com", 443)),
        ("example.com:8443", Origin("example.com", 8443)),
        ("example.com.:443", Origin("example.com", 443)),
        ("127.0.0.1:1", Origin("127.0.0.1", 1)),
        ("[::1]", Origin("::1", 443)),
        ("[::1]:65535", Origin("::1", 65535)),
        ("::1", Origin("::1", 443)),
        ("example.com:00443", Origin("example.com", 443)),
    ],
)
def test_origin(text: str, origin: Origin) -> None:
    """A host, and a port where there is one."""
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:-1",
        "example.com:+1",
        "example.com:4_3",
        "example.com:4 3",
        "example.com:٣",
        "example.com:443:443",
        "example.com:443 ",
        ":443",
        "[::1]443",
        "[::1]:",
        "a[::1]",
        "user@example.com:443",
        "https://example.com",
        "",
    ],
)
def test_no_origin(text: str) -> None:
    """A port is a number from 1 to 65535 behind one colon."""
    with pytest.raises(InputError):
        parse_origin(text)


def test_origin_without_a_default() -> None:
    """Where no port is usual, one must be given."""
    assert parse_origin("example.com:443", None) == Origin("example.com", 443)

    with pytest.raises(InputError, match="port"):
        parse_origin("example.com", None)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("Bücher.example", Origin("xn--bcher-kva.example", 443)),
        ("bücher.example:8443", Origin("xn--bcher-kva.example", 8443)),
        ("例え。テスト", Origin("xn--r8jz45g.xn--zckzah", 443)),
        ("example.com:1", Origin("example.com", 1)),
    ],
)
def test_what_a_person_types(text: str, origin: Origin) -> None:
    """International names are put into the form that they have on the wire."""
    assert parse_user_origin(text) == origin


@given(NEAR_HOSTS)
def test_what_a_person_types_may_be_anything(text: str) -> None:
    """Any text is an origin or refused with a hint."""
    try:
        origin = parse_user_origin(text)
    except InputError as error:
        assert error.hint  # noqa: PT017
    else:
        assert canonical_host(origin.host) == origin.host


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("example.com", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only this machine's own addresses are."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("example.com", "example.com", True),
        ("Example.COM.", "example.com", True),
        ("example.com", "a.example.com", False),
        ("example.com", "badexample.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "a.badexample.com", False),
        ("**.example.com", "a.example.com", True),
        ("**.example.com", "a.b.example.com", True),
        ("**.example.com", "example.com", False),
        ("**.example.com", "badexample.com", False),
        ("*.com", "example.com", True),
        ("*.bücher.example", "a.xn--bcher-kva.example", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        ("[2001:DB8::1]", "2001:db8::1", True),
        ("2001:db8::1", "2001:db8::1", True),
        ("*", "anything.example", True),
        ("**", "192.0.2.1", True),
        ("*", "::1", True),
    ],
)
def test_patterns(pattern: str, host: str, covered: bool) -> None:
    """One star is one label, two are one or more, none is the host itself."""
    assert HostPattern.parse(pattern).matches(host) is covered


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*.",
        "**.",
        "***",
        "*.*",
        "*.*.example.com",
        "a.*.example.com",
        "a*.example.com",
        "*example.com",
        "*..example.com",
        "*.192.0.2.1",
        "**.192.0.2.1",
        "*.[2001:db8::1]",
        "*.1",
        "example.com:443",
        "*.example.com:443",
        "[2001:db8::1]:443",
        "https://example.com",
        "exam ple.com",
    ],
)
def test_no_pattern(text: str) -> None:
    """Stars stand in front only, addresses take none, and a port would be promised for nothing."""
    with pytest.raises(InputError):
        HostPattern.parse(text)


@given(NAMES, LABELS, LABELS, NAMES)
def test_pattern_properties(name: str, one: str, two: str, other: str) -> None:
    """Names below, beside and above a pattern's, for any name."""
    exact, single, deep = (HostPattern.parse(prefix + name) for prefix in ("", "*.", "**."))

    assert [p.matches(name) for p in (exact, single, deep)] == [True, False, False]
    assert [p.matches(f"{one}.{name}") for p in (exact, single, deep)] == [False, True, True]
    assert [p.matches(f"{one}.{two}.{name}") for p in (exact, single, deep)] == [False, False, True]
    assert [p.matches(f"{one}{name}") for p in (exact, single, deep)] == [False, name == f"{one}{name}", False]
    if not f".{other}".endswith(f".{name}"):
        assert not any(p.matches(other) for p in (exact, single, deep))


@given(NEAR_HOSTS | NEAR_HOSTS.map("*.".__add__) | NEAR_HOSTS.map("**.".__add__), NAMES | ADDRESSES)
def test_any_pattern(text: str, host: str) -> None:
    """Any text is refused or a pattern that reads as itself; it can be asked about any host."""
    with contextlib.suppress(InputError):
        pattern = HostPattern.parse(text)

        assert HostPattern.parse(pattern.text) == pattern
        assert pattern.matches(host) in {True, False}
