"""A token as the user name or the password of HTTP Basic."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.placements.basic import BasicPlacement, decode_basic
from tests.samples import KEY, OTHER_TOKEN, TOKEN, basic, head_of


def encoded(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        ("Basic dTpw", ("u", "p")),
        ("basic dTpw", ("u", "p")),
        ("  BASIC   dTpw ", ("u", "p")),
        ("Basic dTpwOnE=", ("u", "p:q")),
        ("Basic Og==", ("", "")),
        (encoded(b"\xe9:\xff"), ("\xe9", "\xff")),
        ("", None),
        ("Basic", None),
        ("Basic ", None),
        ("Basic dTp", None),
        ("Basic dTp*", None),
        ("Basic dT pw", None),
        ("Basic dTpw\xe9", None),
        ("Basic dXA=", None),
        ("Bearer dTpw", None),
        ("xBasic dTpw", None),
    ],
)
def test_decode(value: str, pair: tuple[str, str] | None) -> None:
    """The pair is parted at its first colon; what is damaged, or isn't Basic, is none."""
    assert decode_basic(value) == pair


@given(st.text(max_size=30) | st.text(max_size=20).map("Basic ".__add__))
def test_decode_any_text(value: str) -> None:
    """Any value is a pair or none."""
    pair = decode_basic(value)

    assert pair is None or len(pair) == 2


@pytest.mark.parametrize(
    ("part", "username", "password", "found"),
    [
        ("username", TOKEN, "", True),
        ("username", TOKEN, "x", True),
        ("username", "x", TOKEN, False),
        ("password", "x", TOKEN, True),
        ("password", "", TOKEN, True),
        ("password", TOKEN, "x", False),
        ("password", "x", f":{TOKEN}", False),
        ("password", "x", f"{TOKEN}:", False),
        ("either", TOKEN, "x", True),
        ("either", "x", TOKEN, True),
        ("either", "x", "y", False),
        ("username", f"{TOKEN} ", "", False),
        ("password", "x", f"{TOKEN}{TOKEN}", False),
        ("password", "x", f"{TOKEN}\n", False),
        ("either", f"x{TOKEN}", "", False),
    ],
)
def test_match(part: str, username: str, password: str, found: bool) -> None:
    """A half is matched where it may carry a token and is nothing but one."""
    headers = [("Authorization", basic(username, password))]

    tokens = [match.token for match in BasicPlacement(part).match(head_of(headers))]

    assert tokens == ([TOKEN] if found else [])


def test_two_tokens_in_a_pair() -> None:
    """At the most one of them is matched: the other is a stray, for whoever decides."""
    headers = [("Authorization", basic(TOKEN, OTHER_TOKEN))]

    assert [match.token for match in BasicPlacement("either").match(head_of(headers))] == [TOKEN]
    assert [match.token for match in BasicPlacement("password").match(head_of(headers))] == [OTHER_TOKEN]


def test_other_headers() -> None:
    """Basic stands in Authorization only."""
    assert list(BasicPlacement("either").match(head_of([("X-Authorization", basic("x", TOKEN))]))) == []


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_the_other_half_keeps_its_bytes(name: str) -> None:
    """What the agent sent beside the token goes through as it came; the credential is UTF-8."""
    credential = "schlüssel"
    before = [(name, encoded(b"\xe9\xff:" + TOKEN.encode()))]
    after = [(name, encoded(TOKEN.encode() + b":\xe9:\xff"))]

    [first] = BasicPlacement("password").match(head_of(before))
    [second] = BasicPlacement("username").match(head_of(after))

    assert first.render(credential) == encoded(b"\xe9\xff:" + credential.encode()).encode()
    assert second.render(credential) == encoded(credential.encode() + b":\xe9:\xff").encode()


def test_form_is_the_whole_pair() -> None:
    """The scrubber looks for the pair as it is sent: an upstream may echo it."""
    [match] = BasicPlacement("password").match(head_of([("Authorization", basic("x", TOKEN))]))

    assert match.form(KEY) == base64.b64encode(b"x:" + KEY.encode())
