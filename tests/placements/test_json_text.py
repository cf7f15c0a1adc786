"""A token as a text in a JSON body."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.placements import Place
from seks_addon.placements.json_text import JsonPlacement
from tests.samples import KEY, OTHER_TOKEN, TOKEN

TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def pointer_to(keys: list[str | int]) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


@given(
    st.lists(st.tuples(TEXTS | st.integers(0, 3), VALUES), min_size=1, max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
)
def test_only_the_text_changes(
    path: list[tuple[str | int, Any]], credential: str, indent: int | None, ascii_only: bool
) -> None:
    """Wherever it is, whatever is around it: the text becomes the credential, and every other byte stays."""
    value: Any = "@@"
    keys: list[str | int] = []
    for key, beside in reversed(path):
        value = [*[beside] * key, value, beside] if isinstance(key, int) else {f"{key}?": beside, key: value}
        keys.insert(0, key)
    pointer = pointer_to(keys)
    if len(pointer) > 200 or not pointer.isprintable():
        return
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    if text.count('"@@"') != 1:
        return

    [match] = JsonPlacement.parse(pointer).match_text(text.replace("@@", TOKEN).encode())

    assert (match.place, match.token) == (Place.TEXT, TOKEN)
    assert match.render(credential).decode() == text.replace('"@@"', json.dumps(credential))
    assert match.form(credential) in match.render(credential)


@given(st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()), TEXTS.map(lambda t: f"/{t}"))
def test_any_bytes(body: bytes, pointer: str) -> None:
    """What isn't JSON, or has no token there, is none of its business."""
    if pointer.isprintable():
        assert list(JsonPlacement(pointer).match_text(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        f'{{"a": "{TOKEN}", "a": "{OTHER_TOKEN}"}}',
        f'{{"a": "{TOKEN}", "\\u0061": 1}}',
        f'{{"a": "{TOKEN}"}} x',
        f'{{"a": "{TOKEN}"',
        f'{{"a": "{TOKEN} "}}',
        f'{{"a": "\\u0073{TOKEN[1:]}"}}',
        f'{{"a": ["{TOKEN}"]}}',
        f'{{"A": "{TOKEN}"}}',
        f'["{TOKEN}"]',
        f'"{TOKEN}"',
        f'{{"a": {"[" * 100_000}"{TOKEN}"',
        "",
        " ",
        "\ufeff{}",
    ],
)
def test_no_match(body: str) -> None:
    """A key that is there twice, what isn't JSON, more than the token, escapes, another type, depth."""
    assert list(JsonPlacement("/a").match_text(body.encode())) == []


def test_other_encodings() -> None:
    """JSON between programs is UTF-8 (RFC 8259 section 8.1)."""
    body = json.dumps({"a": TOKEN})

    assert list(JsonPlacement("/a").match_text(body.encode("utf-16"))) == []
    assert list(JsonPlacement("/a").match_text(body.encode() + b"\xff")) == []


def test_escapes_in_the_pointer() -> None:
    [match] = JsonPlacement("/a~1b/~0c/1").match_text(json.dumps({"a/b": {"~c": [0, TOKEN]}}).encode())

    assert json.loads(match.render(KEY)) == {"a/b": {"~c": [0, KEY]}}


@pytest.mark.parametrize("pointer", ["", "a", "/a\n", "/" + "x" * 200])
def test_no_pointer(pointer: str) -> None:
    with pytest.raises(InputError):
        JsonPlacement.parse(pointer)


def test_cost() -> None:
    """However many keys and values there are, they aren't gone through one by one, and once for all places."""
    places = [JsonPlacement(f"/a/{name}") for name in ("secret", "a", "b")]
    many = ", ".join(f'"{number}": {{}}' for number in range(20_000))
    body = f'{{"a": {{{many}, "secret": "{TOKEN}"}}, "b": [{many.replace(":", ",")}]}}'.encode()
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        found = list(JsonPlacement.match_all(body, places))
    finally:
        sys.setprofile(None)

    assert [match.token for match in found] == [TOKEN]
    assert steps < 1000
