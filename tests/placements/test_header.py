"""A token as the whole of a header's value, but for the words around it."""

import pytest

from seks_addon.errors import InputError
from seks_addon.placements.header import FORBIDDEN, HeaderPlacement
from tests.samples import KEY, TOKEN, head_of

BEARER = HeaderPlacement.parse_bearer("")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("Bearer {}", f"Bearer {TOKEN}"),
        ("Bearer {}", f"bEARER {TOKEN}"),
        ("Bearer {}", f"Bearer \t  {TOKEN}"),
        ("Bearer  {}", f"Bearer {TOKEN}"),
        ("Bearer{}", f"bearer{TOKEN}"),
        ("{}", TOKEN),
        ("key={}", f"KEY={TOKEN}"),
        ('key="{}", v=1', f'key="{TOKEN}", v=1'),
        ("a.b {}", f"a.b {TOKEN}"),
    ],
)
def test_match(form: str, value: str) -> None:
    """The words before it may be in any case; the blanks after them may be more."""
    placement = HeaderPlacement.parse(f"X-Key: {form}")

    [match] = placement.match(head_of([("x-KEY", value)]))

    assert match.token == TOKEN
    assert match.render(KEY).decode() == value.replace(TOKEN, KEY)
    assert match.form(KEY) == KEY.encode()


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("Bearer {}", TOKEN),
        ("Bearer {}", f"Bearer{TOKEN}"),
        ("Bearer {}", f" Bearer {TOKEN}"),
        ("Bearer {}", f"Bearer {TOKEN} "),
        ("Bearer {}", f"Bearer\n{TOKEN}"),
        ("Bearer {}", f"Bearer\xa0{TOKEN}"),
        ("Bearer {}", f"Bearer {TOKEN}\n"),
        ("Bearer {}", f"Bearer {TOKEN}, Bearer {TOKEN}"),
        ("Bearer {}", f"Bearer x{TOKEN}"),
        ("Bearer {}", f"Token {TOKEN}"),
        ("Bearer {}", f"Bearer {KEY}"),
        ("{}", f"Bearer {TOKEN}"),
        ("{}", f'"{TOKEN}"'),
        ('key="{}", v=1', f'key="{TOKEN}", V=1'),
        ('key="{}", v=1', f'key="{TOKEN}"'),
        ("a.b {}", f"axb {TOKEN}"),
    ],
)
def test_no_match(form: str, value: str) -> None:
    """Anything else in the header, and the token isn't the whole of it."""
    placement = HeaderPlacement.parse(f"X-Key: {form}")

    assert list(placement.match(head_of([("X-Key", value)]))) == []


def test_every_header_of_that_name() -> None:
    """Each one that fits is found, with its place; others are left alone."""
    headers = [("Authorization", f"Bearer {TOKEN}"), ("X", f"Bearer {TOKEN}"), ("AUTHORIZATION", f"bearer {TOKEN}")]

    assert [match.place for match in BEARER.match(head_of(headers))] == [0, 2]


@pytest.mark.parametrize("name", [*sorted(FORBIDDEN), "Host", "Proxy-Authorization", "TE"])
def test_headers_of_the_connection(name: str) -> None:
    """A header that frames or routes the request carries no credential."""
    with pytest.raises(InputError, match="can't carry"):
        HeaderPlacement.parse(f"{name}: {{}}")


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "{}",
        ": {}",
        "X Key: {}",
        "X\nKey: {}",
        "X-Ké: {}",
        "X" * 101 + ": {}",
        "X-Key:",
        "X-Key: Bearer",
        "X-Key: {} {}",
        "X-Key: {0}",
        "X-Key: é {}",
        "X-Key: a\n{}",
        "X-Key: \x7f{}",
        "X-Key: {}abc",
        "X-Key: {}0",
    ],
)
def test_no_header(argument: str) -> None:
    """A name is a name, a format holds the token once, and one can tell where it ends."""
    with pytest.raises(InputError):
        HeaderPlacement.parse(argument)


def test_the_message_s_words() -> None:
    """The place is named as a person writes it."""
    assert BEARER.where == "header Authorization: Bearer {}"
