"""The one syntax of all placements, and what holds for each of them."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon import placements
from seks_addon.errors import InputError
from seks_addon.head import Header
from seks_addon.placements import Placement
from tests.samples import OTHER_TOKEN, TOKEN, basic, head_of

SPECS = [
    "bearer",
    "header:X-Api-Key: {}",
    "header:Authorization: token {}",
    "header:X-Odd: key=({});",
    "basic:username",
    "basic:password",
    "basic:either",
]
PLACEMENTS = st.sampled_from(SPECS).map(placements.parse)
TOKENS = st.sampled_from([TOKEN, OTHER_TOKEN])
CREDENTIALS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
#: The other half of a Basic pair; a user name has no colon.
HALVES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters=":"), max_size=10)


def header_with(placement: Placement, credential: str, half: str) -> Header:
    """The header that a client sends with this credential in this place; written apart from the code under test."""
    match placement.spec:
        case "basic:username" | "basic:either":
            return "Authorization", basic(credential, half)
        case "basic:password":
            return "Authorization", basic(half, credential)
    _, name, form = placement.spec.split(":", 2)
    return name, form.strip().replace("{}", credential)


def carried(placement: Placement, header: Header) -> bytes:
    """The credential in the header as an upstream reads it."""
    value = header[1]
    if placement.spec.startswith("basic"):
        pair = base64.b64decode(value.removeprefix("Basic "), validate=True)
        return pair.rpartition(b":")[2] if placement.spec == "basic:password" else pair.partition(b":")[0]
    before, after = header_with(placement, "|", "")[1].split("|")
    raw = value.encode("latin-1")
    assert raw.startswith(before.encode())
    assert raw.endswith(after.encode())
    return raw[len(before) : len(raw) - len(after)]


@pytest.mark.parametrize(
    ("spec", "stored"),
    [
        ("bearer", "header:Authorization: Bearer {}"),
        (" bearer : ", "header:Authorization: Bearer {}"),
        ("header:X-Api-Key:{}", "header:X-Api-Key: {}"),
        ("header: X-Api-Key :  {} ", "header:X-Api-Key: {}"),
        ("header:A: b:{}:c", "header:A: b:{}:c"),
        ("basic", "basic:password"),
        ("basic:", "basic:password"),
        ("basic: either", "basic:either"),
    ],
)
def test_parse(spec: str, stored: str) -> None:
    """A placement is stored in one form, which reads as itself."""
    placement = placements.parse(spec)

    assert placement.spec == stored
    assert placements.parse(placement.spec) == placement
    assert placement.where


@pytest.mark.parametrize(
    "spec",
    [
        "",
        ":",
        "trailer",
        "Bearer",
        "cookie",
        "query:",
        "path",
        "bearer:x",
        "basic:both",
        "header",
        "header:",
        "header:X-Api-Key",
    ],
)
def test_no_placement(spec: str) -> None:
    """Anything else is refused."""
    with pytest.raises(InputError):
        placements.parse(spec)


@given(st.text(max_size=30) | st.builds("header:{}:{}".format, st.text(max_size=10), st.text(max_size=10)))
def test_parse_any_text(spec: str) -> None:
    """Any text is refused or a placement that reads as itself."""
    with contextlib.suppress(InputError):
        placement = placements.parse(spec)

        assert placements.parse(placement.spec) == placement


@given(PLACEMENTS, TOKENS, CREDENTIALS, HALVES, st.integers(0, 2))
def test_match_then_render(placement: Placement, token: str, credential: str, half: str, index: int) -> None:
    """The token that a client sends is found, and exactly the credential comes in its place."""
    name, value = header_with(placement, token, half)
    headers = [("Accept", "*/*")] * index + [(name, value)]

    [match] = placement.match(head_of(headers))

    assert (match.place, match.token, match.where) == (index, token, placement.where)
    assert match.render(token).decode("latin-1") == value
    rendered = (name, match.render(credential).decode("latin-1"))
    if ":" not in credential or not placement.spec.startswith("basic"):
        assert carried(placement, rendered) == credential.encode()
    assert match.form(credential) in match.render(credential)
    assert match.form(token) in value.encode("latin-1")


@given(PLACEMENTS, TOKENS, HALVES, st.text(st.characters(max_codepoint=255), min_size=1, max_size=6), st.booleans())
def test_a_value_with_more_in_it(placement: Placement, token: str, half: str, more: str, in_front: bool) -> None:
    """Anything beside the token in its place, on either side, and it isn't matched as that token."""
    name, value = header_with(placement, more + token if in_front else token + more, half)
    if placement.spec.startswith("basic"):
        # As bytes, since the text isn't always ASCII; what follows a colon is the password.
        if ":" in more:
            return
        halves = [more + token if in_front else token + more, half]
        pair = ":".join(reversed(halves) if placement.spec == "basic:password" else halves)
        value = "Basic " + base64.b64encode(pair.encode("latin-1")).decode()
    elif in_front and not more.strip(" \t") and " {}" in placement.spec:
        return  # more blanks before it are none of the value

    assert token not in [match.token for match in placement.match(head_of([(name, value)]))]


@given(PLACEMENTS, st.lists(st.tuples(st.text(max_size=8) | st.just("Authorization"), st.text(max_size=20))))
def test_values_that_are_no_tokens(placement: Placement, headers: list[Header]) -> None:
    """What doesn't look like a token is none of a placement's business, whatever it is."""
    assert list(placement.match(head_of(headers))) == []
