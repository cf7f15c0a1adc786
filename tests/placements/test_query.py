"""A token as the value of a parameter."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.placements import Place
from seks_addon.placements.query import QueryPlacement, find_parameter
from seks_addon.tokens import find_lookalikes
from tests.samples import KEY, OTHER_TOKEN, TOKEN, head_of

KEY_PARAMETER = QueryPlacement("key")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@pytest.mark.parametrize(
    ("target", "rendered"),
    [
        (f"/v1?key={TOKEN}", f"/v1?key={KEY}"),
        (f"/v1?a=1&key={TOKEN}&b=%20+", f"/v1?a=1&key={KEY}&b=%20+"),
        (f"/?k%65y={TOKEN}", f"/?k%65y={KEY}"),
        (f"/v1?&&key={TOKEN}&", f"/v1?&&key={KEY}&"),
    ],
)
def test_one_parameter(target: str, rendered: str) -> None:
    [match] = KEY_PARAMETER.match(head_of(target=target))

    assert (match.place, match.token) == (Place.TARGET, TOKEN)
    assert match.render(KEY).decode() == rendered


@pytest.mark.parametrize(
    "target",
    [
        f"/v1?other={TOKEN}",
        f"/v1?KEY={TOKEN}",
        f"/v1?key={TOKEN}&key={OTHER_TOKEN}",
        f"/v1?key={TOKEN}&k%65y=x",
        f"/v1?key={TOKEN}&a=1;key=x",
        f"/v1?key={TOKEN}x&",
        f"/v1?key=%73{TOKEN[1:]}",
        f"/v1?key={TOKEN};a=1",
        f"/v1?;key={TOKEN}",
        f"/v1?a=1;key={TOKEN}",
        f"/v1?a=1&;key={TOKEN}&b=2",
        f"/v1?key={TOKEN}#",
        f"/v1?{TOKEN}",
        f"/key={TOKEN}",
    ],
)
def test_no_match(target: str) -> None:
    """Another name, also where `;` separates none, another case, twice in any spelling, encoded, or more in it."""
    assert TOKEN not in [match.token for match in KEY_PARAMETER.match(head_of(target=target))]


@given(
    st.lists(st.tuples(TEXTS.filter(lambda name: name != "key"), TEXTS), max_size=4),
    st.lists(st.tuples(TEXTS.filter(lambda name: name != "key"), TEXTS), max_size=4),
    TEXTS.filter(bool),
)
def test_a_server_reads_the_credential(
    before: list[tuple[str, str]], after: list[tuple[str, str]], credential: str
) -> None:
    """Whatever is around it and in it, the parameter has the credential as its value, and the others stay."""
    query = urllib.parse.urlencode([*before, ("key", TOKEN), *after])

    [match] = KEY_PARAMETER.match(head_of(target=f"/v1?{query}"))

    path, _, sent = match.render(credential).decode("ascii").partition("?")
    assert path == "/v1"
    read = urllib.parse.parse_qsl(sent, keep_blank_values=True)
    assert read == urllib.parse.parse_qsl(query.replace(TOKEN, urllib.parse.quote(credential, "")), True)
    assert ("key", credential) in read
    assert match.form(credential) in match.render(credential)


@pytest.mark.parametrize("name", ["", "ä", "a\tb", "x" * 101])
def test_no_name(name: str) -> None:
    with pytest.raises(InputError):
        QueryPlacement.parse(name)


def slowly(query: str, name: str) -> tuple[str, str, str] | None:
    """The same, one part after the other."""
    parts = query.split("&")
    names = [
        [urllib.parse.unquote_plus(piece.partition("=")[0], "latin-1") for piece in part.split(";")] for part in parts
    ]
    found = [place for place, spelled in enumerate(names) for one in spelled if one == name]
    if len(found) != 1:
        return None
    place = found[0]
    spelling, equals, value = parts[place].partition("=")
    if find_lookalikes(value) != [value] or not equals or ";" in spelling:
        return None
    return "&".join([*parts[:place], f"{spelling}="]), value, "".join(f"&{part}" for part in parts[place + 1 :])


@given(
    st.lists(st.sampled_from([*"&;=+%keyK-_ x", "%6b", "%4B", "%2B", "key", "k-y", "%2d", "a+b", TOKEN]), max_size=12),
    st.sampled_from(["key", "k-y", "a b", "a+b", "x", "%"]),
)
def test_as_it_is_read_slowly(parts: list[str], name: str) -> None:
    """A parameter is found wherever decoding every name would find it."""
    query = "".join(parts)

    assert find_parameter(query, name) == slowly(query, name)
