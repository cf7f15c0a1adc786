"""One authority, named the same everywhere."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.destination.authority import check_request, check_server_name, connect_origin
from seks_addon.destination.host import Origin
from seks_addon.refusal import Refused

ORIGIN = Origin("api.example.com", 443)


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("api.example.com:443", ORIGIN),
        ("API.example.com.:443", ORIGIN),
        ("[::1]:8443", Origin("::1", 8443)),
        ("127.0.0.1:80", Origin("127.0.0.1", 80)),
    ],
)
def test_connect(target: str, origin: Origin) -> None:
    """A tunnel's target is a host and a port."""
    assert connect_origin(target) == origin


@pytest.mark.parametrize(
    "target",
    ["", "api.example.com", "api.example.com:", ":443", "user@api.example.com:443", "api.example.com:443/"],
)
def test_connect_to_nothing(target: str) -> None:
    """Without a port, or with more than host and port, it is none; the refusal doesn't quote it."""
    with pytest.raises(Refused) as caught:
        connect_origin(target)

    assert caught.value.code == "request_malformed"
    assert "example" not in caught.value.message


@pytest.mark.parametrize("target", ["127.1:80", "2130706433:443", "0x7f.1:443", "017700000001:443", "1.2.3:443"])
def test_connect_to_an_odd_address(target: str) -> None:
    """An address in a spelling that only some resolvers read is refused as an address."""
    with pytest.raises(Refused) as caught:
        connect_origin(target)

    assert caught.value.code == "address_blocked"


@pytest.mark.parametrize("name", ["api.example.com", "API.Example.COM", "api.example.com."])
def test_server_name(name: str) -> None:
    """The TLS server name is the tunnel's host, in any case."""
    check_server_name(ORIGIN, name)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.example.com", None),
        ("api.example.com", ""),
        ("api.example.com", "evil.example.com"),
        ("api.example.com", "example.com"),
        ("api.example.com", "x.api.example.com"),
        ("api.example.com", "api.example.com:443"),
        ("api.example.com", "api.example.com\0"),
        ("api.example.com", "*.example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "api.example.com"),
        ("::1", "::1"),
        ("127.0.0.1", ""),
    ],
)
def test_another_server_name(host: str, name: str | None) -> None:
    """None, another, or one for an address is refused, and not quoted."""
    with pytest.raises(Refused) as caught:
        check_server_name(Origin(host, 443), name)

    assert caught.value.code == "authority_mismatch"
    assert "evil" not in caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_address_without_a_server_name(host: str) -> None:
    """A tunnel to an address has no server name."""
    check_server_name(Origin(host, 443), None)


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "authority", "claimed_scheme"),
    [
        (ORIGIN, "https", "api.example.com", None, None),
        (ORIGIN, "https", "API.example.com:443", None, None),
        (ORIGIN, "https", "api.example.com", "api.example.com", "https"),
        (ORIGIN, "https", "api.example.com", "api.example.com:443", "https"),
        (Origin("api.example.com", 8443), "https", "api.example.com:8443", None, None),
        (Origin("api.example.com", 80), "http", "api.example.com", "api.example.com", "http"),
        (Origin("::1", 443), "https", "[::1]", None, None),
    ],
)
def test_request(origin: Origin, scheme: str, host: str, authority: str | None, claimed_scheme: str | None) -> None:
    """Host and target name the origin, with the scheme's usual port left out or not."""
    check_request(origin, scheme, [host], authority, claimed_scheme)


@pytest.mark.parametrize(
    ("hosts", "authority", "claimed_scheme"),
    [
        ([], None, None),
        (["api.example.com", "api.example.com"], None, None),
        (["api.example.com", "evil.example.com"], None, None),
        (["evil.example.com"], None, None),
        ([""], None, None),
        (["api.example.com:80"], None, None),
        (["api.example.com:8443"], None, None),
        (["api.example.com, evil.example.com"], None, None),
        (["user@api.example.com"], None, None),
        (["api.example.com/"], None, None),
        (["api.example.com#"], None, None),
        ([" api.example.com"], None, None),
        (["api.example.com"], "evil.example.com", "https"),
        (["api.example.com"], "api.example.com:444", "https"),
        (["api.example.com"], "", "https"),
        (["api.example.com"], "user@api.example.com", "https"),
        (["evil.example.com"], "api.example.com", "https"),
        (["api.example.com"], "api.example.com", "http"),
        (["api.example.com"], "api.example.com", "ftp"),
        (["api.example.com"], "api.example.com", None),
        (["api.example.com:443"], "api.example.com:443", "http"),
    ],
)
def test_request_that_names_another(hosts: list[str], authority: str | None, claimed_scheme: str | None) -> None:
    """One Host header, and everything that names a host names the same; the refusal quotes only the origin."""
    with pytest.raises(Refused) as caught:
        check_request(ORIGIN, "https", hosts, authority, claimed_scheme)

    assert caught.value.code == "authority_mismatch"
    assert "evil" not in caught.value.message


@given(st.lists(st.text(max_size=20) | st.just("api.example.com"), max_size=3), st.none() | st.text(max_size=20))
def test_anything_else_is_refused(hosts: list[str], authority: str | None) -> None:
    """Whatever a request claims, it passes only where all of it is the origin."""
    with contextlib.suppress(Refused):
        check_request(ORIGIN, "https", hosts, authority, "https")

        claims = [*hosts, *([] if authority is None else [authority])]
        assert len(hosts) == 1
        assert {claim.lower().removesuffix(":443").removesuffix(".") for claim in claims} == {"api.example.com"}
