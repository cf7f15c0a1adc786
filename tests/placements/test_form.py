"""A token as the value of a field in a form."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.placements import Place
from seks_addon.placements.form import FormPlacement
from tests.samples import TOKEN, head_of

SECRET = FormPlacement("client_secret")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
OTHERS = st.lists(st.tuples(TEXTS.filter(lambda name: name != "client_secret"), TEXTS), max_size=4)


@given(OTHERS, OTHERS, TEXTS.filter(bool))
def test_a_server_reads_the_credential(
    before: list[tuple[str, str]], after: list[tuple[str, str]], credential: str
) -> None:
    form = urllib.parse.urlencode([*before, ("client_secret", TOKEN), *after])

    [match] = SECRET.match_text(form.encode())

    assert (match.place, match.token) == (Place.TEXT, TOKEN)
    read = urllib.parse.parse_qsl(match.render(credential).decode("ascii"), keep_blank_values=True)
    assert read == urllib.parse.parse_qsl(form.replace(TOKEN, urllib.parse.quote(credential, "")), True)
    assert ("client_secret", credential) in read
    assert match.form(credential) in match.render(credential)


@given(st.binary(max_size=50))
def test_any_bytes(body: bytes) -> None:
    assert list(SECRET.match_text(body)) == []


def test_not_in_the_head() -> None:
    assert list(SECRET.match(head_of(target=f"/?client_secret={TOKEN}"))) == []


@pytest.mark.parametrize(
    ("media_type", "reads"), [("application/x-www-form-urlencoded", True), ("multipart/form-data", False), ("", False)]
)
def test_media_types(media_type: str, reads: bool) -> None:
    assert SECRET.reads(media_type) is reads


@pytest.mark.parametrize("name", ["", "ä", "a\nb", "x" * 101])
def test_no_name(name: str) -> None:
    with pytest.raises(InputError):
        FormPlacement.parse(name)
