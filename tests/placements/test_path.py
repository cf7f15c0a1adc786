"""A token at the beginning of the path."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.placements import Place
from seks_addon.placements.path import PathPlacement
from tests.samples import KEY, TOKEN, head_of

BOT = PathPlacement("/bot{}/")


@pytest.mark.parametrize(
    ("form", "target", "rendered"),
    [
        ("/bot{}/", f"/bot{TOKEN}/sendMessage?chat=1", f"/bot{KEY}/sendMessage?chat=1"),
        ("/bot{}/", f"/bot{TOKEN}/", f"/bot{KEY}/"),
        ("/bot{}", f"/bot{TOKEN}", f"/bot{KEY}"),
        ("/bot{}", f"/bot{TOKEN}?a=1", f"/bot{KEY}?a=1"),
        ("/bot{}", f"/bot{TOKEN}/getMe", f"/bot{KEY}/getMe"),
        ("/file/bot{}/", f"/file/bot{TOKEN}/a/b", f"/file/bot{KEY}/a/b"),
        ("/services/{}", f"/services/{TOKEN}", f"/services/{KEY}"),
    ],
)
def test_the_segment_holds_it(form: str, target: str, rendered: str) -> None:
    [match] = PathPlacement.parse(form).match(head_of(target=target))

    assert (match.place, match.token) == (Place.TARGET, TOKEN)
    assert match.render(KEY).decode() == rendered


@pytest.mark.parametrize(
    "target",
    [
        f"/bot{TOKEN}",
        f"/Bot{TOKEN}/getMe",
        f"/x/bot{TOKEN}/getMe",
        f"//bot{TOKEN}/getMe",
        f"/bot{TOKEN}:x/getMe",
        f"/bot%73{TOKEN[1:]}/getMe",
        f"/bot/{TOKEN}/getMe",
        f"/botx?a=/bot{TOKEN}/",
    ],
)
def test_no_match(target: str) -> None:
    assert list(BOT.match(head_of(target=target))) == []


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda t: t not in (".", "..")))
def test_a_server_reads_the_credential(credential: str) -> None:
    """Whatever is in it, it stays one segment, and nothing behind it moves."""
    [match] = BOT.match(head_of(target=f"/bot{TOKEN}/a%2Fb?q=1"))

    path, _, query = match.render(credential).decode("ascii").partition("?")
    assert query == "q=1"
    assert [urllib.parse.unquote(part) for part in path.split("/")] == ["", f"bot{credential}", "a/b"]


@pytest.mark.parametrize(
    "form",
    ["", "{}", "/bot", "/bot{}x", "/{}/{}", "/bot{}/x", "/a?{}", "/../{}", "/a b/{}", "bot{}/", "/ä{}", "/%62{}"],
)
def test_no_path(form: str) -> None:
    with pytest.raises(InputError):
        PathPlacement.parse(form)


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_that_would_lead_elsewhere(value: str) -> None:
    with pytest.raises(InputError):
        BOT.check_value(value)
