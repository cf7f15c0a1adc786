"""A token as the value of one cookie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.placements.cookie import CookiePlacement
from tests.samples import KEY, OTHER_TOKEN, TOKEN, head_of

SESSION = CookiePlacement("session")
OCTETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=';",\\= '), max_size=12)


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        (f"session={TOKEN}", f"session={KEY}"),
        (f"a=1; session={TOKEN}; b=2", f"a=1; session={KEY}; b=2"),
        (f"a=1;session={TOKEN} ;b", f"a=1; session={KEY}; b"),
        (f'a="b c"; session={TOKEN}', f'a="b c"; session={KEY}'),
        (f"Session=x; session={TOKEN}", f"Session=x; session={KEY}"),
    ],
)
def test_one_cookie(value: str, rendered: str) -> None:
    [match] = SESSION.match(head_of([("Accept", "*/*"), ("cookie", value)]))

    assert (match.place, match.token) == (1, TOKEN)
    assert match.render(KEY).decode() == rendered


@pytest.mark.parametrize(
    "value",
    [
        f"other={TOKEN}",
        f"SESSION={TOKEN}",
        f"session={TOKEN}; session={OTHER_TOKEN}",
        f"session={TOKEN}; session =1",
        f"session=x{TOKEN}",
        f'session="{TOKEN}"',
        f"session={TOKEN}=",
        f"session={TOKEN}, b=1",
        f'a="; session={TOKEN}; b="',
        f'a="\\"; session={TOKEN}; b="',
        f'a=b"c; session={TOKEN}',
        TOKEN,
    ],
)
def test_no_match(value: str) -> None:
    """Another name, another case, twice, or more than the token in it."""
    assert list(SESSION.match(head_of([("Cookie", value)]))) == []


@given(
    st.lists(st.tuples(OCTETS.filter(lambda name: name.strip() != "session"), OCTETS), max_size=4), st.integers(0, 4)
)
def test_other_cookies_stay(others: list[tuple[str, str]], place: int) -> None:
    def cookies(session: str) -> str:
        pairs = [f"{name}={value}" for name, value in others]
        pairs.insert(place, f"session={session}")
        return "; ".join(pairs)

    [match] = SESSION.match(head_of([("Cookie", cookies(TOKEN))]))

    assert match.render(KEY).decode() == cookies(KEY)


@pytest.mark.parametrize("value", ["a b", "a;b", "a,b", 'a"b', "a\\b", "ä", ""])
def test_a_value_that_no_cookie_holds(value: str) -> None:
    with pytest.raises(InputError):
        SESSION.check_value(value)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "ä", "x" * 101])
def test_no_name(name: str) -> None:
    with pytest.raises(InputError):
        CookiePlacement.parse(name)
