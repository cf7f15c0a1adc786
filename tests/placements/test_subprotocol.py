"""A token as a WebSocket's subprotocol."""

import pytest

from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements.subprotocol import SubprotocolPlacement
from tests.samples import KEY, OTHER_TOKEN, TOKEN, head_of

OPENAI = SubprotocolPlacement("openai-insecure-api-key.{}")


def handshake(*offered: str) -> Head:
    """A handshake that offers subprotocols."""
    return head_of(
        [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            *(("Sec-WebSocket-Protocol", value) for value in offered),
        ]
    )


@pytest.mark.parametrize(
    ("offered", "rendered"),
    [
        (f"openai-insecure-api-key.{TOKEN}", f"openai-insecure-api-key.{KEY}"),
        (
            f"realtime,openai-insecure-api-key.{TOKEN} , openai-beta.realtime-v1",
            f"realtime, openai-insecure-api-key.{KEY}, openai-beta.realtime-v1",
        ),
    ],
)
def test_one_of_the_subprotocols(offered: str, rendered: str) -> None:
    [match] = OPENAI.match(handshake(offered))

    assert (match.place, match.token) == (4, TOKEN)
    assert match.render(KEY).decode() == rendered
    assert match.form(KEY) == KEY.encode()


@pytest.mark.parametrize(
    "offered",
    [
        TOKEN,
        f"key.{TOKEN}",
        f"OPENAI-insecure-api-key.{TOKEN}",
        f"openai-insecure-api-key.{TOKEN}.x",
        f"openai-insecure-api-key.{TOKEN}, openai-insecure-api-key.{OTHER_TOKEN}",
        f"openai-insecure-api-key.{TOKEN}, openai-insecure-api-key.{TOKEN}",
        "openai-insecure-api-key.sk-own",
    ],
)
def test_no_match(offered: str) -> None:
    """Another item, more around it, or two of them, and none is swapped."""
    assert list(OPENAI.match(handshake(offered))) == []


def test_outside_of_a_handshake() -> None:
    """The header means nothing in any other request."""
    head = handshake(f"openai-insecure-api-key.{TOKEN}").without({"upgrade"})

    assert list(OPENAI.match(head)) == []


@pytest.mark.parametrize("value", ["a b", "a,b", "a/b", "a=b", "ä", ""])
def test_value_that_is_no_subprotocol(value: str) -> None:
    OPENAI.check_value(KEY)

    with pytest.raises(InputError) as refused:
        OPENAI.check_value(value)
    assert not value or value not in refused.value.message


@pytest.mark.parametrize("form", ["", "key", "a b.{}", "a,{}", "{}{}", "{}x", "ä{}", "x" * 100 + "{}"])
def test_no_subprotocol(form: str) -> None:
    with pytest.raises(InputError):
        SubprotocolPlacement.parse(form)
