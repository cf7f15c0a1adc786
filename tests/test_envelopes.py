"""Messages within a body."""

from hypothesis import given
from hypothesis import strategies as st

from seks_addon.scrub.envelopes import Envelopes, has_envelopes
from tests.test_scrub import CUTS, chunks


@given(st.lists(st.binary(max_size=20), max_size=5), CUTS)
def test_any_split(messages: list[bytes], cuts: list[int]) -> None:
    """However they arrive, the bytes are the same, and an end is behind each message and nowhere else."""
    body = b"".join(bytes(1) + len(message).to_bytes(4) + message for message in messages)
    envelopes, found, open_one = Envelopes(), [], b""

    for piece, ends in (part for chunk in chunks(body, cuts) for part in envelopes.split(chunk)):
        open_one += piece
        if ends:
            found.append(open_one)
            open_one = b""

    assert found == [bytes(1) + len(message).to_bytes(4) + message for message in messages]
    assert open_one == b""


def test_media_types() -> None:
    assert has_envelopes("application/grpc+proto")
    assert has_envelopes("application/connect+json")
    assert not has_envelopes("application/json")
