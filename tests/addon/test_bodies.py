"""How a body of HTTP/1 is read."""

import h11
import pytest
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

from seks_addon.addon.http1 import _BodyReader


def reading(text: bytes) -> tuple[_BodyReader, ReceiveBuffer]:
    buffer = ReceiveBuffer()
    buffer += text
    return _BodyReader(ChunkedReader()), buffer


def test_all_that_has_come_is_one_piece() -> None:
    """However many chunks it was cut into; the end and what is behind it come apart."""
    reader, buffer = reading(b"1\r\na\r\n" * 1000 + b"0\r\nX: trailer\r\n\r\nrest")

    data, end = reader(buffer), reader(buffer)

    assert isinstance(data, h11.Data)
    assert data.data == b"a" * 1000
    assert isinstance(end, h11.EndOfMessage)
    assert not end.headers
    assert bytes(buffer) == b"rest"


def test_what_is_not_whole_waits() -> None:
    reader, buffer = reading(b"1\r\na\r\n3\r\nb")

    first, nothing = reader(buffer), reader(buffer)
    buffer += b"cd\r\n"
    second = reader(buffer)

    assert isinstance(first, h11.Data)
    assert isinstance(second, h11.Data)
    assert (first.data, nothing, second.data) == (b"ab", None, b"cd")


def test_what_precedes_a_mistake_goes_first() -> None:
    reader, buffer = reading(b"1\r\na\r\nnonsense\r\n")

    data = reader(buffer)

    assert isinstance(data, h11.Data)
    assert data.data == b"a"
    with pytest.raises(h11.ProtocolError):
        reader(buffer)
