"""Messages within a body."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.refusal import Refused
from seks_addon.scrub.envelopes import envelopes_of
from tests.test_scrub import CUTS, chunks


def grpc(message: bytes) -> bytes:
    return bytes(1) + len(message).to_bytes(4) + message


def event(message: bytes) -> bytes:
    """Headers and checksums are a part of the message here."""
    return (len(message) + 4).to_bytes(4) + message


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "application/grpc+proto": grpc,
    "application/connect+json": grpc,
    "application/vnd.amazon.eventstream": event,
}


@given(st.sampled_from(sorted(KINDS)), st.lists(st.binary(max_size=20), max_size=5), CUTS)
def test_any_split(kind: str, messages: list[bytes], cuts: list[int]) -> None:
    """However they arrive, the bytes are the same, and an end is behind each message and nowhere else."""
    wrapped = [KINDS[kind](message) for message in messages]
    envelopes, found, open_one = envelopes_of(kind), [], b""
    assert envelopes

    for piece, ends in (part for chunk in chunks(b"".join(wrapped), cuts) for part in envelopes.split(chunk)):
        open_one += piece
        if ends:
            found.append(open_one)
            open_one = b""

    assert found == wrapped
    assert open_one == b""


@pytest.mark.parametrize("length", [0, 3])
def test_a_length_that_is_none(length: int) -> None:
    """Shorter than itself: no message, and what follows is read as the next length."""
    envelopes = envelopes_of("application/vnd.amazon.eventstream")
    assert envelopes

    assert [*envelopes.split(length.to_bytes(4) + b"\0\0")] == [(length.to_bytes(4), True), (b"\0\0", False)]


@pytest.mark.parametrize("first", [b"\3", b"a", b"{", b" "])
@pytest.mark.parametrize(
    ("kind", "head"), [("application/grpc", b"\0\0\0\0\5"), ("application/vnd.amazon.eventstream", b"\0\0\0\x09")]
)
@given(CUTS)
def test_no_message(kind: str, head: bytes, first: bytes, cuts: list[int]) -> None:
    """A text that is called so isn't cut where its first bytes say."""
    envelopes = envelopes_of(kind)
    assert envelopes
    body = head + b"first" + first + bytes(3) + b"second"

    with pytest.raises(Refused, match="messages"):
        assert not [part for chunk in chunks(body, cuts) for part in envelopes.split(chunk) if b"second" in part]


def test_a_compressed_message() -> None:
    envelopes = envelopes_of("application/grpc")
    assert envelopes

    with pytest.raises(Refused, match="messages"):
        list(envelopes.split(b"\1"))


@pytest.mark.parametrize("kind", ["", "application/json", "text/event-stream", "application/grpc-web-text+proto"])
def test_other_media_types(kind: str) -> None:
    assert envelopes_of(kind) is None
