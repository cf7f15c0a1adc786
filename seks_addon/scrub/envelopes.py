"""Messages within a body, each behind its length, as gRPC, Connect and AWS's event streams send them.

No credential is a part of two messages, and a client waits for the end of one before it asks for the next: so each
is scrubbed to its end when it is there.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final

from seks_addon.refusal import Refused

#: The flags of gRPC and Connect: a message, the end of a stream (Connect), trailers (gRPC-Web); not what is compressed.
_FLAGS: Final = frozenset({0x00, 0x02, 0x80})
#: AWS's messages are shorter than 32 MiB.
_LENGTHS: Final = range(2)


class Envelopes:
    """Finds where messages end in a stream of them.

    `head`: how many bytes precede a message; `first`: what the first of them may be, no printable character: who makes
    a host call a text a stream of messages mustn't choose where it is cut; `length`: how many follow, told from them.
    """

    def __init__(self, head: int, first: Collection[int], length: Callable[[bytes], int]) -> None:
        self._size = head
        self._first = first
        self._length = length
        self._head = b""
        self._left = 0

    def split(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Give the next bytes in pieces, each with whether a message ends behind it; raises `Refused`."""
        position = 0
        while position < len(data):
            if self._left == 0:
                taken = data[position : position + self._size - len(self._head)]
                self._head += taken
                if self._head[0] not in self._first:
                    raise Refused("response_unsafe", "The host's answer doesn't consist of messages, as it says.")
                position += len(taken)
                if len(self._head) == self._size:
                    self._left = self._length(self._head)
                    self._head = b""
                    yield taken, self._left == 0
                else:
                    yield taken, False
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            yield piece, self._left == 0


def envelopes_of(media_type: str) -> Envelopes | None:
    """Give what finds the messages in bodies of that media type, in lower case; None where there are none."""
    if media_type.startswith("application/grpc-web-text"):
        # It is base64.
        return None
    if media_type.startswith(("application/grpc", "application/connect+")):
        # A flag, and four bytes of length (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
        return Envelopes(5, _FLAGS, lambda head: int.from_bytes(head[1:]))
    if media_type.startswith("application/vnd.amazon.eventstream"):
        # The length of all, itself included (https://smithy.io/2.0/aws/amazon-eventstream.html).
        return Envelopes(4, _LENGTHS, lambda head: max(0, int.from_bytes(head) - len(head)))
    return None
