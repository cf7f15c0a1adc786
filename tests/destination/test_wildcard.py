"""Wildcards in what a secret is bound to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.destination.host import HostPattern, Origin
from seks_addon.destination.wildcard import covering, parse_bound_origin
from seks_addon.errors import InputError

OWNED = ["example.com", "example.co.uk", "owner.github.io", "corp.internal", "xn--bcher-kva.example", "x.www.ck"]
LABELS = st.sampled_from(["a", "b", "xn--a", "example", "_srv", "0"])
PORTS = st.sampled_from([443, 8443])


def hosts() -> st.SearchStrategy[str]:
    """Names below those of one owner."""
    return st.builds(
        lambda labels, base: ".".join([*labels, base]), st.lists(LABELS, max_size=4), st.sampled_from(OWNED)
    )


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("API.example.com", Origin("api.example.com", 443)),
        ("*.Example.com", Origin("*.example.com", 443)),
        ("**.example.com.:8443", Origin("**.example.com", 8443)),
        ("*.example.co.uk", Origin("*.example.co.uk", 443)),
        ("*.owner.github.io", Origin("*.owner.github.io", 443)),
        ("**.bücher.example", Origin("**.xn--bcher-kva.example", 443)),
        ("*.corp.internal", Origin("*.corp.internal", 443)),
        ("github.io", Origin("github.io", 443)),
    ],
)
def test_parse(text: str, origin: Origin) -> None:
    """A wildcard stands before a host, with or without a port; it is printed as it is read."""
    assert parse_bound_origin(text) == origin
    assert parse_bound_origin(str(origin)) == origin


@pytest.mark.parametrize("wildcard", ["*.", "**."])
@pytest.mark.parametrize(
    "suffix",
    [
        "com",
        "COM.",
        "co.uk",
        "uk",
        "github.io",
        "kawasaki.jp",
        "x.kawasaki.jp",
        "ck",
        "internal",
        "xn--p1ai",
        "com:8443",
    ],
)
def test_public_suffix(wildcard: str, suffix: str) -> None:
    """A wildcard right below a public suffix is refused, also one of a company's, and one that is on no list."""
    with pytest.raises(InputError, match="strangers") as caught:
        parse_bound_origin(wildcard + suffix)

    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "**",
        "*.",
        "**.",
        "***.example.com",
        "*example.com",
        "a.*.example.com",
        "*.*.example.com",
        "*.127.0.0.1",
        "*.[::1]",
    ],
)
def test_no_wildcard(text: str) -> None:
    """A star stands for whole labels at the beginning of a name, and nowhere else."""
    with pytest.raises(InputError) as caught:
        parse_bound_origin(text)

    assert caught.value.hint


def test_covering() -> None:
    """The narrowest comes first."""
    covers = covering(Origin("a.b.example.com", 8443))

    assert [str(origin) for origin in covers] == [
        "a.b.example.com:8443",
        "*.b.example.com:8443",
        "**.b.example.com:8443",
        "**.example.com:8443",
    ]


@pytest.mark.parametrize("host", ["example.com", "com", "github.io", "localhost", "192.0.2.1", "2001:db8::1"])
def test_no_wildcard_covers(host: str) -> None:
    """What is a public suffix itself, right below one, or an address, is reached by its name alone."""
    assert covering(Origin(host, 443)) == (Origin(host, 443),)


def test_stops_at_a_public_suffix() -> None:
    """A wildcard ends where strangers have their names, even below the same company's: a bucket is anybody's."""
    covers = [origin.host for origin in covering(Origin("a.bucket.s3.amazonaws.com", 443))]

    assert covers == ["a.bucket.s3.amazonaws.com", "*.bucket.s3.amazonaws.com", "**.bucket.s3.amazonaws.com"]
    assert parse_bound_origin("**.amazonaws.com") in covering(Origin("sts.eu-west-1.amazonaws.com", 443))


@given(st.sampled_from(["", "*.", "**."]), hosts(), hosts(), PORTS, PORTS)
def test_agrees_with_patterns(wildcard: str, base: str, host: str, port: int, other: int) -> None:
    """What covers a host is what a pattern over hosts matches, at the same port."""
    bound = parse_bound_origin(f"{wildcard}{base}:{port}")

    covers = bound in covering(Origin(host, other))

    assert covers == (HostPattern.parse(wildcard + base).matches(host) and port == other)


@given(st.lists(LABELS, min_size=1, max_size=120), st.sampled_from(OWNED))
def test_is_bounded(labels: list[str], base: str) -> None:
    """A long name costs no more than its labels."""
    host = ".".join([*labels, base])[-253:].lstrip(".")

    assert len(covering(Origin(host, 443))) <= 128
