"""A token as a field of a message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.placements.json_text import MessagePlacement
from tests.samples import KEY, OTHER_TOKEN, TOKEN, head_of

FIELD = MessagePlacement("/d/token")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("d"), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("/d/token", '{"op":2,"d":{"token":"TOKEN"}}'),
        ("/d/token", ' {\n"d" : { "a": [1.0, 1e400, {"token": 1}], "token" :\t"TOKEN" , "ä": "ö" } } '),
        ("/d/token", '{"n": 12345678901234567890.10, "n": 1, "d": {"t\\u006fken": "TOKEN", "big": %s}}' % ("9" * 5000)),
        ("/token", '{"token":"TOKEN"}'),
        ("/a~1b/~0", '{"a/b":{"~":"TOKEN"}}'),
        ("/params/1", '{"params":["x","TOKEN",[]]}'),
        ("/0", '["TOKEN"]'),
    ],
)
def test_field(pointer: str, message: str) -> None:
    """The credential comes in, and not another byte changes."""
    message = message.replace("TOKEN", TOKEN)

    [match] = MessagePlacement.parse(pointer).match_text(message.encode())

    assert match.token == TOKEN
    assert match.render(KEY).decode() == message.replace(TOKEN, KEY)


@pytest.mark.parametrize(
    "message",
    [
        TOKEN,
        f'"{TOKEN}"',
        f'{{"token":"{TOKEN}"}}',
        f'{{"d":"{TOKEN}"}}',
        f'{{"d":{{"token":["{TOKEN}"]}}}}',
        f'{{"d":{{"token":"Bot {TOKEN}"}}}}',
        f'{{"d":{{"token":"{TOKEN} "}}}}',
        f'{{"d":{{"Token":"{TOKEN}"}}}}',
        f'{{"d":{{"other":"{TOKEN}","token":"x"}}}}',
        f'{{"d":[{{"token":"{TOKEN}"}}]}}',
        f'{{"d":{{"token":"\\u0073{TOKEN[1:]}"}}}}',
        f'{{"d":{{"token":"{TOKEN}"}}',
        f'{{"d":{{"token":"{TOKEN}"}}}} x',
        f'{{"d":{{"token":"{TOKEN}",}}}}',
        f'{{"d":{{"token":"{TOKEN}"}},"x":nope}}',
        f'{{"d":{{"token":"{TOKEN}"}},"x":"\n"}}',
        f'{{"d":{{"token":"{TOKEN}"}},"x":{"[" * 100_000}{"]" * 100_000}}}',
        "",
        "{",
        '{"d"',
        '{"d":',
        '{"d":{"token":',
    ],
)
def test_somewhere_else(message: str) -> None:
    """Anywhere but in the field, as the whole of it, or in what is no JSON, a token is somebody's text."""
    assert list(FIELD.match_text(message.encode())) == []


@pytest.mark.parametrize(
    "message",
    [
        f'{{"d":{{"token":"{TOKEN}","token":"x"}}}}',
        f'{{"d":{{"token":1,"t\\u006fken":"{TOKEN}"}}}}',
        f'{{"d":{{"token":"{TOKEN}"}},"d":{{"token":"{OTHER_TOKEN}"}}}}',
    ],
)
def test_field_that_is_there_twice(message: str) -> None:
    """Nobody knows which of them the host reads: it is no place for a token."""
    assert list(FIELD.match_text(message.encode())) == []


@given(JSON, JSON, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), st.booleans())
def test_any_message(beside: object, behind: object, credential: str, ascii_only: bool) -> None:
    """Whatever else is in a message, it means the same afterwards, and the field is the credential."""
    value = {"a": beside, "d": {"x": beside, "token": TOKEN, "y": behind}, "z": behind}
    message = json.dumps(value, ensure_ascii=ascii_only)

    [match] = FIELD.match_text(message.encode())

    value["d"]["token"] = credential  # type: ignore[index]
    assert json.loads(match.render(credential)) == value
    assert match.form(credential) in match.render(credential)


@given(st.text(max_size=30) | JSON.map(json.dumps))
def test_any_text(text: str) -> None:
    """No text breaks it."""
    assert list(FIELD.match_text(text.encode())) == []


def test_not_in_the_head() -> None:
    assert list(FIELD.match(head_of([("Authorization", TOKEN)], target=f"/d/token?token={TOKEN}"))) == []


@pytest.mark.parametrize("pointer", ["", "d", "d/token", "/d/~2", "/d~", "/d\n", "/" + "x" * 200])
def test_no_pointer(pointer: str) -> None:
    with pytest.raises(InputError):
        MessagePlacement.parse(pointer)
