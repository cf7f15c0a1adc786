"""One byte string for one value."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.canonical import canonical_json, digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        ("é\u2028", '"é\u2028"'.encode()),
        ('"\\\n\x1f', b'"\\"\\\\\\n\\u001f"'),
        ((), b"[]"),
        (-(2**70), b"-1180591620717411303424"),
    ],
)
def test_known_answers(value: Any, encoded: bytes) -> None:
    """Sorted keys, no blanks, UTF-8, only what must be escaped is."""
    assert canonical_json(value) == encoded


def test_digest() -> None:
    """The digest is SHA-256 of the canonical form, in lower-case hex."""
    assert digest({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_has_no_canonical_form(value: Any) -> None:
    """What JSON in UTF-8 can't say is an error."""
    with pytest.raises(ValueError, match=r".+"):
        canonical_json([value])


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=6), st.randoms())
def test_order_of_keys_makes_no_difference(value: dict[str, Any], random: Any) -> None:
    """A mapping has one form, however it was filled."""
    items = list(value.items())
    random.shuffle(items)

    assert canonical_json(dict(items)) == canonical_json(value)


@given(VALUES)
def test_nothing_is_lost(value: Any) -> None:
    """Two values that differ have two forms: the form reads back as the value."""
    assert json.loads(canonical_json(value)) == value
