"""The type that holds a real credential."""

import copy
import json
import logging
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.secret import MAX_BYTES, Secret
from tests.samples import KEY


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        ascii,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>80}",
        lambda secret: f"{secret:>80}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: str([secret, {"key": secret}]),
        lambda secret: logging.LogRecord("x", 10, "x", 1, "%s", (secret,), None).getMessage(),
        lambda secret: str(ValueError(secret)),
    ],
)
def test_nothing_prints_it(show: Callable[[Secret], str]) -> None:
    """No way of making a text of a secret shows its value."""
    secret = Secret(KEY)

    text = show(secret)

    assert text
    assert KEY not in text


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_nothing_copies_it(take: Callable[[Secret], object]) -> None:
    """A secret can't be serialised, copied or looked into by the usual means."""
    secret = Secret(KEY)

    with pytest.raises(TypeError) as caught:
        take(secret)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"key", "key"),
        (b"key\n", "key"),
        (b"key\r\n", "key"),
        (b" two words ", " two words "),
        ("schlüssel-für-später\n".encode(), "schlüssel-für-später"),
        (b"k" * MAX_BYTES, "k" * MAX_BYTES),
        (b"k" * MAX_BYTES + b"\n", "k" * MAX_BYTES),
    ],
)
def test_parse_takes(raw: bytes, value: str) -> None:
    """A credential is what was handed in, less one trailing newline."""
    assert Secret.parse(raw).reveal() == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"   ", "empty"),
        (b" \r\n", "empty"),
        (b"first\nsecond", "control"),
        (b"twice\n\n", "control"),
        (b"tab\tbed", "control"),
        (b"nul\0", "control"),
        (b"escape\x1b[0m", "control"),
        (b"delete\x7f", "control"),
        ("c1\x85".encode(), "control"),
        (b"latin-1 \xe9", "binary"),
        ("utf-16".encode("utf-16"), "binary"),
        (b"surrogate \xed\xa0\x80", "binary"),
        (b"k" * (MAX_BYTES + 1), "65,537 bytes"),
    ],
)
def test_parse_refuses(raw: bytes, reason: str) -> None:
    """What can't be a credential is refused for the right reason, with a way out."""
    with pytest.raises(InputError, match=reason) as caught:
        Secret.parse(raw)

    assert caught.value.hint


@given(st.one_of(st.binary(max_size=80), st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_parse_takes_all_or_says_nothing(raw: bytes) -> None:
    """Any bytes are taken whole but for the newline, or refused by a message that doesn't depend on them."""
    try:
        value = Secret.parse(raw).reveal()
    except InputError as error:
        assert (  # noqa: PT017
            error.message
            in {
                "the secret is empty",
                "the secret is binary, not text",
                "the secret holds a control character (a line break or a tab, for example)",
            }
        )
    else:
        assert value.encode() in {raw, raw.removesuffix(b"\n"), raw.removesuffix(b"\n").removesuffix(b"\r")}
        assert value.strip()
        assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value)
