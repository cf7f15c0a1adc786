"""The fake token: form, checksum, and how it is found and hidden."""

import re
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon import tokens
from seks_addon.tokens import find_lookalikes, is_token, new_id, new_password, new_token, redact
from tests.samples import TOKEN

TOKENS = st.sampled_from(["openai", "a", "x" * 32, "seks", "gitlab2"]).map(new_token)
#: Text that hangs no letter or digit on a token that stands before it.
TAILS = st.just("") | st.builds(str.__add__, st.sampled_from("._-/ \n\"'=&é\u0661"), st.text(max_size=20))


def base62(number: int) -> str:
    """Written apart from the module, so that the two check each other."""
    letters = string.digits + string.ascii_uppercase + string.ascii_lowercase
    return (base62(number // 62) if number >= 62 else "") + letters[number % 62]


def test_known_answer() -> None:
    """The checksum is CRC-32 of all before it, in base 62, six characters."""
    head = TOKEN[:-6]

    assert base62(zlib.crc32(head.encode())).rjust(6, "0") == TOKEN[-6:]
    assert is_token(TOKEN)


@pytest.mark.parametrize(
    ("provider", "label"),
    [("openai", "openai"), ("My-Company.2", "mycompany2"), ("", "custom"), ("é…", "custom"), ("a" * 40, "a" * 32)],
)
def test_new_token(provider: str, label: str) -> None:
    """A token carries its provider, letters and digits of it only."""
    token = new_token(provider)

    assert re.fullmatch(rf"seks_{label}_[0-9A-Za-z]{{39}}", token)
    assert is_token(token)


def test_tokens_are_random() -> None:
    """All of the random part varies: no position of it is the same in all tokens but the first few bits."""
    made = {new_token("openai").removeprefix("seks_openai_")[:33] for _ in range(300)}

    assert len(made) == 300
    assert all(len({random[position] for random in made}) > 20 for position in range(1, 33))


@given(TOKENS, st.data())
def test_any_changed_character_is_noticed(token: str, data: st.DataObject) -> None:
    """Whatever one character becomes, the checksum or the form tells."""
    position = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from(tokens.ALPHABET + "_-. é") | st.characters(codec="utf-8"))
    changed = token[:position] + character + token[position + 1 :]

    assert is_token(changed) == (changed == token)


@given(TOKENS, st.data())
def test_swapped_neighbours_are_noticed(token: str, data: st.DataObject) -> None:
    """Two characters in the wrong order, a typist's usual mistake, are told."""
    position = data.draw(st.integers(0, len(token) - 2))
    changed = token[:position] + token[position + 1] + token[position] + token[position + 2 :]

    assert is_token(changed) == (changed == token)


@given(TOKENS, st.integers(0, 80))
def test_any_part_is_no_token(token: str, length: int) -> None:
    """A token that was cut, or has something on it, is none."""
    assert not is_token(token[: length % len(token)])
    assert not is_token(token[1 + length % len(token) :])
    assert not is_token(token + "x")
    assert not is_token(token + "\n")
    assert not is_token(" " + token)


@given(st.text(max_size=60))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    """Any text can be asked about."""
    assert not is_token(text)


#: Text that isn't itself the beginning of one.
HEADS = st.text(max_size=20).filter(lambda text: "seks_" not in text.casefold())


@given(st.text(max_size=20) | st.sampled_from(["seks_", "SEKS_a_"]), TOKENS, st.text(max_size=20))
def test_no_text_hides_that_there_is_a_token(before: str, token: str, after: str) -> None:
    """Whatever is hung on a token, something is found."""
    assert find_lookalikes(before + token + after)


@given(HEADS, TOKENS, TAILS)
def test_a_token_is_found_in_any_text(before: str, token: str, after: str) -> None:
    """What stands before a token, and what follows it, doesn't hide it."""
    assert token in find_lookalikes(before + token + after)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TOKEN, [TOKEN]),
        (f"/bot{TOKEN}/send", [TOKEN]),
        (f"{TOKEN},{TOKEN}", [TOKEN, TOKEN]),
        (TOKEN.upper(), [TOKEN.upper()]),
        (TOKEN + "xyz", [TOKEN + "xyz"]),
        (TOKEN[:-10], [TOKEN[:-10]]),
        ("seks_addon_x", []),
        ("seks_openai_" + "a" * 19, []),
        ("seks_openai_" + "a" * 20, ["seks_openai_" + "a" * 20]),
        ("seks__" + "a" * 39, []),
        ("sk-test-not-a-real-key", []),
        ("", []),
    ],
)
def test_lookalikes(text: str, found: list[str]) -> None:
    """What was meant as a token is found, whole, damaged or in another case; a short name is none."""
    assert find_lookalikes(text) == found


@given(st.lists(TOKENS | TOKENS.map(str.upper) | st.text(max_size=6) | st.sampled_from(["seks_", "_", "a"])))
def test_redact_leaves_nothing_of_a_token(parts: list[str]) -> None:
    """However tokens follow upon each other, no part of one is left that would do as one."""
    text = "".join(parts)

    hidden = redact(text)

    assert not find_lookalikes(hidden)
    for part in parts:
        if len(part) > 39:
            assert part[-39:] not in hidden


@given(st.text(max_size=60))
def test_redact_changes_nothing_else(text: str) -> None:
    """A text without a token stays as it is."""
    assert redact(text) == text


def test_redact_keeps_what_is_around() -> None:
    """Only the token goes."""
    assert redact(f"/bot{TOKEN}/send?x={TOKEN}&y") == "/botseks_[redacted]/send?x=seks_[redacted]&y"


def test_ids() -> None:
    """Identifiers have their prefix and don't repeat."""
    ids = {new_id("tok") for _ in range(300)}

    assert len(ids) == 300
    assert all(re.fullmatch(r"tok_[0-9A-Za-z]{12}", name) for name in ids)


def test_passwords() -> None:
    """Passwords need no encoding in a URL and don't repeat."""
    passwords = {new_password() for _ in range(300)}

    assert len(passwords) == 300
    assert all(re.fullmatch(r"[0-9A-Za-z]{32}", password) for password in passwords)
